package cache

// Subscriptions returns the number of subscriptions.
func Subscriptions(c *Cache) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subscriptions)
}

package ubermock

// Close implements io.Closer and does nothing, so that kvdb.Close of a mock needs no
// expectation.
func (m *MockKvdb) Close() error { return nil }

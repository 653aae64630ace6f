// Package transfers tests package transfer between all pairs of stores, on real servers: under
// writes, when copiers are killed or stopped, and when a store fails.
package transfers

// Package modeltest checks the stores in process against models of what
// kvdb.Kvdb promises: concurrent histories for linearizability, sequential ones
// for equality. It has tests only.
package modeltest

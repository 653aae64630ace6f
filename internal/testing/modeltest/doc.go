// Package modeltest compares the stores in process with models of kvdb.Kvdb: it checks that
// concurrent histories are linearizable, and that sequential ones have equal results. It
// has only tests.
package modeltest

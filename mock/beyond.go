package mock

import "github.com/portworx/kvdb"

// Close implements io.Closer and does nothing, so that kvdb.Close of a mock needs no
// expectation.
func (m *MockKvdb) Close() error { return nil }

// Limits implements kvdb.LimitsReporter. A mock reports no limits, so that kvdb.LimitsOf of a
// mock needs no expectation.
func (m *MockKvdb) Limits() kvdb.Limits { return kvdb.Limits{} }

// AddHooks implements kvdb.HookAdder and does nothing: a mock tells hooks nothing, so that
// kvdb.AddHooks of a mock needs no expectation.
func (m *MockKvdb) AddHooks(...kvdb.Hook) {}

// RemoveHooks implements kvdb.HookAdder and does nothing.
func (m *MockKvdb) RemoveHooks(...kvdb.Hook) {}

package mock

import "github.com/portworx/kvdb"

// Close implements io.Closer and does nothing, so that kvdb.Close of a mock needs no
// expectation.
func (m *MockKvdb) Close() error { return nil }

// Limits implements kvdb.LimitsReporter. A mock reports no limits, so that kvdb.LimitsOf of a
// mock needs no expectation.
func (m *MockKvdb) Limits() kvdb.Limits { return kvdb.Limits{} }

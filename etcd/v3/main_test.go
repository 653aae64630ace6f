package etcdv3

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Run more tests in parallel than there are cores, because they mostly wait.
	if err := flag.Set("test.parallel", "6"); err != nil { // -parallel overrides it
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

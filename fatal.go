package kvdb

import (
	"fmt"

	"github.com/sirupsen/logrus"
)

// LogFatalErrorCB is a [FatalErrorCB] for programs that cannot go on without
// their store: it logs err and panics with the formatted message. The library
// never calls it unless it was given as the callback.
func LogFatalErrorCB(err error, format string, args ...interface{}) {
	msg := fmt.Sprintf(format, args...)
	logrus.WithError(err).Error(msg)
	panic(msg)
}

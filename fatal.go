package kvdb

import (
	"fmt"

	"github.com/sirupsen/logrus"
)

// LogFatalErrorCB is a [FatalErrorCB] that logs err and panics with the formatted
// message. It is for programs that cannot continue without their store. The library
// does not use it unless the program gives it to [New] or [Kvdb.SetFatalCb].
func LogFatalErrorCB(err error, format string, args ...interface{}) {
	msg := fmt.Sprintf(format, args...)
	logrus.WithError(err).Error(msg)
	panic(msg)
}

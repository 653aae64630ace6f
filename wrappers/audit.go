package wrappers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/option"
)

// auditLog is the file that a log wrapper and its views write to.
type auditLog struct {
	logger *logrus.Logger
	// entry has no fields. Logging through one entry saves logrus two allocations for each
	// line.
	entry *logrus.Entry
	file  *os.File // nil with LogOff
}

var declared = option.Declare("log wrapper", []option.Option{
	{Name: kvdb.LogPathOption, Values: "a file", Default: "`" + defaultLogPath + "`", Meaning: "the log file"},
	{Name: LogLevelOption, Values: "`" + LogAll + "`, `" + LogFailures + "`, `" + LogOff + "`", Default: "`" + LogAll + "`",
		Meaning: "which operations are logged"},
})

// openAuditLog opens the log with the path and the level in the options.
func openAuditLog(options map[string]string) (*auditLog, error) {
	options = declared.Of(options)
	l := &auditLog{logger: logrus.New()}
	l.entry = &logrus.Entry{Logger: l.logger}
	l.logger.SetOutput(io.Discard)
	l.logger.SetFormatter(lineFormatter{})
	switch level := options[LogLevelOption]; level {
	case "", LogAll:
		l.logger.SetLevel(logrus.InfoLevel)
	case LogFailures:
		l.logger.SetLevel(logrus.WarnLevel)
	case LogOff:
		l.logger.SetLevel(logrus.PanicLevel)
		return l, nil
	default:
		return nil, fmt.Errorf("option %s: %w: %q is not %s, %s or %s",
			LogLevelOption, kvdb.ErrIllegal, level, LogAll, LogFailures, LogOff)
	}
	path := options[kvdb.LogPathOption]
	if path == "" {
		path = defaultLogPath
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("option %s: %w", kvdb.LogPathOption, err)
	}
	l.file = file
	l.logger.SetOutput(file)
	return l, nil
}

// close closes the file. Lines that are written later are discarded.
func (l *auditLog) close() error {
	l.logger.SetLevel(logrus.PanicLevel)
	l.logger.SetOutput(io.Discard)
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// start returns the time at the start of an operation, or zero if no line will be written.
func (l *auditLog) start() time.Time {
	if !l.logger.IsLevelEnabled(logrus.WarnLevel) {
		return time.Time{}
	}
	return time.Now()
}

// field is a part of a line: a string, a number, or a result of a call. It is formatted when
// the line is written.
type field struct {
	name  string
	value any
}

// write writes the line of the operation op. It keeps none of its arguments, so that these
// need no allocation.
func (l *auditLog) write(op string, start time.Time, err error, fields ...field) {
	level := logrus.InfoLevel
	if err != nil {
		level = logrus.WarnLevel
	}
	if !l.logger.IsLevelEnabled(level) {
		return
	}
	var room [256]byte
	line := append(room[:0], "op="...)
	line = append(line, op...)
	for _, f := range fields {
		line = appendField(line, f)
	}
	line = append(line, " outcome="...)
	if err == nil {
		line = append(line, "ok"...)
	} else {
		line = strconv.AppendQuote(line, describe(err))
	}
	line = append(line, " duration="...)
	line = append(line, time.Since(start).String()...)
	l.entry.Log(level, string(line))
}

func appendField(line []byte, f field) []byte {
	switch v := f.value.(type) {
	case *kvdb.KVPair:
		if v == nil {
			return line
		}
		line = appendNumber(line, "created", v.CreatedIndex)
		line = appendNumber(line, "modified", v.ModifiedIndex)
		return appendNumber(line, "index", v.KVDBIndex)
	case kvdb.KVPairs:
		return appendNumber(line, "count", uint64(len(v)))
	case []interface{}:
		return appendNumber(line, "count", uint64(len(v)))
	case []string:
		return appendNumber(line, "count", uint64(len(v)))
	case uint64:
		return appendNumber(line, f.name, v)
	case int:
		return appendNumber(line, f.name, uint64(v))
	case string:
		line = append(append(append(line, ' '), f.name...), '=')
		return strconv.AppendQuote(line, v)
	}
	return line
}

func appendNumber(line []byte, name string, n uint64) []byte {
	line = append(append(append(line, ' '), name...), '=')
	return strconv.AppendUint(line, n, 10)
}

// describe returns the text of err, without that of a JSON error, which may quote a value.
func describe(err error) string {
	var unsupported *json.UnsupportedValueError
	var marshaler *json.MarshalerError
	switch {
	case errors.Is(err, kvdb.ErrUnmarshal):
		return kvdb.ErrUnmarshal.Error()
	case errors.As(err, &unsupported), errors.As(err, &marshaler):
		return "value has no JSON encoding"
	}
	return err.Error()
}

// lineFormatter is a logrus.Formatter for messages that are formatted fields.
type lineFormatter struct{}

func (lineFormatter) Format(e *logrus.Entry) ([]byte, error) {
	e.Buffer.Grow(len(e.Message) + 64)
	line := append(e.Buffer.AvailableBuffer(), "time="...)
	line = e.Time.AppendFormat(line, time.RFC3339Nano)
	line = append(line, " level="...)
	line = append(line, e.Level.String()...)
	line = append(line, ' ')
	line = append(line, e.Message...)
	return append(line, '\n'), nil
}

package eventlog

import (
	"fmt"
	"strconv"
)

// HistoryOption is the name of the option for the limit that New takes, the
// same for every store with a log.
const HistoryOption = "KvHistory"

// History returns the value of HistoryOption.
func History(options map[string]string) (int, error) {
	value, present := options[HistoryOption]
	if !present {
		return DefaultHistory, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("option %s: %q is not a number of events, at least 1", HistoryOption, value)
	}
	return n, nil
}

package eventlog

import (
	"strconv"

	"github.com/portworx/kvdb/internal/option"
)

// HistoryOption is the name of the option for the limit that New takes, the
// same for every store with a log.
const HistoryOption = "KvHistory"

// Declared declares HistoryOption among the options of a backend.
var Declared = []option.Option{{
	Name: HistoryOption, Values: "1 or more", Default: strconv.Itoa(DefaultHistory),
	Meaning: "the number of past events that a watch can ask for",
}}

// History returns the value of HistoryOption.
func History(options map[string]string) (int, error) {
	return option.Count(options, HistoryOption, 1, DefaultHistory)
}

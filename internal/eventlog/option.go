package eventlog

import "github.com/portworx/kvdb/internal/settings"

// HistoryOption is the name of the option for the limit that New takes, the
// same for every store with a log.
const HistoryOption = "KvHistory"

// History returns the value of HistoryOption.
func History(options map[string]string) (int, error) {
	return settings.Count(options, HistoryOption, 1, DefaultHistory)
}

package test

import (
	"fmt"
	"reflect"
	"strings"
)

var traitGroup = group{name: "Traits", cases: []testCase{
	{name: "AsDeclared", run: traitsAsDeclared, alone: true},
}}

// The harness declares what the backend does, not less and not more.
func traitsAsDeclared(e *env) {
	declared := e.traits
	found := e.probe()
	// These are asserted elsewhere.
	found.History, found.TTLSlack, found.ExpiryTold = declared.History, declared.TTLSlack, declared.ExpiryTold
	found.RestoredIndexGrows = declared.RestoredIndexGrows
	found.CallTimeout, found.WatchTimeout = declared.CallTimeout, declared.WatchTimeout
	differences := declared.differences(found)
	e.Empty(differences, "Harness.Traits is not what was found by trying:\n%s", strings.Join(differences, "\n"))
}

// differences says of each field that another value was found for what to do.
func (t Traits) differences(found Traits) (differences []string) {
	was, is := reflect.ValueOf(t), reflect.ValueOf(found)
	for i := range was.NumField() {
		if was.Field(i).Kind() == reflect.Slice && was.Field(i).Len() == 0 && is.Field(i).Len() == 0 {
			continue
		}
		name, declared, tried := was.Type().Field(i).Name, was.Field(i).Interface(), is.Field(i).Interface()
		if !reflect.DeepEqual(declared, tried) {
			differences = append(differences, fmt.Sprintf(
				"Traits.%s is %#v, and the store was found to have %#v: declare that, or mend the store", name, declared, tried))
		}
	}
	return differences
}

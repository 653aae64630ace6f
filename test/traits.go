package test

import (
	"fmt"
	"reflect"
	"strings"
)

var traitGroup = group{name: "Traits", cases: []testCase{
	{name: "AsDeclared", run: traitsAsDeclared, alone: true},
}}

// The traits that the harness declares are those that the backend has.
func traitsAsDeclared(e *env) {
	declared := e.traits
	found := e.probe()
	// These are asserted elsewhere.
	found.History, found.TTLSlack, found.ExpiryTold = declared.History, declared.TTLSlack, declared.ExpiryTold
	found.RestoredIndexGrows = declared.RestoredIndexGrows
	found.CallTimeout, found.WatchTimeout = declared.CallTimeout, declared.WatchTimeout
	differences := declared.differences(found)
	e.Empty(differences, "Harness.Traits differs from what the suite found by trying:\n%s", strings.Join(differences, "\n"))
}

// differences returns a message for each field that differs from the one found.
func (t Traits) differences(found Traits) (differences []string) {
	was, is := reflect.ValueOf(t), reflect.ValueOf(found)
	for i := range was.NumField() {
		if was.Field(i).Kind() == reflect.Slice && was.Field(i).Len() == 0 && is.Field(i).Len() == 0 {
			continue
		}
		name, declared, tried := was.Type().Field(i).Name, was.Field(i).Interface(), is.Field(i).Interface()
		if !reflect.DeepEqual(declared, tried) {
			differences = append(differences, fmt.Sprintf(
				"Traits.%s is %#v, and the store was found to have %#v: declare that, or change the backend", name, declared, tried))
		}
	}
	return differences
}

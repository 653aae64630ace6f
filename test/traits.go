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
	found.TTLBound = declared.TTLBound
	found.RestoredIndexGrows, found.OutageUntold = declared.RestoredIndexGrows, declared.OutageUntold
	found.CallTimeout, found.WatchTimeout = declared.CallTimeout, declared.WatchTimeout
	differences := declared.differences(found)
	if found.PrivateStore && !declared.PrivateStore {
		differences = append(differences, "Instances opened with the same endpoints do not share one store: declare Traits.PrivateStore, or give Harness.Endpoints that lead to one store")
	}
	if len(differences) > 0 {
		e.FailNow("Harness.Traits differs from what the suite found by trying:\n" + strings.Join(differences, "\n") +
			"\nCorrect the traits first: the other cases rely on them.")
	}
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

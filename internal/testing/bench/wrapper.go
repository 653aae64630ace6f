package main

import (
	"errors"
	"path/filepath"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/wrappers"
)

func wrapperSuites() []suite {
	return []suite{{"log wrapper on mem", openWrappers}}
}

func openWrappers(e *env) ([]row, func() error, error) {
	d := newData(perDir)
	var kvs []kvdb.Kvdb
	closeAll := func() (err error) {
		for _, kv := range kvs {
			err = errors.Join(err, kvdb.Close(kv))
		}
		return err
	}
	var sides []work
	for _, options := range []map[string]string{
		nil,
		{kvdb.WrappersOption: string(kvdb.Wrapper_Log), kvdb.LogPathOption: filepath.Join(e.dir, "log")},
		{kvdb.WrappersOption: string(kvdb.Wrapper_Log), wrappers.LogLevelOption: wrappers.LogOff},
	} {
		kv, err := kvdb.New(mem.Name, "bench", nil, options, nil)
		if err != nil {
			return nil, nil, err
		}
		kvs = append(kvs, kv)
		if err := fill(kv, d); err != nil {
			return nil, nil, err
		}
		sides = append(sides, each(func(i int) error { _, err := kv.Get(d.key(i)); return err }))
	}
	const bare = "kvdb without the wrapper"
	return []row{
		{"Get", bare, "≤ 3 µs more", sides[0], sides[1]},
		{"Get, logging off", bare, "≤ 1.1", sides[0], sides[2]},
	}, closeAll, nil
}

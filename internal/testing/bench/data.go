package main

import (
	"fmt"
	"math/rand/v2"
)

const (
	valueSize = 127 // bytes
	perDir    = 100 // keys in a directory
)

// value is the value of every write.
var value = make([]byte, valueSize)

// data has the keys of a suite.
type data struct {
	keys     []string // in order
	shuffled []string
	dirs     []string
}

func newData(n int) data {
	var d data
	for i := range n {
		if i%perDir == 0 {
			d.dirs = append(d.dirs, fmt.Sprintf("dir/%05d", i/perDir))
		}
		d.keys = append(d.keys, fmt.Sprintf("dir/%05d/key-%02d", i/perDir, i%perDir))
	}
	d.shuffled = append(d.shuffled, d.keys...)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(n, func(i, j int) { d.shuffled[i], d.shuffled[j] = d.shuffled[j], d.shuffled[i] })
	r.Shuffle(len(d.dirs), func(i, j int) { d.dirs[i], d.dirs[j] = d.dirs[j], d.dirs[i] })
	return d
}

// key returns the i-th of the shuffled keys, modulo their number.
func (d data) key(i int) string { return d.shuffled[i%len(d.shuffled)] }

// dir is like key, for directories.
func (d data) dir(i int) string { return d.dirs[i%len(d.dirs)] }

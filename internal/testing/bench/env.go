package main

import (
	"context"
	"sync"

	"github.com/portworx/kvdb/test/servers"
)

// env is the environment of a suite.
type env struct {
	dir    string           // for its files
	server *servers.Cluster // the server that it has started, or nil
	longer int              // how many times as long its measurements take, 0 for once
	// ctx ends before the suite is closed, and ends all waits.
	ctx     context.Context
	waiting sync.WaitGroup
}

// start starts a server. The suite closes it, even after an error.
func (e *env) start(kind servers.Kind) (*servers.Cluster, error) {
	server, err := servers.New(kind, e.dir, servers.Options{})
	if err != nil {
		return nil, err
	}
	e.server = server
	return server, server.Start()
}

// requests has the numbers of requests that the server gets for one operation of each side.
type requests struct{ raw, ours float64 }

// count counts the requests of n operations of both sides of a row, if there is a
// server.
func (e *env) count(ctx context.Context, r row, n int) (*requests, error) {
	if e.server == nil {
		return nil, nil
	}
	var counted requests
	for _, side := range []struct {
		work work
		sent *float64
	}{{r.raw, &counted.raw}, {r.ours, &counted.ours}} {
		m := e.server.All()[0]
		before, err := m.Requests(ctx)
		if err != nil {
			return nil, err
		}
		if err := side.work(n); err != nil {
			return nil, err
		}
		after, err := m.Requests(ctx)
		if err != nil {
			return nil, err
		}
		*side.sent = (after - before) / float64(n)
	}
	return &counted, nil
}

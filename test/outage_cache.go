package test

import (
	"errors"
	"maps"
	"strconv"

	"github.com/portworx/kvdb"
)

// A cache survives each fault of the server.
func outageCache(f fault) func(e *env) {
	return func(e *env) {
		followed := e.followed(false)
		for range 2 {
			followed.until(50, 0)
			end := e.strike(f, e.everyMember()...)
			followed.until(0, 3)
			end()
			followed.until(50, 0)
		}
		followed.check()
	}
}

// A cache survives the loss of each member, and of each quorum.
func outageCacheMembers(e *env) {
	members := e.suite.Server.Members()
	if members < 3 {
		e.t.Skip("Server.Members is less than 3: there is no member to spare")
	}
	followed := e.followed(false)
	for _, f := range []fault{killed, paused, isolated} {
		for member := range members {
			end := e.strike(f, member)
			followed.until(50, 0)
			end()
			followed.until(50, 0)
		}
	}
	followed.check()
}

// A cache whose watch has given up says so, serves its last state, and catches up when the
// store is back.
func outageCacheGivesUp(e *env) {
	f := e.followed(false)
	f.until(50, 0)
	end := e.strike(stopped, e.everyMember()...)
	// On a store whose watches fold changes, the cache may just have ended its watch to begin anew.
	err := waitFor(e, f.lost, e.watchLimit()+patience, "the watch of the cache ends")
	e.True(err == kvdb.ErrWatchStopped || errors.Is(err, kvdb.ErrNoConnection), "the error of the watch, or of the next one: %v", err)
	e.False(f.c.Synced())
	e.Positive(f.c.Lag())
	end()
	e.recovers()
	f.until(50, 0)
	f.settle()
	e.Zero(f.c.Lag())
	f.neverBack()
	f.equal()
}

// A cache follows a store that went back to an earlier state.
func historyCache(way wayBack) func(e *env) {
	return func(e *env) {
		e.put("kept", "value")
		e.begin(way)
		for i := range 20 {
			e.put("kept", i)
			e.put("lost/"+strconv.Itoa(i), i)
		}
		e.put("other", "value")
		c := e.cacheOf("", nil)
		before := c.Index()
		e.goBack(way, nil)
		e.recovers()
		e.eventually(func() bool { return maps.Equal(e.stored(""), cached(c.View())) }, "the cache is equal to the store")
		if way != wiped || c.Index() < before { // otherwise no key and no index shows that
			e.EqualValues(2, c.View().Generation())
		}
		pair := e.put("later", "value")
		e.cacheHas(c, pair.ModifiedIndex)
	}
}

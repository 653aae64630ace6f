package consul

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// brokenAnswers are replies that a client may get instead of Consul's.
var brokenAnswers = map[string]func(o *observer, w http.ResponseWriter, r *http.Request){
	"a page": func(_ *observer, w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, "<html>Welcome</html>")
	},
	"page not found": func(_ *observer, w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusNotFound, "<html>Not found</html>")
	},
	"nothing": func(_ *observer, w http.ResponseWriter, r *http.Request) { answer(w, r, http.StatusOK, "") },
	"an object": func(_ *observer, w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, "{}")
	},
	"null in it": func(_ *observer, w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, `{"Results": [null, {}]}`)
	},
	"half of it": func(o *observer, w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		o.proxy.ServeHTTP(whole, r)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	},
}

// The error names an endpoint whose answer is not Consul's. Requests that may be sent twice
// go to another endpoint.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	good := cluster.Endpoints()[0]
	for name, broken := range brokenAnswers {
		o := observe(t, good)
		kv := open(t, "broken", []string{o.URL}, nil)
		_, err := kv.Put("key", "value", 0)
		require.NoError(t, err, name)
		both := open(t, "broken", []string{o.URL, good}, nil)
		_, err = both.Put("key", "value", 0)
		require.NoError(t, err, name)

		o.intercept(func(w http.ResponseWriter, r *http.Request) bool { broken(o, w, r); return true })
		for call, f := range map[string]func(kv kvdb.Kvdb) error{
			"Get":       func(kv kvdb.Kvdb) error { _, err := kv.Get("key"); return err },
			"Enumerate": func(kv kvdb.Kvdb) error { _, err := kv.Enumerate(""); return err },
			"Keys":      func(kv kvdb.Kvdb) error { _, err := kv.Keys("", ""); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			err := f(kvdb.WithContext(ctx, kv))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s: %s", name, call)
			require.ErrorContains(t, err, "the answer of "+o.URL+" is not what Consul answers", "%s: %s", name, call)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, _, err = kvdb.WithContext(ctx, kv).Snapshot([]string{"a"}, true)
		cancel()
		require.Error(t, err, name)
		if name != "page not found" { // it means that a write was refused
			for call, f := range map[string]func() error{
				"Put":        func() error { _, err := kv.Put("key", "value", 0); return err },
				"Create":     func() error { _, err := kv.Create("new", "value", 0); return err },
				"Delete":     func() error { _, err := kv.Delete("key"); return err },
				"DeleteTree": func() error { return kv.DeleteTree("dir") },
			} {
				if call == "DeleteTree" && name == "an object" {
					continue // Consul's answer is no longer than that
				}
				err := f()
				require.ErrorIs(t, err, kvdb.ErrUnknownOutcome, "%s: %s", name, call)
				require.ErrorContains(t, err, "the answer of "+o.URL+" is not what Consul answers", "%s: %s", name, call)
			}
		}
		_, err = kv.Put("key", "value", 60)
		require.Error(t, err, name)
		pair, err := both.Get("other")
		require.Equal(t, kvdb.ErrNotFound, err, "%s: %v", name, pair)
		o.intercept(nil)
	}
}

// The error of New says that a server is not Consul.
func TestNotConsul(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := New("", []string{server.URL}, nil, nil)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, "the answer of "+server.URL+" is not what Consul answers")
}

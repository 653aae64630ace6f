// Quickstart is a tour of kvdb on a real store: it puts, enumerates, watches, locks,
// transacts and snapshots, and prints what it does. It checks every result, and fails if
// one is not as expected.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -backend kv-mem
//	go run ./examples/quickstart -backend bolt-kv -option Path=tour.db -domain my/app
//	go run ./examples/quickstart -backend etcdv3-kv -endpoints http://127.0.0.1:2379
//	go run ./examples/quickstart -backend consul-kv -endpoints http://127.0.0.1:8500
//	go run ./examples/quickstart -backend zookeeper-kv -endpoints 127.0.0.1:2181
//
// It works in a new domain below the given one, and empties that at the end. The default
// file of bolt is in a temporary folder.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/zookeeper"
)

// backends are the names of the backends that the program imports.
var backends = strings.Join([]string{bolt.Name, mem.Name, etcdv3.Name, etcdv2.Name, consul.Name, zookeeper.Name}, ", ")

// timeLimit bounds the whole tour.
const timeLimit = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// settings are the values of the command line.
type settings struct {
	backend   string
	domain    string
	endpoints []string
	options   map[string]string
}

func parse(w io.Writer, args []string) (settings, error) {
	s := settings{options: map[string]string{}}
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.StringVar(&s.backend, "backend", bolt.Name, "name of the `store`: "+backends)
	flags.StringVar(&s.domain, "domain", "", "`prefix` of all keys")
	flags.Func("endpoints", "addresses of the store, `a,b,c`", func(list string) error {
		s.endpoints = strings.Split(list, ",")
		return nil
	})
	flags.Func("option", "an option of the store, `key=value`; may be repeated", func(option string) error {
		key, value, ok := strings.Cut(option, "=")
		if !ok {
			return errors.New("want key=value")
		}
		s.options[key] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s, nil
}

// run makes the tour and prints it to w.
func run(ctx context.Context, w io.Writer, args []string) (err error) {
	s, err := parse(w, args)
	if err != nil {
		return err
	}
	if s.backend == bolt.Name && s.options[bolt.Path] == "" {
		dir, err := os.MkdirTemp("", "kvdb-quickstart-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.options[bolt.Path] = filepath.Join(dir, "quickstart.db")
	}
	s.domain = path.Join(s.domain, "quickstart-"+rand.Text())

	began := time.Now()
	kv, err := kvdb.New(s.backend, s.domain, s.endpoints, s.options, nil)
	if errors.Is(err, kvdb.ErrNotSupported) {
		return fmt.Errorf("no backend %q: %w; there are %s", s.backend, err, backends)
	} else if err != nil {
		return fmt.Errorf("open %s: %w", s.backend, err)
	}
	fmt.Fprintf(w, "Opened %s with the domain %s\n", kv, s.domain)
	defer func() {
		// Not bound to ctx, so that it also works after an interrupt.
		err = errors.Join(err, kv.DeleteTree(""), kvdb.Close(kv))
		if err == nil {
			fmt.Fprintf(w, "\nEmptied the domain and closed the store. All as expected, in %v.\n",
				time.Since(began).Round(time.Millisecond))
		}
	}()

	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	t := &tour{ctx: ctx, kv: kvdb.WithContext(ctx, kv), w: w}
	for _, part := range []struct {
		title string
		do    func() error
	}{
		{"Put and get", t.values},
		{"Enumerate", t.enumerate},
		{"Compare and set", t.compareAndSet},
		{"Watch", t.watch},
		{"Lock", t.lock},
		{"Transact", t.transact},
		{"Snapshot", t.snapshot},
	} {
		fmt.Fprintf(w, "\n%s\n", part.title)
		if err := part.do(); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(part.title), err)
		}
	}
	return nil
}

// tour has what the parts of the program share.
type tour struct {
	ctx context.Context
	kv  kvdb.Kvdb
	w   io.Writer
}

// say prints a line.
func (t *tour) say(format string, args ...any) {
	fmt.Fprintf(t.w, "  "+format+"\n", args...)
}

// want returns an error unless got is as expected.
func want[T comparable](what string, got, expected T) error {
	if got != expected {
		return fmt.Errorf("%s is %v, expected %v", what, got, expected)
	}
	return nil
}

// wantErr returns an error unless err is the expected one.
func wantErr(what string, err, expected error) error {
	if !errors.Is(err, expected) {
		return fmt.Errorf("%s gave %v, expected %q", what, err, expected)
	}
	return nil
}

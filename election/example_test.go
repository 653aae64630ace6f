package election_test

import (
	"context"
	"fmt"
	"log"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/election"
	"github.com/portworx/kvdb/mem"
)

// open returns the store of an example.
func open() kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "example", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	return kv
}

func ExampleRun() {
	kv := open()
	defer kvdb.Close(kv)

	err := election.Run(context.Background(), kv, "leader", "host-1", func(ctx context.Context, term election.Term) error {
		fmt.Println(term.ID, "leads")
		return ctx.Err() // work until ctx ends
	})
	fmt.Println(err)
	// Output:
	// host-1 leads
	// <nil>
}

func ExampleObserve() {
	kv := open()
	defer kvdb.Close(kv)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	resign := make(chan error)
	go func() {
		_ = election.Run(ctx, kv, "leader", "host-1", func(context.Context, election.Term) error { return <-resign })
	}()

	led := false
	for leader, err := range election.Observe(ctx, kv, "leader") {
		switch {
		case err != nil:
			log.Print(err)
		case leader.ID != "":
			fmt.Println(leader.ID, "leads")
			led = true
			close(resign)
		case led:
			fmt.Println("nobody leads")
			return
		}
	}
	// Output:
	// host-1 leads
	// nobody leads
}

func ExampleCurrent() {
	kv := open()
	defer kvdb.Close(kv)

	leader, err := election.Current(kv, "leader")
	fmt.Println(leader.ID == "", err)
	// Output:
	// true <nil>
}

package consul_test

import (
	"log"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
)

// The servers require a client certificate and a token.
func ExampleNew() {
	options := map[string]string{
		kvdb.ACLTokenKey:      "11111111-2222-3333-4444-555555555555",
		kvdb.TrustedCAFileKey: "/etc/my-app/ca.pem",
	}
	kv, err := consul.New("my/app", []string{"https://127.0.0.1:8501"}, options, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	if _, err := kv.Put("key", "value", 0); err != nil {
		log.Print(err)
	}
}

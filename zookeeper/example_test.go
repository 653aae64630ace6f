package zookeeper_test

import (
	"log"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/zookeeper"
)

// The connection uses TLS and a login.
func ExampleNew() {
	options := map[string]string{
		kvdb.UsernameKey:      "my-app",
		kvdb.PasswordKey:      "secret",
		kvdb.TrustedCAFileKey: "/etc/my-app/ca.pem",
	}
	kv, err := zookeeper.New("my/app", []string{"tls://zk-1:2281", "tls://zk-2:2281"}, options, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	if _, err := kv.Put("key", "value", 0); err != nil {
		log.Print(err)
	}
}

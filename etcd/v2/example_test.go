package etcdv2_test

import (
	"log"

	"github.com/portworx/kvdb"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
)

// The servers use TLS and require a login.
func ExampleNew() {
	options := map[string]string{
		kvdb.UsernameKey:      "my-app",
		kvdb.PasswordKey:      "secret",
		kvdb.TrustedCAFileKey: "/etc/my-app/ca.pem",
	}
	kv, err := etcdv2.New("my/app", []string{"https://etcd-1:2379", "https://etcd-2:2379"}, options, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	if _, err := kv.Put("key", "value", 0); err != nil {
		log.Print(err)
	}
}

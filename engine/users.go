package engine

import (
	"context"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// AddUser adds a user to the store.
func (kv *view) AddUser(username, password string) error {
	return kv.admin("add_user", func(ctx context.Context, a driver.UserAdmin) error {
		return a.AddUser(ctx, username, password)
	})
}

// RemoveUser removes a user from the store.
func (kv *view) RemoveUser(username string) error {
	return kv.admin("remove_user", func(ctx context.Context, a driver.UserAdmin) error {
		return a.RemoveUser(ctx, username)
	})
}

// GrantUserAccess permits a user the access to a subtree of the domain.
func (kv *view) GrantUserAccess(username string, permType kvdb.PermissionType, subtree string) error {
	return kv.admin("grant_user_access", func(ctx context.Context, a driver.UserAdmin) error {
		if err := checkPermission(permType); err != nil {
			return err
		}
		return a.GrantAccess(ctx, username, permType, kv.prefix+subtree)
	})
}

// RevokeUsersAccess takes back a permission that GrantUserAccess gave.
func (kv *view) RevokeUsersAccess(username string, permType kvdb.PermissionType, subtree string) error {
	return kv.admin("revoke_users_access", func(ctx context.Context, a driver.UserAdmin) error {
		if err := checkPermission(permType); err != nil {
			return err
		}
		return a.RevokeAccess(ctx, username, permType, kv.prefix+subtree)
	})
}

func checkPermission(permission kvdb.PermissionType) error {
	switch permission {
	case kvdb.ReadPermission, kvdb.WritePermission, kvdb.ReadWritePermission:
		return nil
	}
	return kvdb.ErrUnknownPermission
}

// admin makes a call about users, as an operation.
func (kv *view) admin(name string, f func(context.Context, driver.UserAdmin) error) (err error) {
	kv, op := kv.start(name, "")
	if op != nil {
		defer op.end(&err)
	}
	a, ok := kv.store.(driver.UserAdmin)
	if !ok {
		return kvdb.ErrNotSupported
	}
	return kv.run(func(ctx context.Context) error { return f(ctx, a) })
}

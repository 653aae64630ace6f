package engine

import (
	"context"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// AddUser adds a user to the store.
func (kv *view) AddUser(username, password string) error {
	return kv.admin(func(ctx context.Context, a driver.UserAdmin) error {
		return a.AddUser(ctx, username, password)
	})
}

// RemoveUser removes a user from the store.
func (kv *view) RemoveUser(username string) error {
	return kv.admin(func(ctx context.Context, a driver.UserAdmin) error {
		return a.RemoveUser(ctx, username)
	})
}

// GrantUserAccess permits a user the access to a subtree of the domain.
func (kv *view) GrantUserAccess(username string, permType kvdb.PermissionType, subtree string) error {
	return kv.admin(func(ctx context.Context, a driver.UserAdmin) error {
		if err := checkPermission(permType); err != nil {
			return err
		}
		return a.GrantAccess(ctx, username, permType, kv.prefix+subtree)
	})
}

// RevokeUsersAccess takes back a permission that GrantUserAccess gave.
func (kv *view) RevokeUsersAccess(username string, permType kvdb.PermissionType, subtree string) error {
	return kv.admin(func(ctx context.Context, a driver.UserAdmin) error {
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

func (kv *view) admin(f func(context.Context, driver.UserAdmin) error) error {
	a, ok := kv.store.(driver.UserAdmin)
	if !ok {
		return kvdb.ErrNotSupported
	}
	return kv.run(func(ctx context.Context) error { return f(ctx, a) })
}

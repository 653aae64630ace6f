package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
)

// AddUser implements driver.UserAdmin. Each user has a role of the same name, which
// holds the user's permissions.
func (s *store) AddUser(ctx context.Context, username, password string) error {
	if password == "" {
		return kvdb.ErrNoPassword
	}
	_, err := write(ctx, s, func(ctx context.Context) (*clientv3.AuthUserAddResponse, error) {
		return s.client.UserAdd(ctx, username, password)
	})
	if err != nil {
		return userError(username, err)
	}
	_, err = write(ctx, s, func(ctx context.Context) (*clientv3.AuthRoleAddResponse, error) {
		return s.client.RoleAdd(ctx, username)
	})
	if errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
		// That role may have permissions, and a new user must have none.
		err = fmt.Errorf("a role of that name: %w", err)
	}
	switch {
	case errors.Is(err, kvdb.ErrUnknownOutcome):
		return userError(username, err) // RemoveUser removes whatever was added.
	case err != nil:
		return errors.Join(userError(username, err), s.deleteUser(ctx, username))
	}
	_, err = write(ctx, s, func(ctx context.Context) (*clientv3.AuthUserGrantRoleResponse, error) {
		return s.client.UserGrantRole(ctx, username, username)
	})
	if err != nil {
		return errors.Join(userError(username, err), s.RemoveUser(ctx, username))
	}
	return nil
}

// RemoveUser implements driver.UserAdmin. It removes the role before the user, so
// that a call that was interrupted can be repeated, and leaves no role that would
// prevent a later user of that name.
func (s *store) RemoveUser(ctx context.Context, username string) error {
	_, err := read(ctx, s, func(ctx context.Context) (*clientv3.AuthUserGetResponse, error) {
		return s.client.UserGet(ctx, username)
	})
	if err == nil {
		_, err = write(ctx, s, func(ctx context.Context) (*clientv3.AuthRoleDeleteResponse, error) {
			return s.client.RoleDelete(ctx, username)
		})
	}
	if err != nil && !errors.Is(err, rpctypes.ErrRoleNotFound) {
		return userError(username, err)
	}
	return s.deleteUser(ctx, username)
}

func (s *store) deleteUser(ctx context.Context, username string) error {
	_, err := write(ctx, s, func(ctx context.Context) (*clientv3.AuthUserDeleteResponse, error) {
		return s.client.UserDelete(ctx, username)
	})
	return userError(username, err)
}

// userError adds the user's name to err, and wraps kvdb.ErrNotFound or kvdb.ErrExist
// when the user is missing or exists.
func userError(username string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrUserNotFound), errors.Is(err, rpctypes.ErrRoleNotFound):
		err = fmt.Errorf("%w: %w", kvdb.ErrNotFound, err)
	case errors.Is(err, rpctypes.ErrUserAlreadyExist), errors.Is(err, rpctypes.ErrRoleAlreadyExist):
		err = fmt.Errorf("%w: %w", kvdb.ErrExist, err)
	}
	return fmt.Errorf("user %q: %w", username, err)
}

// access is a permission as two bits.
type access uint8

const (
	mayRead access = 1 << iota
	mayWrite
)

func accessOf(p kvdb.PermissionType) access {
	switch p {
	case kvdb.ReadPermission:
		return mayRead
	case kvdb.WritePermission:
		return mayWrite
	default:
		return mayRead | mayWrite
	}
}

// permissions maps each access except none to etcd's permission.
var permissions = map[access]authpb.Permission_Type{
	mayRead: authpb.READ, mayWrite: authpb.WRITE, mayRead | mayWrite: authpb.READWRITE,
}

// GrantAccess implements driver.UserAdmin. It adds to the permissions that the user
// has for the subtree.
func (s *store) GrantAccess(ctx context.Context, username string, p kvdb.PermissionType, subtree string) error {
	return s.changeAccess(ctx, username, subtree, func(now access) access { return now | accessOf(p) })
}

// RevokeAccess implements driver.UserAdmin. It removes permissions that were granted
// for the same subtree.
func (s *store) RevokeAccess(ctx context.Context, username string, p kvdb.PermissionType, subtree string) error {
	return s.changeAccess(ctx, username, subtree, func(now access) access { return now &^ accessOf(p) })
}

func (s *store) changeAccess(ctx context.Context, username, subtree string, change func(access) access) error {
	role, err := read(ctx, s, func(ctx context.Context) (*clientv3.AuthRoleGetResponse, error) {
		return s.client.RoleGet(ctx, username)
	})
	if err != nil {
		return userError(username, err)
	}
	for _, keys := range s.subtree(subtree) {
		now := access(0)
		for _, p := range role.Perm {
			if string(p.Key) != string(keys.key) || string(p.RangeEnd) != string(keys.end) {
				continue
			}
			for a, permission := range permissions {
				if permission == p.PermType {
					now = a
				}
			}
		}
		if want := change(now); want != now {
			if err := s.setAccess(ctx, username, keys, want); err != nil {
				return userError(username, err)
			}
		}
	}
	return nil
}

// setAccess sets what a user may do with a range.
func (s *store) setAccess(ctx context.Context, username string, keys keyRange, want access) (err error) {
	if want == 0 {
		_, err = write(ctx, s, func(ctx context.Context) (*clientv3.AuthRoleRevokePermissionResponse, error) {
			return s.client.RoleRevokePermission(ctx, username, string(keys.key), string(keys.end))
		})
	} else {
		_, err = write(ctx, s, func(ctx context.Context) (*clientv3.AuthRoleGrantPermissionResponse, error) {
			return s.client.RoleGrantPermission(ctx, username, string(keys.key), string(keys.end),
				clientv3.PermissionType(permissions[want]))
		})
	}
	return err
}

// subtree returns the range of the keys below a directory, which may be written as
// dir, dir/ or dir/*, and the range of their locks. As in a key, a leading slash is
// part of the name.
func (s *store) subtree(full string) []keyRange {
	dir := strings.TrimSuffix(strings.TrimPrefix(full, s.domain), "*")
	if dir = strings.TrimRight(dir, kvdb.DefaultSeparator); dir != "" {
		dir += kvdb.DefaultSeparator
	}
	keys, locks := s.domain+dir, s.locks+dir
	if strings.HasPrefix(locks, keys) {
		return []keyRange{below(keys)}
	}
	return []keyRange{below(keys), below(locks)}
}

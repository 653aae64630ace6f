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

// AddUser implements driver.UserAdmin. Each user has a role of the same name,
// which has the user's permissions.
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
		// It may let into much: a new user begins with nothing.
		err = fmt.Errorf("a role of that name: %w", err)
	}
	switch {
	case errors.Is(err, kvdb.ErrUnknownOutcome):
		return userError(username, err) // RemoveUser removes what there is
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

// RemoveUser implements driver.UserAdmin. The role goes with the user, and before
// it: who was cut short can call again, and no role is left to be in the way of a
// later user of that name.
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

// userError says which user an error is about, and whether it is that there is
// one, or none.
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

// permissions has etcd's name for each access but none.
var permissions = map[access]authpb.Permission_Type{
	mayRead: authpb.READ, mayWrite: authpb.WRITE, mayRead | mayWrite: authpb.READWRITE,
}

// GrantAccess implements driver.UserAdmin. It adds to what the user may do in the
// subtree already.
func (s *store) GrantAccess(ctx context.Context, username string, p kvdb.PermissionType, subtree string) error {
	return s.changeAccess(ctx, username, subtree, func(now access) access { return now | accessOf(p) })
}

// RevokeAccess implements driver.UserAdmin. It takes from what was granted for
// that same subtree.
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

// setAccess replaces what a user may do with a range that was granted, or gives it.
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

// subtree is the keys below a directory, which is named as dir, dir/ or dir/*, and
// those of their locks. A slash at the beginning is part of the name, as it is of
// that of a key.
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

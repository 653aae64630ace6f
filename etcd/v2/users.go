package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
)

// admin makes a request that changes users or roles.
func (s *store) admin(ctx context.Context, username string, request func(context.Context, *memberClient) error) error {
	_, err := send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (struct{}, error) {
		return struct{}{}, request(ctx, c)
	})
	switch {
	case err == nil:
		return nil
	case isStatus(err, http.StatusNotFound):
		err = fmt.Errorf("%w: %w", kvdb.ErrNotFound, err)
	case isStatus(err, http.StatusConflict):
		err = fmt.Errorf("%w: %w", kvdb.ErrExist, err)
	}
	return fmt.Errorf("user %q: %w", username, err)
}

// AddUser implements driver.UserAdmin. Each user has a role of the same name,
// which has the user's permissions.
func (s *store) AddUser(ctx context.Context, username, password string) error {
	if password == "" {
		return kvdb.ErrNoPassword
	}
	// To etcd the addition of a user who exists is a change of the password. A role that
	// exists may have permissions, but a new user must have none.
	for _, get := range []func(context.Context, *memberClient) error{
		func(ctx context.Context, c *memberClient) error { _, err := c.users.GetUser(ctx, username); return err },
		func(ctx context.Context, c *memberClient) error { _, err := c.roles.GetRole(ctx, username); return err },
	} {
		switch err := s.admin(ctx, username, get); {
		case err == nil:
			return fmt.Errorf("user %q: %w", username, kvdb.ErrExist)
		case !errors.Is(err, kvdb.ErrNotFound):
			return err
		}
	}
	// The user is added first and removed last, so that RemoveUser can remove what an
	// interrupted AddUser has left.
	for _, add := range []func(context.Context, *memberClient) error{
		func(ctx context.Context, c *memberClient) error { return c.users.AddUser(ctx, username, password) },
		func(ctx context.Context, c *memberClient) error { return c.roles.AddRole(ctx, username) },
		func(ctx context.Context, c *memberClient) error {
			_, err := c.roles.GrantRoleKV(ctx, username, []string{loginPath(username)}, client.ReadPermission)
			return err
		},
		func(ctx context.Context, c *memberClient) error {
			_, err := c.users.GrantUser(ctx, username, []string{username})
			return err
		},
	} {
		if err := s.admin(ctx, username, add); err != nil {
			return err
		}
	}
	return nil
}

// RemoveUser implements driver.UserAdmin. It also removes the role. It first revokes that
// from the user, because etcd answers a request about a user with a missing role as if
// the user were missing.
func (s *store) RemoveUser(ctx context.Context, username string) error {
	err := s.admin(ctx, username, func(ctx context.Context, c *memberClient) error {
		_, err := c.users.RevokeUser(ctx, username, []string{username})
		return err
	})
	if err != nil && !errors.Is(err, kvdb.ErrExist) { // the user does not have the role
		return err
	}
	err = s.admin(ctx, username, func(ctx context.Context, c *memberClient) error { return c.roles.RemoveRole(ctx, username) })
	if err != nil && !errors.Is(err, kvdb.ErrNotFound) {
		return err
	}
	return s.admin(ctx, username, func(ctx context.Context, c *memberClient) error { return c.users.RemoveUser(ctx, username) })
}

// GrantAccess implements driver.UserAdmin. It adds to the permissions that the user
// already has for the subtree.
func (s *store) GrantAccess(ctx context.Context, username string, p kvdb.PermissionType, subtree string) error {
	return s.changeAccess(ctx, username, p, subtree, false)
}

// RevokeAccess implements driver.UserAdmin. It revokes permissions that were granted for
// the same subtree.
func (s *store) RevokeAccess(ctx context.Context, username string, p kvdb.PermissionType, subtree string) error {
	return s.changeAccess(ctx, username, p, subtree, true)
}

func (s *store) changeAccess(ctx context.Context, username string, p kvdb.PermissionType, subtree string, revoke bool) error {
	var role *client.Role
	err := s.admin(ctx, username, func(ctx context.Context, c *memberClient) (err error) {
		role, err = c.roles.GetRole(ctx, username)
		return err
	})
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		is   bool
		has  []string
		kind client.PermissionType
	}{
		{p != kvdb.WritePermission, role.Permissions.KV.Read, client.ReadPermission},
		{p != kvdb.ReadPermission, role.Permissions.KV.Write, client.WritePermission},
	} {
		// etcd refuses to grant what is granted and to revoke what is not.
		patterns := slices.DeleteFunc(patternsOf(subtree), func(pattern string) bool {
			return slices.Contains(kind.has, pattern) != revoke
		})
		if !kind.is || len(patterns) == 0 {
			continue
		}
		err := s.admin(ctx, username, func(ctx context.Context, c *memberClient) (err error) {
			if revoke {
				_, err = c.roles.RevokeRoleKV(ctx, username, patterns, kind.kind)
			} else {
				_, err = c.roles.GrantRoleKV(ctx, username, patterns, kind.kind)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// patternsOf returns the patterns for the keys below a directory, which may be written as
// dir, dir/ or dir/*, and for their locks.
func patternsOf(subtree string) []string {
	dir := strings.Trim(strings.TrimSuffix(subtree, "*"), kvdb.DefaultSeparator)
	if dir != "" {
		dir += kvdb.DefaultSeparator
	}
	return []string{"/" + dir + "*", lockPath(dir) + "*"}
}

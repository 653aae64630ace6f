package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
)

// snapshotter is implemented by the driver of a store that can save its state while it serves,
// and restore it.
type snapshotter interface {
	// save writes the store's state to a file.
	save(ctx context.Context, c *Cluster, file string) error
	// load restores the state in a file. All members run before and afterwards.
	load(ctx context.Context, c *Cluster, file string) error
}

// backup is a saved state of a cluster.
type backup struct {
	path   string
	online bool // path is a file of the store; otherwise a folder with each member's files
}

// Wipe ends all members at once, removes their data and starts them again on the
// same ports, as a store that was never used. See Restore for meanwhile.
func (c *Cluster) Wipe(meanwhile func(endpoints []string) error) error {
	return c.goBack(meanwhile, func(context.Context) error {
		return c.replaceData(func(m *Member) error { return nil })
	})
}

// Backup saves the present state for Restore, in place of an earlier one. If online is true,
// the store saves it by its own means while it serves (etcdctl, consul snapshot, a copy of
// ZooKeeper's files); the error of a store that cannot wraps errors.ErrUnsupported. Otherwise Backup ends all members at once,
// copies their files and starts them again.
func (c *Cluster) Backup(online bool) error {
	ctx, cancel := context.WithTimeout(c.ctx, startTimeout)
	defer cancel()
	dir, err := os.MkdirTemp(c.dir, "backup-")
	if err != nil {
		return err
	}
	b := backup{path: dir, online: online}
	if online {
		b.path = filepath.Join(dir, "snapshot")
		s, ok := c.kind.driver.(snapshotter)
		if !ok {
			return fmt.Errorf("%s saves no snapshots: %w", c.kind, errors.ErrUnsupported)
		}
		err = s.save(ctx, c, b.path)
	} else {
		err = c.copyData(dir)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backup = b
	return nil
}

// Restore restores the state of the last Backup on all members. If the backup was made
// offline, and always for etcd, the members are ended and started again.
//
// If meanwhile is not nil, Restore cuts the connections of all clients before, until meanwhile
// has returned. meanwhile may write to the store, at endpoints that bypass the links.
func (c *Cluster) Restore(meanwhile func(endpoints []string) error) error {
	c.mu.Lock()
	b := c.backup
	c.mu.Unlock()
	if b.path == "" {
		return errors.New("there is no backup")
	}
	return c.goBack(meanwhile, func(ctx context.Context) error {
		if b.online {
			return c.kind.driver.(snapshotter).load(ctx, c, b.path)
		}
		return c.restoreFiles(b.path)
	})
}

// goBack runs change and then meanwhile. If there is a meanwhile, clients cannot connect
// during both.
func (c *Cluster) goBack(meanwhile func(endpoints []string) error, change func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(c.ctx, startTimeout)
	defer cancel()
	if meanwhile != nil {
		var clients Links
		for _, m := range c.All() {
			clients = append(clients, m.clients)
		}
		defer func() { err = errors.Join(err, clients.Heal()) }()
		if err := clients.Cut(); err != nil {
			return err
		}
	}
	if err := change(ctx); err != nil {
		return err
	}
	if err := c.Ready(ctx); err != nil || meanwhile == nil {
		return err
	}
	return meanwhile(c.directEndpoints())
}

func (c *Cluster) directEndpoints() []string {
	var endpoints []string
	for _, m := range c.All() {
		endpoints = append(endpoints, m.Direct())
	}
	return endpoints
}

// copyData ends all members, copies their files below dir and starts them again.
func (c *Cluster) copyData(dir string) error {
	if err := c.killAll(); err != nil {
		return err
	}
	if err := c.copyFiles(dir); err != nil {
		return err
	}
	return c.Start()
}

// copyFiles copies the members' files below dir.
func (c *Cluster) copyFiles(dir string) error {
	for _, m := range c.All() {
		target := filepath.Join(dir, m.name)
		if err := os.CopyFS(target, os.DirFS(m.dir)); err != nil {
			return err
		}
		// The copy of the output is not needed, because the member continues its own.
		if err := os.Remove(filepath.Join(target, outputFile)); err != nil {
			return err
		}
	}
	return nil
}

// restoreFiles ends all members, restores what copyFiles has copied and starts them again.
func (c *Cluster) restoreFiles(dir string) error {
	return c.replaceData(func(m *Member) error {
		return os.CopyFS(m.dir, os.DirFS(filepath.Join(dir, m.name)))
	})
}

// replaceData ends all members, replaces the files of each and starts them again.
func (c *Cluster) replaceData(fill func(*Member) error) error {
	if err := c.killAll(); err != nil {
		return err
	}
	for _, m := range c.All() {
		if err := errors.Join(m.removeData(), fill(m)); err != nil {
			return err
		}
	}
	return c.Start()
}

// killAll kills all members at the same time, so that none of them elects a
// leader, or waits for one, while others end.
func (c *Cluster) killAll() error {
	all := c.All()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, m := range all {
		wg.Go(func() { errs[i] = m.Kill() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// removeData removes the files of a member that has ended, but for its output.
func (m *Member) removeData() error {
	entries, err := os.ReadDir(m.dir)
	errs := []error{err}
	for _, entry := range entries {
		if entry.Name() != outputFile {
			errs = append(errs, os.RemoveAll(filepath.Join(m.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// runTool runs a program to its end. An error has what the program printed.
func runTool(ctx context.Context, program string, args ...string) error {
	output, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args[0], err, output)
	}
	return nil
}

// save implements snapshotter.
func (e etcd) save(ctx context.Context, c *Cluster, file string) error {
	if !e.snapshots {
		return fmt.Errorf("the state of %s is not all in a snapshot: %w", e.folder, errors.ErrUnsupported)
	}
	program, err := find(e.folder, "etcdctl")
	if err != nil {
		return err
	}
	args := []string{"snapshot", "save", file, "--endpoints=" + c.All()[0].Direct()}
	if c.CA != nil {
		certFile, keyFile := c.CA.files("prober")
		args = append(args, "--cacert="+c.CA.File, "--cert="+certFile, "--key="+keyFile)
	}
	return runTool(ctx, program, args...)
}

// load implements snapshotter.
func (e etcd) load(ctx context.Context, c *Cluster, file string) error {
	program, err := find(e.folder, "etcdutl")
	if err != nil {
		return err
	}
	return c.replaceData(func(m *Member) error {
		args := []string{"snapshot", "restore", file, "--data-dir=" + filepath.Join(m.dir, etcdData)}
		return runTool(ctx, program, append(args, e.identity(m)...)...)
	})
}

// save implements snapshotter.
func (c consul) save(ctx context.Context, cluster *Cluster, file string) error {
	return c.snapshot(ctx, cluster, "save", file)
}

// load implements snapshotter.
func (c consul) load(ctx context.Context, cluster *Cluster, file string) error {
	return c.snapshot(ctx, cluster, "restore", file)
}

func (consul) snapshot(ctx context.Context, c *Cluster, command, file string) error {
	program, err := find("consul", "consul")
	if err != nil {
		return err
	}
	args := []string{"snapshot", command, "-http-addr=" + c.All()[0].Direct()}
	if c.Token != "" {
		args = append(args, "-token="+c.Token)
	}
	if c.CA != nil {
		certFile, keyFile := c.CA.files("prober")
		args = append(args, "-ca-file="+c.CA.File, "-client-cert="+certFile, "-client-key="+keyFile)
	}
	return runTool(ctx, program, slices.Concat(args, []string{file})...)
}

// save implements snapshotter. ZooKeeper's files can be copied at any time, because a server
// repeats the writes in its log over what is in its last snapshot, and ignores one that is cut
// off.
func (zookeeper) save(_ context.Context, c *Cluster, dir string) error { return c.copyFiles(dir) }

// load implements snapshotter.
func (zookeeper) load(_ context.Context, c *Cluster, dir string) error { return c.restoreFiles(dir) }

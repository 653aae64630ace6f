package servers

import (
	"context"
	"errors"
)

// Server implements the interfaces test.Server, Peers and History of the conformance suite.
// Members are numbered from 0, in the order of Cluster.All.
type Server struct {
	c *Cluster
}

// Server returns the cluster for the field of that name in the suite's Harness.
func (c *Cluster) Server() Server { return Server{c} }

// Members is the number of members.
func (s Server) Members() int { return len(s.c.All()) }

// Stop is Member.Stop.
func (s Server) Stop(member int) error { return s.c.All()[member].Stop() }

// Kill is Member.Kill.
func (s Server) Kill(member int) error { return s.c.All()[member].Kill() }

// Start is Member.Start.
func (s Server) Start(member int) error { return s.c.All()[member].Start() }

// Pause is Member.Pause.
func (s Server) Pause(member int) error { return s.c.All()[member].Pause() }

// Resume is Member.Resume.
func (s Server) Resume(member int) error { return s.c.All()[member].Resume() }

// Isolate is Member.Isolate.
func (s Server) Isolate(member int) error { return s.c.All()[member].Isolate() }

// Rejoin is Member.Rejoin, but returns as late as Start: a member that was cut off may need
// an election to serve again.
func (s Server) Rejoin(member int) error {
	m := s.c.All()[member]
	ctx, cancel := context.WithTimeout(s.c.ctx, startTimeout)
	defer cancel()
	return errors.Join(m.Rejoin(), m.await(ctx))
}

// CutOff cuts a member off from the others, but not from clients, until Connect.
func (s Server) CutOff(member int) error { return s.c.All()[member].Peers().Blackhole() }

// Connect ends CutOff.
func (s Server) Connect(member int) error { return s.c.All()[member].Peers().Heal() }

// Wipe is Cluster.Wipe.
func (s Server) Wipe(meanwhile func(endpoints []string) error) error { return s.c.Wipe(meanwhile) }

// Backup is Cluster.Backup.
func (s Server) Backup(online bool) error { return s.c.Backup(online) }

// Restore is Cluster.Restore.
func (s Server) Restore(meanwhile func(endpoints []string) error) error {
	return s.c.Restore(meanwhile)
}

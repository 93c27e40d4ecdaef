package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"pyro.local/guest/internal/wire"
)

// longestHold bounds how long a host may have writing stopped before it has to ask again.
const longestHold = time.Minute

// operation is one thing that can be done to the workspace. What it returns becomes the RESULT.
type operation func(ctx context.Context, s *work) (any, error)

// work is what an operation gets: what to do, what the host sends along, and where the answer's bytes go.
type work struct {
	machine   Machine
	tree      *workspace
	parameter wire.Work
	in        io.Reader
	out       io.Writer
}

// mountWorkspace gives the machine a tree to work on.
func (s *Server) mountWorkspace(w http.ResponseWriter, r *http.Request) error {
	var message wire.Workspace
	if err := receive(w, r, &message, "baseline", "disk"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.readyLocked(); err != nil {
		return err
	}
	if s.workspace != nil {
		return &failure{http.StatusConflict, "already-mounted", "there is a workspace already"}
	}
	mounted, err := s.machine.MountWorkspace(message.Baseline, message.Disk)
	if err != nil {
		return &failure{http.StatusInternalServerError, "mount-failed", err.Error()}
	}
	s.workspace, err = openWorkspace(mounted)
	if err != nil {
		return &failure{http.StatusInternalServerError, "mount-failed", err.Error()}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateReady})
	return nil
}

// freeze holds the workspace's disk still, so that the host can copy it.
func (s *Server) freeze(w http.ResponseWriter, r *http.Request) error {
	var message wire.Freeze
	if err := receive(w, r, &message, "hold_ms"); err != nil {
		return err
	}
	hold := time.Duration(message.HoldMS) * time.Millisecond
	if message.HoldMS < 1 || message.HoldMS > longestHold.Milliseconds() {
		return badRequest(errors.New("hold_ms is out of range"))
	}
	tree, err := s.worked()
	if err != nil {
		return err
	}
	if err := tree.freezer.Freeze(hold); err != nil {
		return &failure{http.StatusInternalServerError, "freeze-failed", err.Error()}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateFrozen})
	return nil
}

// thaw ends a freeze.
func (s *Server) thaw(w http.ResponseWriter, _ *http.Request) error {
	tree, err := s.worked()
	if err != nil {
		return err
	}
	held, err := tree.freezer.Thaw()
	if err != nil {
		return &failure{http.StatusInternalServerError, "thaw-failed", err.Error()}
	}
	if !held {
		return &failure{http.StatusConflict, "not-frozen", "the workspace thawed by itself, or never was frozen"}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateThawed})
	return nil
}

// worked returns the workspace, or why there is none.
func (s *Server) worked() (*workspace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	if s.workspace == nil {
		return nil, &failure{http.StatusConflict, "no-workspace", "this machine has no workspace"}
	}
	return s.workspace, nil
}

// does makes a handler of an operation.
func (s *Server) does(do operation) handler {
	return s.framed(func(c *call) (any, error) {
		tree, err := s.worked()
		if err != nil {
			return nil, err
		}
		var parameter wire.Work
		if err := c.decode(&parameter); err != nil {
			return nil, err
		}
		out := &pieces{ctx: c.ctx, frames: c.frames}
		result, err := do(c.ctx, &work{machine: s.machine, tree: tree, parameter: parameter, in: c.sentAlong(), out: out})
		if err == nil {
			err = out.flush()
		}
		return result, err
	})
}

// Package service keeps commands that run on when the request that started them is over: named, each in a cgroup of its
// own, with their outputs in files that outlive them.
//
// Above it stands server, which speaks the protocol (protocol/README.md, section 6); below it stand process, which runs the
// commands, dial and the kernel. It knows no messages.
package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"pyro.local/guest/internal/process"
)

const (
	// maxRunning is how many services may run at a time.
	maxRunning = 64
	// maxKnown is how many states are kept, those of ended services included. The one that ended first is forgotten.
	maxKnown = 1024
)

// Spec is a service to be.
type Spec struct {
	Name        string // checked by the caller: it becomes a directory's
	Command     *process.Command
	Environment map[string]string // the machine's, below the command's own
	Readiness   *Readiness        // nil if it is ready as soon as it runs
	Timeout     time.Duration     // to be ready
	Interval    time.Duration     // between two tries of what costs something
}

// Registry knows all services of a machine.
type Registry struct {
	runner    *process.Runner
	directory func() (string, error)

	mu        sync.Mutex
	services  map[string]*service
	launching map[string]bool // names of those that are just being started
	halted    bool
}

// NewRegistry returns one without services. directory names where logs are kept; it is called when they are needed.
func NewRegistry(runner *process.Runner, directory func() (string, error)) *Registry {
	return &Registry{
		runner: runner, directory: directory, services: map[string]*service{}, launching: map[string]bool{},
	}
}

// Start starts a service and returns when it is ready. started is told its pid. If the context ends before, or it is not
// ready in time, the service is ended. An error that is a *process.Failure is why the command could not be started.
func (r *Registry) Start(ctx context.Context, spec *Spec, started func(pid int)) (State, error) {
	s, err := r.launch(spec)
	if err != nil {
		return State{}, err
	}
	started(s.process.PID)
	if spec.Readiness != nil {
		if err := s.awaitReady(ctx, spec, r.runner); err != nil {
			return State{}, err
		}
	}
	return s.now(), nil
}

// Status returns the state of a service.
func (r *Registry) Status(name string) (State, error) {
	s, err := r.find(name)
	if err != nil {
		return State{}, err
	}
	return s.now(), nil
}

// Wait returns the state of a service once it has ended, or the context's error.
func (r *Registry) Wait(ctx context.Context, name string) (State, error) {
	s, err := r.find(name)
	if err != nil {
		return State{}, err
	}
	select {
	case <-s.ended:
		return s.now(), nil
	case <-ctx.Done():
		return State{}, ctx.Err()
	}
}

// Stop asks all of a service to end, and ends what still lives after grace. One that has ended already is left as it is.
func (r *Registry) Stop(name string, grace time.Duration) (State, error) {
	s, err := r.find(name)
	if err != nil {
		return State{}, err
	}
	s.stop(grace)
	return s.now(), nil
}

// Halt stops all services and lets no more be started. When it returns, nothing writes to their logs any more.
func (r *Registry) Halt(grace time.Duration) {
	r.mu.Lock()
	r.halted = true
	var stopping sync.WaitGroup
	for _, s := range r.services {
		stopping.Go(func() { s.stop(grace) })
	}
	r.mu.Unlock()
	stopping.Wait()
}

// Logs passes on what the view is about, of both outputs at a time, and tells of each whether there was more. Where a piece
// does not follow the one before it of that output, or is not the output's beginning, an empty one comes before it.
func (r *Registry) Logs(
	ctx context.Context, name string, view View, emit func(process.Output, []byte) error,
) (cut [2]bool, err error) {
	logs, err := r.logs(name)
	if err != nil {
		return cut, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var showing sync.WaitGroup
	for i, l := range logs {
		showing.Go(func() {
			var err error
			cut[i], err = l.show(ctx, view, func(data []byte) error { return emit(process.Output(i), data) })
			if err != nil {
				cancel(err) // what one has met ends the other too
			}
		})
	}
	showing.Wait()
	return cut, context.Cause(ctx)
}

func (r *Registry) find(name string) (*service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.services[name]
	if !ok {
		return nil, errNotFound
	}
	return s, nil
}

// logs returns those of a service that is known, or else what one of that name has left before this machine was started.
func (r *Registry) logs(name string) (logs [2]*log, err error) {
	if s, err := r.find(name); err == nil {
		return s.logs, nil
	}
	directory, err := r.directory()
	if err != nil {
		return logs, err
	}
	directory = filepath.Join(directory, name)
	runs, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(runs) == 0 {
		return logs, errNotFound
	}
	if err != nil {
		return logs, err
	}
	for i := range logs {
		if logs[i], err = openLog(filepath.Join(directory, runs[len(runs)-1].Name()), logNames[i]); err != nil {
			return logs, err
		}
	}
	return logs, nil
}

// launch starts the command and makes it known.
func (r *Registry) launch(spec *Spec) (*service, error) {
	if err := r.admit(spec.Name); err != nil {
		return nil, err
	}
	s, err := r.spawn(spec)
	r.mu.Lock()
	delete(r.launching, spec.Name)
	halted := r.halted
	if err == nil {
		r.services[spec.Name] = s
	}
	r.mu.Unlock()
	if err == nil && halted {
		s.end()
		return nil, errHalted
	}
	return s, err
}

// spawn runs the command, its outputs going to new files in the place of those of an earlier run.
func (r *Registry) spawn(spec *Spec) (*service, error) {
	top, err := r.directory()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	directory, run := filepath.Join(top, spec.Name), strconv.FormatInt(now.UnixNano(), 10)
	if err := os.MkdirAll(filepath.Join(directory, run), 0o700); err != nil {
		return nil, err
	}
	running, err := r.runner.Start(spec.Command, spec.Environment)
	if err != nil {
		_ = os.Remove(filepath.Join(directory, run))
		_ = os.Remove(directory) // unless there are logs of an earlier one
		return nil, err
	}
	removeOthers(directory, run)
	s := &service{process: running, ended: make(chan struct{})}
	for i, name := range logNames {
		s.logs[i] = &log{directory: filepath.Join(directory, run), name: name, partSize: partSize}
	}
	s.state = State{Name: spec.Name, PID: running.PID, Phase: Starting, Started: now}
	if spec.Readiness == nil {
		s.markReady()
	}
	s.run()
	return s, nil
}

// admit tells why no service of that name can be started now, or keeps the name for one that is about to be.
func (r *Registry) admit(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.halted {
		return errHalted
	}
	if r.launching[name] {
		return errExists
	}
	running, oldest := len(r.launching), ""
	var since time.Time
	for known, s := range r.services {
		state := s.now()
		switch {
		case state.Phase != Ended && known == name:
			return errExists
		case state.Phase != Ended:
			running++
		case oldest == "" || state.Ended.Before(since):
			oldest, since = known, state.Ended
		}
	}
	if running >= maxRunning {
		return errTooMany
	}
	if _, again := r.services[name]; !again && len(r.services) >= maxKnown {
		delete(r.services, oldest)
	}
	r.launching[name] = true
	return nil
}

// removeOthers removes the logs of earlier runs.
func removeOthers(directory, run string) {
	entries, _ := os.ReadDir(directory)
	for _, entry := range entries {
		if entry.Name() != run {
			_ = os.RemoveAll(filepath.Join(directory, entry.Name()))
		}
	}
}

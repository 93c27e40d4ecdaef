// Package shell keeps commands on terminals: they go on when the request that opened them is over, what they write is
// remembered for a while, and any number of requests read it and write to them.
//
// Above it stands server, which speaks the protocol; below it process. It knows no messages. Nobody who reads, or does
// not, can hold a shell up: its terminal is always drained. Memory per shell is bounded by its ring.
package shell

import (
	"sync"
	"time"

	"pyro.local/guest/internal/process"
)

// MaxShells is how many are kept, ended ones included.
const MaxShells = 32

// Shells knows the shells of a machine by name.
type Shells struct {
	runner *process.Runner

	mu     sync.Mutex
	named  map[string]*Shell // nil while it is being opened
	halted bool
}

// NewShells returns a place for shells, which the runner starts.
func NewShells(runner *process.Runner) *Shells {
	return &Shells{runner: runner, named: map[string]*Shell{}}
}

// Open starts a command, which must have a terminal, below the given environment. An error that is a *process.Failure is
// the command's own outcome, *Error says that there can be no shell of that name.
func (s *Shells) Open(name string, command *process.Command, environment map[string]string) (*Shell, error) {
	if err := s.reserve(name); err != nil {
		return nil, err
	}
	running, err := s.runner.Start(command, environment)
	var opened *Shell
	if err == nil {
		opened = begin(name, command, running)
	}
	s.mu.Lock()
	halted := s.halted
	if err != nil || halted {
		delete(s.named, name)
	} else {
		s.named[name] = opened
	}
	s.mu.Unlock()
	if err == nil && halted {
		opened.end()
		return nil, errHalted
	}
	return opened, err
}

func (s *Shells) reserve(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halted {
		return errHalted
	}
	if _, ok := s.named[name]; ok {
		return refuse(Exists, "there is a shell %q already", name)
	}
	if len(s.named) >= MaxShells {
		return refuse(TooMany, "there are %d shells already: close one first", MaxShells)
	}
	s.named[name] = nil
	return nil
}

// Find returns the shell of that name.
func (s *Shells) Find(name string) (*Shell, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.named[name]; found != nil {
		return found, nil
	}
	return nil, refuse(NotFound, "there is no shell %q", name)
}

// Close ends the shell of that name with all that it started, and forgets it. The state returned is its last.
func (s *Shells) Close(name string) (State, error) {
	closed, err := s.Find(name)
	if err != nil {
		return State{}, err
	}
	closed.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named[name] == closed { // nobody else has closed it meanwhile
		delete(s.named, name)
	}
	return closed.State(), nil
}

// Halt ends all shells, each as the loss of its terminal does, and lets no more be opened. What has not ended after grace is
// killed, and waited for as long again.
func (s *Shells) Halt(grace time.Duration) {
	s.mu.Lock()
	s.halted = true
	var halting sync.WaitGroup
	for _, open := range s.named {
		if open != nil {
			halting.Go(func() { open.hangUp(grace) })
		}
	}
	s.mu.Unlock()
	halting.Wait()
}

var errHalted = refuse(Stopping, "the machine is being stopped")

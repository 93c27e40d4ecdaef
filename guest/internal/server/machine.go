package server

import (
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"pyro.local/guest/internal/identity"
	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/wire"
)

const clockBoottime = 7 // runs while the machine is suspended, too

// hello tells who answers.
func (s *Server) hello(w http.ResponseWriter, _ *http.Request) error {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	var uptime syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&uptime)), 0)
	if errno != 0 {
		return os.NewSyscallError("clock_gettime", errno)
	}
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	answer(w, http.StatusOK, wire.Hello{
		Generation: wire.Generation,
		Version:    s.version,
		BootID:     strings.TrimSpace(string(id)),
		UptimeMS:   uptime.Nano() / 1e6,
		State:      state,
	})
	return nil
}

// identity makes this machine differ from its copies.
func (s *Server) identity(w http.ResponseWriter, r *http.Request) error {
	var message wire.Identity
	if err := receive(w, r, &message, "hostname", "machine_id", "entropy", "clock_ns"); err != nil {
		return err
	}
	who := &identity.Identity{
		Hostname:  message.Hostname,
		MachineID: message.MachineID,
		Clock:     time.Unix(0, message.ClockNS),
	}
	seed, err := hex.DecodeString(message.Entropy)
	if err != nil || copy(who.Entropy[:], seed) != identity.EntropySize || len(seed) != identity.EntropySize {
		return badRequest(errors.New("entropy is not 32 bytes in hex"))
	}
	if err := who.Check(); err != nil {
		return badRequest(err)
	}
	now, err := s.machine.Identify(who)
	if err != nil {
		return &failure{http.StatusInternalServerError, "identity-failed", err.Error()}
	}
	answer(w, http.StatusOK, wire.Clock{ClockNS: now.UnixNano()})
	return nil
}

// mount gives the machine its root.
func (s *Server) mount(w http.ResponseWriter, r *http.Request) error {
	var message wire.Mount
	if err := receive(w, r, &message, "base", "scratch", "environment"); err != nil {
		return err
	}
	if err := process.CheckEnvironment(message.Environment); err != nil {
		return badRequest(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errStopping
	}
	if s.state != wire.StateBooted {
		return &failure{http.StatusConflict, "already-mounted", "the disks are mounted already"}
	}
	if err := s.machine.Mount(message.Base, message.Scratch); err != nil {
		return &failure{http.StatusInternalServerError, "mount-failed", err.Error()}
	}
	s.state, s.environment = wire.StateReady, message.Environment
	answer(w, http.StatusOK, wire.State{State: wire.StateReady})
	return nil
}

// powerOff answers first: afterwards there is no one to.
func (s *Server) powerOff(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	again := s.stopping
	s.stopping = true
	s.mu.Unlock()
	answer(w, http.StatusOK, wire.State{State: wire.StateStopping})
	if again {
		return nil
	}
	_ = http.NewResponseController(w).Flush() // a host that is gone still wants it off
	go func() {
		s.halt()
		s.machine.PowerOff()
	}()
	return nil
}

// halt ends what has ways of its own to end: services before the disks are sealed, which they cannot be while logs are
// written, and shells, which do not heed the signal that everything else ends by.
func (s *Server) halt() {
	var halting sync.WaitGroup
	halting.Go(func() { s.services.Halt(haltGrace) })
	halting.Go(func() { s.shells.Halt(haltGrace) })
	halting.Wait()
}

// Package server answers the requests of the guest protocol (protocol/README.md, sections 3 to 6).
//
// Above it stands the program, which gives it a listener and the machine's powers; below it process, shell, service, forward,
// identity, netconf and wire.
// What it does to the machine goes through Machine, so that it can be tested without one.
package server

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"pyro.local/guest/internal/identity"
	"pyro.local/guest/internal/netconf"
	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/service"
	"pyro.local/guest/internal/shell"
	"pyro.local/guest/internal/wire"
)

// headerTimeout bounds how long a stream may be open without a request on it.
const headerTimeout = 30 * time.Second

// Machine is what the server can do to the machine it runs on.
type Machine interface {
	// Identify makes the machine who it is told to be and returns the clock as it reads then.
	Identify(who *identity.Identity) (time.Time, error)
	// Mount joins the two disks and makes them the root. It is called once at a time.
	Mount(base, scratch string) error
	// MountWorkspace lays the tree to work on over /workspace. It is called once at a time, after Mount.
	MountWorkspace(baseline, disk string) (*Workspace, error)
	// MountImage mounts a disk where nothing else is, and returns where, and what unmounts it again.
	MountImage(device string) (path string, unmount func() error, err error)
	// Network gives the machine its place in a network. It is called once at a time, after Mount.
	Network(config *netconf.Config) error
	// PutSecret makes a value what a name stands for, for the commands of the machine.
	PutSecret(name string, value []byte) error
	// Services returns the directory for what services leave behind. It is called after Mount.
	Services() (string, error)
	// PowerOff ends the machine. It need not return.
	PowerOff()
}

// Workspace is where the tree to work on is found: what it began as, what was changed, and both together.
type Workspace struct {
	Lower, Upper, Merged string
	Freezer              Freezer
}

// Freezer stops all writing to a workspace's disk for a while.
type Freezer interface {
	// Freeze returns once everything is written. Writing goes on after hold, whatever happens, unless it is called again.
	Freeze(hold time.Duration) error
	// Thaw lets writing go on, and tells whether it was stopped until now.
	Thaw() (held bool, err error)
}

// Server holds what outlives a request.
type Server struct {
	version string
	machine Machine
	runner  *process.Runner
	shells  *shell.Shells
	routes  map[string]handler

	services *service.Registry

	mu          sync.Mutex // held while the state changes, so for as long as a mount takes
	state       string
	stopping    bool
	environment map[string]string
	workspace   *workspace
}

// handler answers a request or returns why not; an answer that was begun can only be cut off.
type handler func(http.ResponseWriter, *http.Request) error

// New returns a server for a machine that has booted.
func New(version string, machine Machine, runner *process.Runner) *Server {
	s := &Server{version: version, machine: machine, runner: runner, state: wire.StateBooted}
	s.shells = shell.NewShells(runner)
	s.services = service.NewRegistry(runner, func() (string, error) { return machine.Services() })
	s.routes = map[string]handler{
		"GET /v1/hello":     s.hello,
		"POST /v1/identity": s.identity,
		"POST /v1/mount":    s.mount,
		"POST /v1/exec":     s.exec,
		"POST /v1/poweroff": s.powerOff,

		"POST /v1/workspace": s.mountWorkspace,
		"POST /v1/freeze":    s.freeze,
		"POST /v1/thaw":      s.thaw,

		"POST /v1/network": s.network,
		"POST /v1/secret":  s.framed(s.secret),
		"POST /v1/forward": s.framed(s.forward),
	}
	for name, do := range operations {
		s.routes["POST /v1/workspace/"+name] = s.does(do)
	}
	for name, serve := range s.shellCalls() {
		s.routes["POST /v1/shell/"+name] = s.framed(serve)
	}
	for name, serve := range s.serviceCalls() {
		s.routes["POST /v1/service/"+name] = s.framed(serve)
	}
	return s
}

// Serve answers requests until the listener fails.
func (s *Server) Serve(listener net.Listener) error {
	server := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(os.Stderr, "pyro-guest: ", 0),
		ConnContext:                  withDone,
	}
	server.SetKeepAlivesEnabled(false) // a stream is one request
	return server.Serve(listener)
}

// ServeHTTP finds the handler and turns its error into an answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer endOnPanic()
	handle, ok := s.routes[r.Method+" "+r.URL.Path]
	if !ok {
		refuse(w, &failure{http.StatusNotFound, "not-found", r.Method + " " + r.URL.Path + ": no such request"})
		return
	}
	if err := handle(w, r); err != nil {
		refuse(w, err)
	}
}

// endOnPanic ends the program, which is the machine: net/http would swallow the panic and go on with broken state.
func endOnPanic() {
	reason := recover()
	if reason == nil || reason == http.ErrAbortHandler {
		return
	}
	fmt.Fprintf(os.Stderr, "pyro-guest: panic: %v\n%s", reason, debug.Stack())
	os.Exit(2)
}

// doneKey is where a connection's own end is kept in its requests' contexts.
type doneKey struct{}

// withDone remembers how the carrier tells that a stream ended before its time, if it can tell.
func withDone(ctx context.Context, conn net.Conn) context.Context {
	if stream, ok := conn.(interface{ Done() <-chan struct{} }); ok {
		return context.WithValue(ctx, doneKey{}, stream.Done())
	}
	return ctx
}

// working returns the context of the work for a request. net/http ends a request's own context also when the host has
// sent all it had to send, which by itself is no reason to stop; so where the carrier knows better, it is asked.
func working(r *http.Request) (context.Context, context.CancelFunc) {
	done, ok := r.Context().Value(doneKey{}).(<-chan struct{})
	if !ok {
		return context.WithCancel(r.Context())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	go func() {
		select {
		case <-done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

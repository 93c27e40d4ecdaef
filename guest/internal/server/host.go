package server

import (
	"net/http"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/wire"
)

// NewOnHost returns a server for a program of a host: it is ready, commands get the environment, and there is no machine
// to identify or mount. end, which ends all commands and the program, is called once.
func NewOnHost(version string, end func(), runner *process.Runner, environment map[string]string) *Server {
	s := New(version, host{end: end}, runner)
	s.state, s.environment = wire.StateReady, environment
	s.routes["POST /v1/identity"] = noMachine
	s.routes["POST /v1/mount"] = noMachine
	s.routes["POST /v1/workspace"] = noMachine
	s.routes["POST /v1/network"] = noMachine
	s.routes["POST /v1/secret"] = noMachine
	s.routes["POST /v1/forward"] = noMachine
	for name := range s.serviceCalls() {
		s.routes["POST /v1/service/"+name] = noMachine
	}
	return s
}

// host is no machine: of what a Machine does it can only end.
type host struct {
	Machine
	end func()
}

// PowerOff implements Machine.
func (h host) PowerOff() { h.end() }

func noMachine(http.ResponseWriter, *http.Request) error {
	return &failure{http.StatusConflict, "no-machine", "commands run on the host itself: there is no machine to change"}
}

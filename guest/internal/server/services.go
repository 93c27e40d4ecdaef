package server

import (
	"context"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/service"
	"pyro.local/guest/internal/wire"
)

// haltGrace is how long services and shells have to end when the machine is about to.
const haltGrace = 2 * time.Second

// serviceCalls are what can be asked for at /v1/service/NAME.
func (s *Server) serviceCalls() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"start":  s.startService,
		"status": s.serviceStatus,
		"wait":   s.awaitService,
		"stop":   s.stopService,
		"logs":   s.serviceLogs,
	}
}

func (s *Server) startService(c *call) (any, error) {
	environment, err := s.ready()
	if err != nil {
		return nil, err
	}
	var message wire.ServiceStart
	err = c.decode(&message, "service", "argv", "env", "cwd", "ready_timeout_ms", "ready_interval_ms")
	if err != nil {
		return nil, err
	}
	spec, err := specOf(&message)
	if err != nil {
		return nil, badRequest(err)
	}
	spec.Environment = environment
	ctx, done := c.attended()
	defer done()
	c.unheard = func() { _, _ = s.services.Stop(spec.Name, 0) }
	state, err := s.services.Start(ctx, spec, c.frames.started)
	if err == nil && ctx.Err() != nil {
		c.unheard()
	}
	return serviceState(state), err
}

// specOf understands what a message says, and checks it.
func specOf(message *wire.ServiceStart) (*service.Spec, error) {
	command := &process.Command{Argv: message.Argv, Env: message.Env, Cwd: message.Cwd}
	if err := command.Check(); err != nil {
		return nil, err
	}
	spec := &service.Spec{
		Name:     message.Service,
		Command:  command,
		Timeout:  time.Duration(message.ReadyTimeoutMS) * time.Millisecond,
		Interval: time.Duration(message.ReadyIntervalMS) * time.Millisecond,
	}
	if message.Readiness == nil {
		return spec, nil
	}
	kind, argument, err := message.Readiness.Argument()
	if err != nil {
		return nil, err
	}
	spec.Readiness, err = service.NewReadiness(kind, argument)
	return spec, err
}

func (s *Server) serviceStatus(c *call) (any, error) {
	var message wire.ServiceName
	if err := s.forService(c, &message, "service"); err != nil {
		return nil, err
	}
	state, err := s.services.Status(message.Service)
	return serviceState(state), err
}

// awaitService may take for ever. That the host leaves is nothing to the service.
func (s *Server) awaitService(c *call) (any, error) {
	var message wire.ServiceName
	if err := s.forService(c, &message, "service"); err != nil {
		return nil, err
	}
	ctx, done := c.attended()
	defer done()
	_ = c.control.Flush() // the host is to know that it is heard, however long it takes
	state, err := s.services.Wait(ctx, message.Service)
	return serviceState(state), err
}

// stopService goes on to the end also when the host leaves: what was begun is not left half done.
func (s *Server) stopService(c *call) (any, error) {
	var message wire.ServiceStop
	if err := s.forService(c, &message, "service", "grace_ms"); err != nil {
		return nil, err
	}
	state, err := s.services.Stop(message.Service, time.Duration(message.GraceMS)*time.Millisecond)
	return serviceState(state), err
}

func (s *Server) serviceLogs(c *call) (any, error) {
	var message wire.ServiceLogs
	if err := s.forService(c, &message, "service", "tail_lines", "max_bytes", "follow"); err != nil {
		return nil, err
	}
	ctx, done := c.attended()
	defer done()
	_ = c.control.Flush() // here, too, also while the service is silent
	view := service.View{TailLines: int(message.TailLines), MaxBytes: message.MaxBytes, Follow: message.Follow}
	cut, err := s.services.Logs(ctx, message.Service, view, c.frames.output)
	return wire.ServiceLogged{StdoutTruncated: cut[process.Stdout], StderrTruncated: cut[process.Stderr]}, err
}

// forService reads what is asked of a service, if the machine is ready.
func (s *Server) forService(c *call, message any, required ...string) error {
	if _, err := s.ready(); err != nil {
		return err
	}
	return c.decode(message, required...)
}

// attended returns a context that also ends when the host breaks the request off, and what must be called at the end.
func (c *call) attended() (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	received := make(chan struct{})
	go func() {
		defer close(received)
		if receiveStdin(c.body, nil) != nil {
			cancel()
		}
	}()
	return ctx, func() {
		cancel()
		stopReading(c.control)
		<-received // net/http must be the only reader when this returns
	}
}

func serviceState(state service.State) wire.ServiceState {
	return wire.ServiceState{
		Service:   state.Name,
		PID:       state.PID,
		State:     string(state.Phase),
		ExitCode:  state.ExitCode,
		Signal:    state.Signal,
		Stopped:   state.Stopped,
		StartedNS: nanoseconds(state.Started),
		ReadyNS:   nanoseconds(state.Ready),
		EndedNS:   nanoseconds(state.Ended),
	}
}

// nanoseconds since the epoch, 0 for what was not yet.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

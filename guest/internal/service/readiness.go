package service

import (
	"context"

	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"pyro.local/guest/internal/process"
)

// cheapInterval is how often something is tried that costs next to nothing.
const cheapInterval = 25 * time.Millisecond

// Readiness is how a service is found to be ready.
type Readiness struct {
	path    string    // of a file that is there then
	address *endpoint // that can be connected to then
	page    *url.URL  // that is answered then; address is where
	command string    // a shell line that ends with 0 then
}

// The kinds of readiness.
const (
	kindFile    = "file"
	kindTCP     = "tcp"
	kindHTTP    = "http"
	kindCommand = "command"
)

// NewReadiness tells what is wrong with an argument of that kind.
func NewReadiness(kind, argument string) (*Readiness, error) {
	if argument == "" || strings.ContainsRune(argument, 0) {
		return nil, fmt.Errorf("readiness of type %q needs an argument without NUL bytes", kind)
	}
	switch kind {
	case kindFile:
		return &Readiness{path: argument}, nil
	case kindTCP:
		address, err := parseEndpoint(argument)
		return &Readiness{address: address}, err
	case kindHTTP:
		page, address, err := parsePage(argument)
		return &Readiness{page: page, address: address}, err
	case kindCommand:
		return &Readiness{command: argument}, nil
	}
	return nil, fmt.Errorf("there is no readiness of type %q", kind)
}

// awaitReady returns once the service is ready. If it does not get so far, it has ended when this returns.
func (s *service) awaitReady(ctx context.Context, spec *Spec, runner *process.Runner) error {
	deadline := s.now().Started.Add(spec.Timeout)
	probing, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	found := make(chan error, 1)
	go func() { found <- (&prober{Spec: spec, runner: runner}).await(probing) }()
	var last error
	select {
	case last = <-found:
	case <-s.ended:
		cancel()
		<-found
	}
	switch {
	case last == nil && s.markReady():
		return nil
	case s.now().Phase == Ended:
		return endedEarly(s.now())
	}
	s.end()
	if ctx.Err() != nil {
		return errLeft
	}
	return notReady(last)
}

// prober tries whether one service is ready.
type prober struct {
	*Spec
	runner *process.Runner
}

// await tries until the service is ready. If the context ends first, it returns why the last try has failed.
func (p *prober) await(ctx context.Context) error {
	cheap := min(p.Interval, cheapInterval)
	switch ready := p.Readiness; {
	case ready.path != "":
		return repeat(ctx, cheap, p.lookForFile)
	case ready.page != nil:
		if err := repeat(ctx, cheap, p.knock); err != nil {
			return err
		}
		return repeat(ctx, p.Interval, p.ask)
	case ready.address != nil:
		return repeat(ctx, cheap, p.knock)
	default:
		return repeat(ctx, p.Interval, p.command)
	}
}

// repeat tries until it succeeds, with so much time between two tries, or the context ends.
func repeat(ctx context.Context, interval time.Duration, try func(context.Context) error) error {
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // that it was broken off says nothing about the service
			last = err
		}
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return last
		}
	}
}

// absolute is a path as the service would understand it.
func (p *prober) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.Command.Cwd, path)
}

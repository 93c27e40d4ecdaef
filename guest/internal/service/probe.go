package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"pyro.local/guest/internal/process"
)

const (
	// knockLimit bounds one attempt to connect. On the machine itself it takes no time; others may never answer.
	knockLimit = time.Second
	// pageLimit bounds the answer to one request.
	pageLimit = 5 * time.Second
	// commandLimit is how long a command may try.
	commandLimit = 10 * time.Second
	// maxAnswer bounds what is read of an answer, of which only the first line counts.
	maxAnswer = 64 << 10
	// maxHints bounds the preliminary answers that may come before the one that counts.
	maxHints = 8
)

// lookForFile tells whether the file is there. Where a program answers for a file system, looking may take for ever.
func (p *prober) lookForFile(ctx context.Context) error {
	seen := make(chan error, 1)
	go func() {
		_, err := os.Stat(p.absolute(p.Readiness.path))
		seen <- err
	}()
	select {
	case err := <-seen:
		if failed, ok := errors.AsType[*os.PathError](err); ok {
			return fmt.Errorf("%s: %w", p.Readiness.path, failed.Err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// knock tells whether the address can be connected to.
func (p *prober) knock(ctx context.Context) error {
	conn, err := p.Readiness.address.connect(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// ask tells whether the page is answered, with a status that is no complaint. A redirection is an answer.
func (p *prober) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	conn, err := p.Readiness.address.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	status, err := get(conn, p.Readiness)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer in time", p.Readiness.address)
	case err != nil:
		return fmt.Errorf("%s: %w", p.Readiness.address, innermost(err))
	case status < 200 || status > 399:
		return fmt.Errorf("%s: status %d", p.Readiness.address, status)
	}
	return nil
}

// get asks for the page and returns the answer's status.
func get(conn net.Conn, ready *Readiness) (int, error) {
	request := &http.Request{
		Method: http.MethodGet, URL: ready.page, Host: ready.page.Host, Close: true,
		Header: http.Header{"User-Agent": {"pyro"}, "Accept": {"*/*"}},
	}
	if err := request.Write(conn); err != nil {
		return 0, err
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	for range maxHints {
		response, err := http.ReadResponse(answer, request)
		if err != nil {
			return 0, err
		}
		if response.StatusCode >= 200 {
			return response.StatusCode, nil
		}
	}
	return 0, errors.New("it only gives hints")
}

// command tells whether the shell line ends with 0. All that it has started ends with it.
func (p *prober) command(ctx context.Context) error {
	line := &process.Command{
		Argv: []string{"/bin/sh", "-c", p.Readiness.command}, Env: p.Spec.Command.Env, Cwd: p.Spec.Command.Cwd,
	}
	running, err := p.runner.Start(line, p.Environment)
	if err != nil {
		return err
	}
	running.Rest = running.End
	result := running.Wait(ctx, commandLimit, func(process.Output, []byte) error { return nil })
	switch {
	case ctx.Err() != nil || result.TimedOut:
		return errors.New("the command did not end in time")
	case result.Signal != 0:
		return fmt.Errorf("the command was ended by signal %d", result.Signal)
	case result.ExitCode != 0:
		return fmt.Errorf("the command ended with status %d", result.ExitCode)
	}
	return nil
}

// innermost is what a failed call on a connection says without the addresses, which go before it here.
func innermost(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was closed")
	}
	return err
}

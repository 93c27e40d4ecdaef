package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// becomes starts a service that only gets ready when make is called, and checks that it was not before.
func (b *bench) becomes(kind, argument string, make func()) State {
	b.t.Helper()
	spec := b.spec("service", `exec sleep 1000`)
	spec.Readiness = b.readiness(kind, argument)
	var made atomic.Bool
	state, err := b.Start(context.Background(), spec, func(pid int) {
		if state, err := b.Status("service"); err != nil || state.Phase != Starting || state.PID != pid || !state.Ready.IsZero() {
			b.t.Errorf("%+v, %v", state, err)
		}
		go func() {
			made.Store(true)
			make()
		}()
	})
	if err != nil || !made.Load() || state.Phase != Running || state.Ready.Before(state.Started) {
		b.t.Fatalf("%+v, %v", state, err)
	}
	if _, err := b.Stop("service", 0); err != nil {
		b.t.Fatal(err)
	}
	return state
}

// fails starts a service that does not get ready, and checks that it is ended and that a reason is given.
func (b *bench) fails(kind, argument string, timeout time.Duration) (reason string) {
	b.t.Helper()
	spec := b.spec("service", `exec sleep 1000`)
	spec.Readiness, spec.Timeout = b.readiness(kind, argument), timeout
	_, err := b.Start(context.Background(), spec, func(int) {})
	known := failure(b.t, err)
	state, _ := b.Status("service")
	if known.Code != "not-ready" || state.Phase != Ended || !state.Stopped || alive(state.PID) || !state.Ready.IsZero() ||
		state.Ended.Sub(state.Started) < timeout {
		b.t.Errorf("%v, %+v", err, state)
	}
	return known.Details["reason"].(string)
}

const short = 200 * time.Millisecond

func TestAFileMakesAServiceReady(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"relative", filepath.Join(t.TempDir(), "absolute")} {
		b.becomes(kindFile, path, func() {
			if !filepath.IsAbs(path) {
				path = filepath.Join(b.cwd, path)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	b.fails(kindFile, "none/there", short)
	p := newProber(t, kindFile, "none/there")
	if err := p.lookForFile(context.Background()); err == nil || err.Error() != "none/there: no such file or directory" {
		t.Error(err)
	}
}

// freePort returns a port at which nobody listens.
func freePort(t *testing.T, host string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skip(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func TestAnAddressMakesAServiceReady(t *testing.T) {
	b := newBench(t)
	for _, c := range [][2]string{{"127.0.0.1", "127.0.0.1"}, {"localhost", "127.0.0.1"}, {"localhost", "::1"}, {"::1", "::1"}} {
		port := freePort(t, c[1])
		listening := make(chan net.Listener, 1)
		b.becomes(kindTCP, net.JoinHostPort(c[0], port), func() {
			listener, err := net.Listen("tcp", net.JoinHostPort(c[1], port))
			if err != nil {
				t.Error(err)
			}
			listening <- listener
		})
		listener := <-listening
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF { // closed as usual, not reset
			t.Error(err)
		}
		conn.Close()
		listener.Close()
	}
	port := freePort(t, "127.0.0.1")
	b.fails(kindTCP, "127.0.0.1:"+port, short)
	p := newProber(t, kindTCP, "127.0.0.1:"+port)
	if err := p.knock(context.Background()); err == nil || err.Error() != "127.0.0.1:"+port+": connection refused" {
		t.Error(err)
	}
}

func TestACommandMakesAServiceReady(t *testing.T) {
	b := newBench(t)
	spec := b.spec("service", `exec sleep 1000`)
	spec.Command.Env, spec.Environment = map[string]string{"WANTED": "mark"}, map[string]string{"MACHINE": "yes"}
	spec.Readiness = b.readiness(kindCommand, `test -e "$WANTED" -a "$MACHINE" = yes`)
	if _, err := b.Start(context.Background(), spec, func(int) {
		if err := os.WriteFile(filepath.Join(b.cwd, "mark"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Error(err)
	}
	b.Halt(0)
}

func TestACommandThatFailsIsNotReady(t *testing.T) {
	b := newBench(t)
	for line, want := range map[string]string{
		`exit 3`:          "the command ended with status 3",
		`kill -USR1 $$`:   "the command was ended by signal 10",
		`no-such-command`: "the command ended with status 127",
	} {
		p := newProber(t, kindCommand, line)
		p.runner = b.runner
		if err := p.command(context.Background()); err == nil || err.Error() != want {
			t.Errorf("%s: %v", line, err)
		}
	}
	b.fails(kindCommand, `exit 3`, short)
}

// TestACommandIsEndedWithAllThatItHasStarted has one that does not end before the deadline, and one that ends but leaves
// something behind.
func TestACommandIsEndedWithAllThatItHasStarted(t *testing.T) {
	b := newBench(t)
	const line = `setsid sh -c 'echo $$ > child; touch up; exec sleep 1000' & while ! test -e up; do :; done; rm up; `
	b.fails(kindCommand, line+`sleep 1000`, time.Second)
	if alive(b.pid("child")) {
		t.Error("what a command has started lives after the deadline")
	}
	spec := b.spec("service", `exec sleep 1000`)
	spec.Readiness = b.readiness(kindCommand, line)
	if _, err := b.Start(context.Background(), spec, func(int) {}); err != nil {
		t.Fatal(err)
	}
	if alive(b.pid("child")) {
		t.Error("what a command has left behind lives")
	}
	b.Halt(0)
}

func TestAServiceThatEndsIsNotWaitedFor(t *testing.T) {
	b := newBench(t)
	for kind, argument := range map[string]string{
		kindFile: "none", kindTCP: "127.0.0.1:1", kindHTTP: "http://127.0.0.1:1", kindCommand: `sleep 1000`,
	} {
		spec := b.spec("service", `echo why >&2; exit 5`)
		spec.Readiness = b.readiness(kind, argument)
		_, err := b.Start(context.Background(), spec, func(int) {})
		known := failure(t, err)
		if known.Code != "ended" || known.Details["exit_code"] != int64(5) || known.Details["signal"] != int64(0) {
			t.Errorf("%s: %v", kind, known)
		}
		if state, err := b.Status("service"); err != nil || state.Phase != Ended || state.Stopped {
			t.Errorf("%+v, %v", state, err)
		}
		if _, text := b.said("service"); text != "why\n" {
			t.Errorf("%q", text)
		}
	}
}

func TestAStartThatIsBrokenOffEndsTheService(t *testing.T) {
	b := newBench(t)
	for _, readiness := range []*Readiness{b.readiness(kindFile, "none"), b.readiness(kindCommand, `sleep 1000`)} {
		spec := b.spec("service", `setsid sleep 1000 & echo $! > child; exec sleep 1000`)
		spec.Readiness = readiness
		ctx, cancel := context.WithCancel(context.Background())
		_, err := b.Start(ctx, spec, func(int) { cancel() })
		if !errors.Is(err, errLeft) {
			t.Error(err)
		}
		if state, err := b.Status("service"); err != nil || state.Phase != Ended || alive(state.PID) {
			t.Errorf("%+v, %v", state, err)
		}
	}
}

func TestAStopEndsAStart(t *testing.T) {
	b := newBench(t)
	spec := b.spec("service", `exec sleep 1000`)
	spec.Readiness = b.readiness(kindFile, "none")
	_, err := b.Start(context.Background(), spec, func(int) {
		go b.Stop("service", patience)
	})
	if known := failure(t, err); known.Code != "ended" || known.Details["signal"] != int64(15) {
		t.Error(known)
	}
}

func TestReadinessThatMakesNoSenseIsRefused(t *testing.T) {
	for _, c := range [][2]string{
		{"", "x"}, {"sleep", "1"}, {"file", ""}, {"file", "a\x00b"}, {"command", ""},
		{"tcp", "80"}, {"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:65536"}, {"tcp", "127.0.0.1:http"},
		{"tcp", "example.org:80"}, {"tcp", ":80"}, {"tcp", "127.1:80"}, {"tcp", "[fe80::1%lo]:80"}, {"tcp", "::1:80"},
		{"http", "https://127.0.0.1/"}, {"http", "127.0.0.1:80"}, {"http", "http://"}, {"http", "http://example.org/"},
		{"http", "http://user:word@127.0.0.1/"}, {"http", "file:///etc/passwd"}, {"http", "http://127.0.0.1:port/"},
		{"http", "HTTP//127.0.0.1"}, {"http", "http://127.0.0.1/a b\r\nX: y"},
	} {
		if _, err := NewReadiness(c[0], c[1]); err == nil {
			t.Errorf("%q was taken", c)
		}
	}
	for argument, want := range map[string]string{
		"http://127.0.0.1/": "[127.0.0.1:80]", "http://[::1]:8080/x": "[[::1]:8080]",
		"http://LOCALHOST": "", "http://localhost": "[127.0.0.1:80 [::1]:80]",
	} {
		readiness, err := NewReadiness("http", argument)
		if want == "" != (err != nil) || err == nil && fmt.Sprint(readiness.address.addresses) != want {
			t.Error(argument, readiness, err)
		}
	}
}

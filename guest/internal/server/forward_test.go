package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pyro.local/guest/internal/wire"
)

// program listens at a port, and does the same with each connection it gets.
type program struct {
	listener *net.TCPListener
	port     int
	all      sync.WaitGroup
}

func newProgram(t *testing.T, serve func(*net.TCPConn)) *program {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{listener: listener.(*net.TCPListener), port: listener.Addr().(*net.TCPAddr).Port}
	p.all.Go(func() {
		for {
			conn, err := p.listener.AcceptTCP()
			if err != nil {
				return
			}
			p.all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(p.end)
	return p
}

// end returns when all its connections have ended.
func (p *program) end() {
	p.listener.Close()
	p.all.Wait()
}

// start is the payload of START.
func (p *program) start() string { return fmt.Sprintf(`{"port": %d}`, p.port) }

func TestTheHostEndsItsDirectionFirst(t *testing.T) {
	g := newReadyGuest(t)
	p := newProgram(t, func(conn *net.TCPConn) {
		said, err := io.ReadAll(conn)
		fmt.Fprintf(conn, "%q %v", said, err)
	})
	e := g.begin("/v1/forward", p.start())
	e.connected()
	e.send(wire.KindStdin, []byte("one"))
	e.send(wire.KindStdin, nil)
	e.send(wire.KindStdin, []byte("\x00two"))
	e.send(wire.KindStdinEOF, nil)
	if said := e.heard("nil>"); said != `"one\x00two" <nil>` {
		t.Errorf("%q", said)
	}
	e.follows(wire.KindOutputEOF, wire.KindResult)
}

func TestTheProgramEndsItsDirectionFirst(t *testing.T) {
	g := newReadyGuest(t)
	said := make(chan string, 1)
	p := newProgram(t, func(conn *net.TCPConn) {
		io.WriteString(conn, "hello")
		conn.CloseWrite()
		data, err := io.ReadAll(conn)
		said <- fmt.Sprintf("%q %v", data, err)
	})
	e := g.begin("/v1/forward", p.start())
	e.connected()
	e.heard("hello")
	e.follows(wire.KindOutputEOF)
	e.send(wire.KindStdin, []byte("still there"))
	e.send(wire.KindStdinEOF, nil)
	e.follows(wire.KindResult)
	if got := <-said; got != `"still there" <nil>` {
		t.Error(got)
	}
}

// connected reads CONNECTED.
func (e *execution) connected() {
	e.t.Helper()
	e.follows(wire.KindConnected)
}

// follows reads frames of these kinds. After a RESULT there is nothing.
func (e *execution) follows(kinds ...wire.Kind) {
	e.t.Helper()
	for _, want := range kinds {
		kind, payload, err := e.next()
		if err != nil || kind != want {
			e.t.Fatal(kind, string(payload), err, "instead of", want)
		}
		if kind == wire.KindResult && string(payload) != "{}" {
			e.t.Errorf("%q", payload)
		}
	}
	if kinds[len(kinds)-1] == wire.KindResult {
		if _, _, err := e.next(); err != io.EOF {
			e.t.Error("RESULT is not the last:", err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	g := newReadyGuest(t)
	p := newProgram(t, nil)
	p.listener.Close()
	if _, kind, last := g.framed("/v1/forward", p.start()); kind != wire.KindFailed || last["code"] != "refused" {
		t.Error(kind, last)
	}
	for _, port := range []string{"0", "65536", "-1", `"80"`, "80.5", "null"} {
		if status, data := g.askRaw("POST", "/v1/forward", startFrame(`{"port": `+port+`}`)); status != http.StatusBadRequest {
			t.Error(port, status, string(data))
		}
	}
}

// TestAResetOfTheProgramBreaksTheStream has programs that reset at different times.
func TestAResetOfTheProgramBreaksTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*net.TCPConn)
		ends  bool // whether the host has ended its direction
		said  string
	}{
		"at once":            {func(*net.TCPConn) {}, false, ""},
		"after its words":    {func(conn *net.TCPConn) { io.WriteString(conn, "words") }, false, "words"},
		"after the host's":   {func(conn *net.TCPConn) { io.Copy(io.Discard, conn) }, true, ""},
		"in the host's":      {func(conn *net.TCPConn) { conn.Read(make([]byte, 1)) }, false, ""},
		"after half the way": {func(conn *net.TCPConn) { conn.CloseWrite(); conn.Read(make([]byte, 1)) }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newReadyGuest(t)
			goOn := make(chan struct{})
			p := newProgram(t, func(conn *net.TCPConn) {
				c.serve(conn)
				<-goOn
				conn.SetLinger(0)
			})
			e := g.begin("/v1/forward", p.start())
			e.connected()
			if c.said != "" {
				e.heard(c.said)
			}
			e.send(wire.KindStdin, bytes.Repeat([]byte("x"), 1000))
			if c.ends {
				e.send(wire.KindStdinEOF, nil)
			}
			close(goOn)
			kind, payload, err := e.next()
			if name == "after half the way" && kind == wire.KindOutputEOF {
				kind, payload, err = e.next()
			}
			if kind != wire.KindFailed || !strings.Contains(string(payload), `"reset"`) {
				t.Error(kind, string(payload), err)
			}
		})
	}
}

// TestABrokenStreamBreaksTheConnection tries the ways there are, at several times.
func TestABrokenStreamBreaksTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		before []wire.Kind
		leave  func(*execution)
	}{
		"RESET":                        {nil, func(e *execution) { e.stream.Reset() }},
		"RESET after the request":      {[]wire.Kind{wire.KindStdinEOF, 0}, func(e *execution) { e.stream.Reset() }},
		"a new session":                {nil, func(e *execution) { e.port.Connect() }},
		"FIN of an unfinished request": {nil, func(e *execution) { e.stream.CloseWrite() }},
		"the end without STDIN_EOF":    {[]wire.Kind{0}, func(*execution) {}},
		"a frame out of place":         {nil, func(e *execution) { e.send(wire.KindStart, nil) }},
		"a frame after the last":       {[]wire.Kind{wire.KindStdinEOF}, func(e *execution) { e.send(wire.KindStdin, []byte("x")) }},
		"a last frame with bytes":      {nil, func(e *execution) { e.send(wire.KindStdinEOF, []byte("x")) }},
	} {
		t.Run(name, func(t *testing.T) {
			g := newReadyGuest(t)
			felt := make(chan error, 1)
			p := newProgram(t, func(conn *net.TCPConn) {
				io.WriteString(conn, "up")
				var err error
				for one := make([]byte, 1); err == nil || err == io.EOF; { // its end alone is not what is waited for
					if _, err = conn.Read(one); err == io.EOF {
						_, err = conn.Write(one)
					}
				}
				felt <- err
			})
			e := g.begin("/v1/forward", p.start())
			e.connected()
			e.heard("up")
			for _, kind := range c.before {
				if kind == 0 {
					e.complete()
				} else {
					e.send(kind, nil)
				}
			}
			c.leave(e)
			if err := <-felt; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
		})
	}
}

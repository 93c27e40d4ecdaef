package server_test

import (
	"bytes"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/server"
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

// onSocket returns a client of a server that is ready, at a socket of its own, where connections tell nothing but that
// they have ended. served gets a value for each request that was answered.
func onSocket(t *testing.T) (client *http.Client, served <-chan string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := process.NewGroups("")
	if err != nil {
		t.Fatal(err)
	}
	agent := server.New("1.2.3", &machine{services: t.TempDir()}, process.NewRunner(reaper(), groups))
	paths := make(chan string, 1000)
	site := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent.ServeHTTP(w, r)
		paths <- r.URL.Path
	})}
	go site.Serve(listener)
	t.Cleanup(func() { site.Close() })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	client = &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	body := `{"base": "/dev/vda", "scratch": "/dev/vdb", "environment": {}}`
	response, err := client.Post("http://guest/v1/mount", "", strings.NewReader(body))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	<-paths
	return client, paths
}

// conversation is a request in frames whose body stays open.
type conversation struct {
	body   *io.PipeWriter
	frames *wire.FrameReader
	leave  context.CancelFunc
}

// converse returns once the guest has begun to answer.
func converse(client *http.Client, path, start string) (*conversation, error) {
	ctx, leave := context.WithCancel(context.Background())
	reader, body := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://guest"+path, io.MultiReader(bytes.NewReader(startFrame(start)), reader))
	if err != nil {
		leave()
		return nil, err
	}
	response, err := client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if err != nil {
		leave()
		return nil, err
	}
	return &conversation{body, wire.NewFrameReader(response.Body), leave}, nil
}

func (c *conversation) send(kind wire.Kind, payload []byte) error {
	_, err := c.body.Write(wire.AppendFrame(nil, kind, payload))
	return err
}

// heard is what the guest said: all the bytes, then the frames that are not bytes, in order.
type heard struct {
	bytes  []byte
	pieces int
	kinds  []wire.Kind
	last   string
}

// rest reads to the end of the answer.
func (c *conversation) rest() (h heard, err error) {
	for {
		kind, payload, err := c.frames.Next()
		if err == io.EOF {
			return h, nil
		}
		if err != nil {
			return h, err
		}
		if kind == wire.KindStdout {
			h.bytes, h.pieces = append(h.bytes, payload...), h.pieces+1
			continue
		}
		h.kinds, h.last = append(h.kinds, kind), string(payload)
	}
}

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

// TestAHostThatHangsUpBreaksTheConnection is the same where only the end of the connection tells of it.
func TestAHostThatHangsUpBreaksTheConnection(t *testing.T) {
	client, served := onSocket(t)
	felt := make(chan error, 1)
	p := newProgram(t, func(conn *net.TCPConn) {
		_, err := conn.Read(make([]byte, 1))
		felt <- err
	})
	c, err := converse(client, "/v1/forward", p.start())
	if err != nil {
		t.Fatal(err)
	}
	c.leave()
	if err := <-felt; !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	<-served
}

// TestManyConnectionsAtOnce has each carry its own bytes both ways, all at the same time.
func TestManyConnectionsAtOnce(t *testing.T) {
	const many, size = 200, 300_000
	client, served := onSocket(t)
	p := newProgram(t, func(conn *net.TCPConn) {
		io.Copy(conn, conn)
		conn.CloseWrite()
	})
	var open, all sync.WaitGroup
	open.Add(many)
	for i := range many {
		all.Go(func() {
			c, err := converse(client, "/v1/forward", p.start())
			open.Done()
			open.Wait() // so that all are open at once
			if err != nil {
				t.Error(err)
				return
			}
			want := bytes.Repeat(fmt.Appendf(nil, "%07d\n", i), size/8)
			all.Go(func() {
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 1+i*300)
					c.send(wire.KindStdin, rest[:n])
					rest = rest[n:]
				}
				c.send(wire.KindStdinEOF, nil)
				c.body.Close()
			})
			h, err := c.rest()
			if err != nil || !bytes.Equal(h.bytes, want) || fmt.Sprint(h.kinds) != fmt.Sprint([]wire.Kind{wire.KindConnected, wire.KindOutputEOF, wire.KindResult}) {
				t.Error(i, len(h.bytes), h.kinds, h.last, err)
			}
			c.leave()
		})
	}
	all.Wait()
	for range many {
		<-served
	}
	p.end()
	if left := p.connections(t); len(left) > 0 {
		t.Errorf("connections are left: %q", left)
	}
}

// connections returns the lines of the kernel's table for connections with the program, but for those that are over and
// only keep their numbers from being used again.
func (p *program) connections(t *testing.T) (open []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const timeWait = "06"
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, fmt.Sprintf(":%04X ", p.port)) && strings.Fields(line)[3] != timeWait {
			open = append(open, line)
		}
	}
	return open
}

// TestMuchIsMovedInLargePieces counts the pieces: each of them costs the same, whatever is in it.
func TestMuchIsMovedInLargePieces(t *testing.T) {
	const size, piece = 32 << 20, 64 << 10
	client, _ := onSocket(t)
	received := make(chan int64, 1)
	p := newProgram(t, func(conn *net.TCPConn) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			n, _ := io.Copy(io.Discard, conn)
			received <- n
		}()
		block := make([]byte, 1<<20)
		for range size / len(block) {
			conn.Write(block)
		}
		conn.CloseWrite()
		<-done
	})
	c, err := converse(client, "/v1/forward", p.start())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		block := make([]byte, piece)
		for range size / piece {
			c.send(wire.KindStdin, block)
		}
		c.send(wire.KindStdinEOF, nil)
		c.body.Close()
	}()
	h, err := c.rest()
	if err != nil || len(h.bytes) != size || h.pieces > size/(16<<10) {
		t.Errorf("%d bytes in %d pieces, %v", len(h.bytes), h.pieces, err)
	}
	if n := <-received; n != size {
		t.Errorf("%d bytes arrived", n)
	}
	c.leave()
}

// TestLongRequestsEndWhenTheHostLeaves has the host hang up after it has sent its request whole, or in the middle of it.
func TestLongRequestsEndWhenTheHostLeaves(t *testing.T) {
	client, served := onSocket(t)
	readiness := `{"type": "file", "path": "/none"}`
	response, err := client.Post("http://guest/v1/service/start", "", bytes.NewReader(startFrame(serviceStart("a", "exec sleep 1000", "null"))))
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(response.Body)
	if !strings.Contains(string(said), `"running"`) {
		t.Fatal(string(said), err)
	}
	<-served
	for _, complete := range []bool{true, false} {
		for path, start := range map[string]string{
			"wait": `{"service": "a"}`, "logs": `{"service": "a", "tail_lines": 0, "max_bytes": 1, "follow": true}`,
			"start": serviceStart("b", "exec sleep 1000", readiness),
		} {
			leaveLong(t, client, "/v1/service/"+path, start, complete)
			if got := <-served; got != "/v1/service/"+path {
				t.Error(got)
			}
		}
	}
	status := func(name string) (state wire.ServiceState) {
		response, err := client.Post("http://guest/v1/service/status", "", bytes.NewReader(startFrame(`{"service": "`+name+`"}`)))
		if err != nil {
			t.Fatal(err)
		}
		_, payload, err := wire.NewFrameReader(response.Body).Next()
		if err != nil || json.Unmarshal(payload, &state) != nil {
			t.Fatal(string(payload), err)
		}
		return state
	}
	if state := status("a"); state.State != "running" {
		t.Errorf("%+v", state)
	}
	if state := status("b"); state.State != "ended" {
		t.Errorf("%+v", state)
	}
	syscall.Kill(status("a").PID, syscall.SIGKILL)
	awaitDeath(t, status("a").PID)
}

// leaveLong sends a request and hangs up when the guest has begun to answer it.
func leaveLong(t *testing.T, client *http.Client, path, start string, complete bool) {
	t.Helper()
	c, err := converse(client, path, start)
	if err != nil {
		t.Fatal(err)
	}
	if complete {
		c.body.Close()
	}
	c.leave()
}

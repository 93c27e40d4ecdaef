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

// TestAHostThatHangsUpBreaksTheConnection is the same where only the end of the connection tells of it: in the middle of
// the request, or when all of that was sent.
func TestAHostThatHangsUpBreaksTheConnection(t *testing.T) {
	client, served := onSocket(t)
	for _, complete := range []bool{false, true} {
		ended, felt := make(chan struct{}), make(chan error, 1)
		p := newProgram(t, func(conn *net.TCPConn) {
			_, err := conn.Read(make([]byte, 1))
			close(ended)
			if err == io.EOF {
				err = awaitReset(conn)
			}
			felt <- err
		})
		c, err := converse(client, "/v1/forward", p.start())
		if err != nil {
			t.Fatal(err)
		}
		if complete {
			c.send(wire.KindStdinEOF, nil)
			c.body.Close()
			<-ended
		}
		c.leave()
		if err := <-felt; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
		<-served
	}
}

// awaitReset returns the error of a connection, once it has one, without touching it.
func awaitReset(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	number := 0
	err = raw.Read(func(fd uintptr) bool {
		number, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		return number != 0 || err != nil
	})
	return errors.Join(err, syscall.Errno(number))
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

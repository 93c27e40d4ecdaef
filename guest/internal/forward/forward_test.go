package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"pyro.local/guest/internal/dial/dialtest"
)

// program listens at a port, on one host only, and is what a test does with the connections it gets.
type program struct {
	listener *net.TCPListener
	port     int
}

func newProgram(t *testing.T, host string) *program {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &program{listener.(*net.TCPListener), listener.Addr().(*net.TCPAddr).Port}
}

// joined returns both ends of a connection.
func (p *program) joined(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	conn, err := Dial(context.Background(), p.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	theirs, err := p.listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return conn, theirs
}

// event is what Out does.
type event struct {
	data  string
	flush bool
}

// out collects what Out does until it ends.
func out(conn *Conn) (<-chan event, <-chan error) {
	events, ended := make(chan event, 16), make(chan error, 1)
	go func() {
		ended <- conn.Out(3, func(piece []byte) error {
			events <- event{data: string(piece[3:])}
			return nil
		}, func() error {
			events <- event{flush: true}
			return nil
		})
	}()
	return events, ended
}

func TestNobodyIsFoundAtOnce(t *testing.T) {
	p := newProgram(t, "127.0.0.1")
	p.listener.Close()
	if _, err := Dial(context.Background(), p.port); err != ErrRefused {
		t.Error(err)
	}
}

// TestAConnectionDoesNotMeetItself would find one that was made before the service listens, and keeps the port from it.
func TestAConnectionDoesNotMeetItself(t *testing.T) {
	dialtest.MeetsNoOne(t, func(port int) error {
		_, err := Dial(context.Background(), port)
		return err
	}, ErrRefused)
}

func TestAProgramThatOnlySpeaksIPv6IsFound(t *testing.T) {
	newProgram(t, "::1").joined(t)
}

func TestADialCanBeGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ctx, newProgram(t, "127.0.0.1").port); err != ErrRefused {
		t.Error(err)
	}
}

// TestEverythingIsFlushedBeforeTheWaitForMore has pieces that fill the buffer to the last byte, too.
func TestEverythingIsFlushedBeforeTheWaitForMore(t *testing.T) {
	conn, theirs := newProgram(t, "127.0.0.1").joined(t)
	events, ended := out(conn)
	for _, size := range []int{1, BufferSize - 4, BufferSize - 3, BufferSize - 2, 3 * (BufferSize - 3)} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := theirs.Write(want); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for flushed := false; len(got) < size || !flushed; {
			next := <-events
			got, flushed = append(got, next.data...), next.flush
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d", len(got), size)
		}
	}
	theirs.CloseWrite()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(events) > 0 {
		t.Error("something was put or flushed for nothing")
	}
}

func TestWhatStopsTheOutputIsReturned(t *testing.T) {
	p := newProgram(t, "127.0.0.1")
	done, fail := func() error { return nil }, func() error { return syscall.ENOANO }
	for _, c := range []struct {
		size       int
		put, flush func() error
	}{{1, fail, done}, {1, done, fail}, {BufferSize, done, fail}} {
		conn, theirs := p.joined(t)
		theirs.Write(make([]byte, c.size))
		if err := conn.Out(0, func([]byte) error { return c.put() }, c.flush); err != syscall.ENOANO {
			t.Error(err)
		}
	}
}

func TestAResetOfTheProgramIsOne(t *testing.T) {
	conn, theirs := newProgram(t, "127.0.0.1").joined(t)
	events, ended := out(conn)
	theirs.Write([]byte("last words"))
	if first := <-events; first.data != "last words" {
		t.Error(first)
	}
	theirs.SetLinger(0)
	theirs.Close()
	if err := <-ended; err != ErrReset {
		t.Error(err)
	}
	if err := conn.EndIn(); err != ErrReset {
		t.Error(err)
	}
}

// TestWhatAProgramSaidBeforeItHungUpIsStillRead has one that does not read what it is sent, as a server that refuses a
// large upload.
func TestWhatAProgramSaidBeforeItHungUpIsStillRead(t *testing.T) {
	conn, theirs := newProgram(t, "127.0.0.1").joined(t)
	theirs.Write([]byte("too large"))
	theirs.Close()
	var err error
	for err == nil {
		err = conn.In(reading(bytes.Repeat([]byte("x"), 1000)), 1000)
	}
	if err != ErrReset {
		t.Error(err)
	}
	events, ended := out(conn)
	if first := <-events; first.data != "too large" {
		t.Error(first)
	}
	if err := <-ended; err != ErrReset { // though the input has heard of it before
		t.Error(err)
	}
}

func reading(data []byte) func([]byte) (int, error) { return bytes.NewReader(data).Read }

func TestBreakingIsFeltByTheProgram(t *testing.T) {
	conn, theirs := newProgram(t, "127.0.0.1").joined(t)
	_, ended := out(conn)
	conn.Break()
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if err := <-ended; err != ErrReset {
		t.Error(err)
	}
}

func TestEachDirectionEndsByItself(t *testing.T) {
	conn, theirs := newProgram(t, "127.0.0.1").joined(t)
	if err := conn.In(reading([]byte("question")), 8); err != nil {
		t.Fatal(err)
	}
	if err := conn.EndIn(); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(theirs); string(said) != "question" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
	events, ended := out(conn)
	theirs.Write([]byte("answer"))
	theirs.CloseWrite()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if first := <-events; first.data != "answer" {
		t.Error(first)
	}
}

func TestAnErrorOfWhoeverSendsIsReturned(t *testing.T) {
	conn, _ := newProgram(t, "127.0.0.1").joined(t)
	if err := conn.In(func([]byte) (int, error) { return 0, syscall.ENOANO }, 8); err != syscall.ENOANO {
		t.Error(err)
	}
}

// TestIdleConnectionsHoldNoBuffer looks at what many of them take.
func TestIdleConnectionsHoldNoBuffer(t *testing.T) {
	const many = 50
	p, before := newProgram(t, "127.0.0.1"), held()
	var ends []<-chan error
	var all []*net.TCPConn
	for range many {
		conn, theirs := p.joined(t)
		events, ended := out(conn)
		theirs.Write([]byte("x"))
		for !(<-events).flush { // it waits now, or is about to
		}
		all, ends = append(all, theirs), append(ends, ended)
	}
	if more := held() - before; more > many*BufferSize/2 {
		t.Errorf("%d bytes are in use", more)
	}
	for i, theirs := range all {
		theirs.Close()
		if err := <-ends[i]; err != nil {
			t.Error(err)
		}
	}
}

// held returns how many bytes are in use. What waits to be used again is not.
func held() int64 {
	var memory runtime.MemStats
	for range 2 { // the first collection leaves what is in a sync.Pool to the second
		runtime.GC()
	}
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc)
}

func TestNothingIsLeftOpen(t *testing.T) {
	p := newProgram(t, "127.0.0.1")
	p.joined(t)
	before := descriptors(t)
	for _, end := range []func(*Conn){(*Conn).Close, (*Conn).Break} {
		conn, theirs := p.joined(t)
		_, ended := out(conn)
		end(conn)
		theirs.Close()
		<-ended
	}
	if after := descriptors(t); !slices.Equal(before, after) {
		t.Errorf("%q, before %q", after, before)
	}
}

func descriptors(t *testing.T) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			open = append(open, target)
		}
	}
	return open
}

package listen

import (
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a connection as Accept returns it, and the host's end of it.
func pair(t *testing.T) (*hostConn, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	host := os.NewFile(uintptr(fds[1]), "host")
	t.Cleanup(func() { host.Close() })
	return &hostConn{File: os.NewFile(uintptr(fds[0]), "guest")}, host
}

func TestAClosedConnectionLastsUntilTheHostEndsIt(t *testing.T) {
	conn, host := pair(t)
	if _, err := conn.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now()); err != nil { // as net/http leaves it
		t.Fatal(err)
	}
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	answer := make([]byte, 6)
	if _, err := io.ReadFull(host, answer); err != nil || string(answer) != "answer" {
		t.Fatalf("%q, %v", answer, err)
	}
	if err := host.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Read(answer); !os.IsTimeout(err) {
		t.Errorf("the guest ended the connection: %v", err)
	}
	if err := syscall.Shutdown(int(host.Fd()), syscall.SHUT_WR); err != nil { // as far as the guest can see, the end
		t.Fatal(err)
	}
	if err := host.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Read(answer); err != io.EOF {
		t.Errorf("the connection is left over: %v", err)
	}
}

func TestDeadlinesWork(t *testing.T) {
	conn, _ := pair(t)
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Error(err)
	}
}

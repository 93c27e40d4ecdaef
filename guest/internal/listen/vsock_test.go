package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
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

// listening is a listener as listenVsock returns it, at a socket that anybody can make, and a way to connect to it.
func listening(t *testing.T) (*vsockListener, func()) {
	t.Helper()
	address := &syscall.SockaddrUnix{Name: filepath.Join(t.TempDir(), "socket")}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(fd, address), syscall.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	l := &vsockListener{file: os.NewFile(uintptr(fd), "listener")}
	t.Cleanup(func() { l.Close() })
	return l, func() {
		t.Helper()
		client, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(client) })
		if err := syscall.Connect(client, address); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAServerOutlivesAShortageOfDescriptors(t *testing.T) {
	l, connect := listening(t)
	connect()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if temporary, ok := err.(net.Error); conn != nil || !ok || !temporary.Temporary() || !errors.Is(err, syscall.EMFILE) {
		t.Fatal(conn, err)
	}
	conn, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.(*hostConn).File.Close()
}

func TestOnlyShortagesGoAway(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{
		syscall.EMFILE: true, syscall.ENFILE: true, syscall.ENOBUFS: true, syscall.ENOMEM: true, syscall.EINVAL: false, syscall.EBADF: false,
	} {
		err, ok := acceptError(errno).(net.Error)
		if got := ok && err.Temporary(); got != want {
			t.Errorf("%v: %v", errno, got)
		}
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

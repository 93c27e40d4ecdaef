package dial

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"pyro.local/guest/internal/dial/dialtest"
)

func TestAConnectionDoesNotMeetItself(t *testing.T) {
	dialtest.MeetsNoOne(t, func(port int) error {
		_, err := TCP(context.Background(), fmt.Sprint("127.0.0.1:", port))
		return err
	}, syscall.ECONNREFUSED)
}

// TestWhatWasSentArrivesThoughTheConnectionIsClosed would find a reset where a connection still left no trace.
func TestWhatWasSentArrivesThoughTheConnectionIsClosed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := TCP(context.Background(), listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if _, err := io.WriteString(conn, "last words"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if said, err := io.ReadAll(theirs); string(said) != "last words" || err != nil {
		t.Errorf("%q %v", said, err)
	}
}

package listen

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"os"
	"syscall"
	"testing"
)

// pipedPort is a port whose device is a pipe, which like the device takes some and then waits.
func pipedPort(t *testing.T) (port, *os.File) {
	t.Helper()
	device, sink, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPort(sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		device.Close()
		sink.Close()
		syscall.Close(p.pipeIn)
		syscall.Close(p.pipeOut)
	})
	return p, device
}

func TestAllBytesArriveInOrder(t *testing.T) {
	p, device := pipedPort(t)
	sent := make([]byte, 3*pipeBytes+4097)
	rand.New(rand.NewSource(1)).Read(sent)
	done := make(chan error)
	go func() {
		for _, size := range []int{1, 4095, 4097, pipeBytes, pipeBytes + 1, len(sent)} {
			if n, err := p.Write(sent[:size]); err != nil || n != size {
				done <- errors.Join(err, io.ErrShortWrite)
				return
			}
		}
		done <- nil
	}()
	for _, size := range []int{1, 4095, 4097, pipeBytes, pipeBytes + 1, len(sent)} {
		got := make([]byte, size)
		if _, err := io.ReadFull(device, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent[:size]) {
			t.Fatalf("%d bytes arrived otherwise than they were sent", size)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestADeviceThatIsGoneEndsTheWrite(t *testing.T) {
	p, device := pipedPort(t)
	done := make(chan error)
	go func() {
		_, err := p.Write(make([]byte, 4*pipeBytes))
		done <- err
	}()
	if _, err := io.ReadFull(device, make([]byte, pipeBytes)); err != nil {
		t.Fatal(err)
	}
	device.Close()
	if err := <-done; err == nil {
		t.Fatal("there is nobody to write to, and nothing said so")
	}
}

func TestWhatThePipeHoldsIsKnown(t *testing.T) {
	p, _ := pipedPort(t)
	if _, err := syscall.Write(p.pipeIn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if n, err := p.taken(1500); n != 500 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := p.taken(1000); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

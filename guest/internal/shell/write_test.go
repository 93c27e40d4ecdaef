package shell_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"pyro.local/guest/internal/shell"
)

// deaf is a program that does not read, and whose terminal keeps all for it as it is.
const deaf = "stty raw -echo; printf up; exec sleep 1000"

func TestWhoDoesNotReadIsNotWaitedForLong(t *testing.T) {
	o := newShells(t).open("a", deaf)
	o.until(0, "up")
	text := strings.Repeat("x", 1_000_000)
	began := time.Now()
	written, err := io.WriteString(o.Writer(context.Background(), 50*time.Millisecond), text)
	if code(err) != shell.NotReading || written == 0 || written == len(text) || time.Since(began) < 50*time.Millisecond {
		t.Error(written, err)
	}
	// Nor is one who has to wait for another's turn.
	ctx, cancel := context.WithCancel(context.Background())
	patient := make(chan error)
	go func() {
		_, err := io.WriteString(o.Writer(ctx, 0), text)
		patient <- err
	}()
	if written, err := io.WriteString(o.Writer(context.Background(), 50*time.Millisecond), text); code(err) != shell.NotReading || written != 0 {
		t.Error(written, err)
	}
	cancel()
	if err := <-patient; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAWriterThatIsLeftIsNoHarmToTheNext(t *testing.T) {
	o := newShells(t).open("a", "stty raw -echo; printf up; exec sh -c 'kill -STOP $$; exec cat'")
	o.until(0, "up")
	text := strings.Repeat("x", 100_000)
	for range 20 { // a context that ends at any moment of a write
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if _, err := io.WriteString(o.Writer(ctx, 0), text); err == nil {
			t.Error("it was taken")
		}
		cancel()
	}
	taken := make(chan error)
	go func() {
		_, err := io.WriteString(o.Writer(context.Background(), time.Minute), "the end")
		taken <- err
	}()
	if err := o.Signal(18); err != nil { // SIGCONT
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
	o.until(0, "the end")
}

// TestASlowReaderIsWaitedFor takes what it is given in small bites, each after less than the patience.
func TestASlowReaderIsWaitedFor(t *testing.T) {
	o := newShells(t).open("a", "stty raw -echo; printf up; for i in 1 2 3 4 5 6 7 8; do dd bs=4096 count=1 of=/dev/null 2>/dev/null; sleep 0.1; done; exec cat >/dev/null")
	o.until(0, "up")
	text := strings.Repeat("x", 60_000)
	if written, err := io.WriteString(o.Writer(context.Background(), 500*time.Millisecond), text); err != nil || written != len(text) {
		t.Error(written, err)
	}
}

func TestNothingIsWrittenToAnEndedShell(t *testing.T) {
	o := newShells(t).open("a", "exit 0")
	o.over()
	if written, err := io.WriteString(o.Writer(context.Background(), time.Minute), "x"); code(err) != shell.NotReading || written != 0 {
		t.Error(written, err)
	}
}

func TestAShellThatEndsEndsTheWriting(t *testing.T) {
	s := newShells(t)
	o := s.open("a", deaf)
	o.until(0, "up")
	written := make(chan error)
	go func() {
		_, err := io.WriteString(o.Writer(context.Background(), 0), strings.Repeat("x", 1_000_000))
		written <- err
	}()
	if _, err := s.Close("a"); err != nil {
		t.Fatal(err)
	}
	if err := <-written; code(err) != shell.NotReading {
		t.Error(err)
	}
}

// TestLinesOfSeveralWritersStayWhole has many write to one shell, in pieces that a terminal takes at once.
func TestLinesOfSeveralWritersStayWhole(t *testing.T) {
	const writers, lines, width = 8, 50, 3000
	o := newShells(t).open("a", "stty raw -echo; printf 'up '; exec head -c 1200400 | tr -s a-z")
	o.until(0, "up ")
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			line := strings.Repeat(string(rune('a'+i)), width) + "\n"
			for range lines {
				if _, err := io.WriteString(o.Writer(context.Background(), time.Minute), line); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	said, _ := o.over()
	found := strings.Fields(said)[1:]
	if len(found) != writers*lines {
		t.Errorf("%d lines came", len(found))
	}
	for _, line := range found {
		if len(line) != 1 {
			t.Errorf("a line is %q", line)
		}
	}
}

package shell

import (
	"os"
	"strings"
	"testing"
	"time"

	"pyro.local/guest/internal/process"
)

// TestWhatStandsInTheTerminalAtTheEndIsTaken has the reader find the end and something to read at the same time. A pipe
// is as good as a terminal for that.
func TestWhatStandsInTheTerminalAtTheEndIsTaken(t *testing.T) {
	terminal, program, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	defer program.Close() // is held to the end, so that only the deadline ends the reading
	text := strings.Repeat("x", 3*readSize+1)
	if _, err := program.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := terminal.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	s := &Shell{process: &process.Process{Terminal: terminal}}
	s.drain(make(chan struct{}))
	if got := string(s.ring.held); got != text {
		t.Errorf("%d of %d bytes were taken", len(got), len(text))
	}
}

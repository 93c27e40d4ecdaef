package process

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// onTerminal runs a shell line on a terminal of 100 columns and 40 rows.
func onTerminal(t *testing.T, line string) *Process {
	t.Helper()
	command := shell(line)
	command.Terminal = &Terminal{Cols: 100, Rows: 40}
	p, err := newRunner(t).Start(command, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Terminal.Close() })
	return p
}

// saidBy reads the terminal until it says the word.
func saidBy(t *testing.T, p *Process, word string) string {
	t.Helper()
	var said []byte
	buffer := make([]byte, 1024)
	for !strings.Contains(string(said), word) {
		n, err := p.Terminal.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q", err, said)
		}
		said = append(said, buffer[:n]...)
	}
	return string(said)
}

func TestACommandIsOnATerminalOfItsOwn(t *testing.T) {
	p := onTerminal(t, `tty -s <&0 && tty -s <&1 && tty -s <&2 && tty; stty size; echo $TERM; cut -d' ' -f5-8 /proc/$$/stat; echo $$; stat -c %t:%T $(tty)`)
	if result := p.Wait(context.Background(), 0, nil); result.ExitCode != 0 {
		t.Error(result)
	}
	said, err := io.ReadAll(p.Terminal)
	if !errors.Is(err, syscall.EIO) {
		t.Error("a terminal that nobody holds ends with", err)
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\r\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "/dev/pts/") || lines[1] != "40 100" || lines[2] != "xterm-256color" {
		t.Fatalf("%q", lines)
	}
	// Its process group, its session and the terminal's foreground process group are those that it leads.
	if status := strings.Fields(lines[3]); status[0] != lines[4] || status[1] != lines[4] || status[3] != lines[4] {
		t.Errorf("%q", lines)
	}
}

func TestTheCommandsOwnTERMHidesTheDefault(t *testing.T) {
	for _, c := range []struct {
		machine, own map[string]string
		want         string
	}{
		{nil, nil, "xterm-256color"},
		{map[string]string{"TERM": "machine"}, nil, "machine"},
		{map[string]string{"TERM": "machine"}, map[string]string{"TERM": "own"}, "own"},
	} {
		command := &Command{Env: c.own, Terminal: &Terminal{}}
		if got := command.environment(c.machine)["TERM"]; got != c.want {
			t.Errorf("%v: %q", c, got)
		}
	}
	if got, ok := (&Command{}).environment(nil)["TERM"]; ok {
		t.Errorf("without a terminal it is %q", got)
	}
}

func TestAResizeIsSignalled(t *testing.T) {
	p := onTerminal(t, `trap 'stty size; exit 5' WINCH; sleep 1000 & echo up; wait`)
	saidBy(t, p, "up")
	if err := p.Resize(Terminal{Cols: 7, Rows: 1000}); err != nil {
		t.Fatal(err)
	}
	saidBy(t, p, "1000 7")
	if result := p.Wait(context.Background(), 0, nil); result.ExitCode != 5 {
		t.Error(result)
	}
	p.End()
}

// TestARubbedOutCharacterIsGoneWhole has one of two bytes, and a program that reads lines as the terminal edits them.
func TestARubbedOutCharacterIsGoneWhole(t *testing.T) {
	p := onTerminal(t, `read line; printf %s "$line" | od -An -tx1; exit 0`)
	if _, err := p.Terminal.WriteString("\u00e9\x7fx\n"); err != nil {
		t.Fatal(err)
	}
	p.Wait(context.Background(), 0, nil)
	said, _ := io.ReadAll(p.Terminal)
	if _, got, _ := strings.Cut(string(said), "\r\n"); got != " 78\r\n" {
		t.Errorf("of %q it has got %q", said, got)
	}
}

func TestTheForegroundIsTheCommandThenNobody(t *testing.T) {
	p := onTerminal(t, `exec sleep 1000`)
	if group, err := p.Foreground(); err != nil || group != p.PID {
		t.Error(group, err)
	}
	if _, err := p.Terminal.Write([]byte("\x03")); err != nil {
		t.Fatal(err)
	}
	if result := p.Wait(context.Background(), 0, nil); result.Signal != int(syscall.SIGINT) {
		t.Error(result)
	}
	if group, err := p.Foreground(); err != nil || group != 0 {
		t.Error(group, err)
	}
}

func TestACommandThatLetsGoOfItsTerminalHasNotEnded(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := onTerminal(t, `exec </dev/null >/dev/null 2>&1; echo gone > `+fifo+`; read line < `+fifo+`; echo back > /dev/tty`)
	if _, err := os.ReadFile(fifo); err != nil {
		t.Fatal(err)
	}
	if err := p.Terminal.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Terminal.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(n, err)
	}
	if err := p.Terminal.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	write(t, fifo, "", 0)
	saidBy(t, p, "back")
	p.Wait(context.Background(), 0, nil)
}

func TestACommandThatCannotBeStartedLeavesNoTerminal(t *testing.T) {
	before := descriptors(t)
	for _, argv := range [][]string{{"/dev/null"}, {"no-such-program"}} {
		command := &Command{Argv: argv, Cwd: "/", Terminal: &Terminal{Cols: 1, Rows: 1}}
		failure(t, command)
	}
	if after := descriptors(t); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

// descriptors tells what this program has open.
func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return open
}

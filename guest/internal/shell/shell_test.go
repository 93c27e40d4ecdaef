package shell_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/process/processtest"
	"pyro.local/guest/internal/shell"
)

// reaper is the test program's one; see process.NewReaper.
var reaper = sync.OnceValue(process.NewReaper)

// shells are those of a test, which all end with it.
type shells struct {
	*shell.Shells
	t    *testing.T
	root string // "" without cgroups
}

func newShells(t *testing.T) *shells {
	t.Helper()
	root := processtest.GroupsRoot(t)
	groups, err := process.NewGroups(root)
	if err != nil {
		t.Fatal(err)
	}
	return &shells{shell.NewShells(process.NewRunner(reaper(), groups)), t, root}
}

func command(argv ...string) *process.Command {
	return &process.Command{Argv: argv, Cwd: "/", Terminal: &process.Terminal{Cols: 80, Rows: 24}}
}

// opened is a shell that is closed with the test.
type opened struct {
	*shell.Shell
	t *testing.T
}

// open runs a line in a shell of that name.
func (s *shells) open(name, line string) opened {
	s.t.Helper()
	sh, err := s.Open(name, command("/bin/sh", "-c", line), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.Close(name) })
	return opened{sh, s.t}
}

// interactive opens the shell that people use, which ignores SIGTERM.
func (s *shells) interactive(name string) opened {
	s.t.Helper()
	sh, err := s.Open(name, command("bash", "--norc", "--noprofile", "-i"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.Close(name) })
	return opened{sh, s.t}
}

var errSeen = errors.New("seen")

// until returns what the shell says from a cursor on, up to and with the piece in which the pattern has been found.
func (o opened) until(cursor int64, pattern string) string {
	o.t.Helper()
	looked := regexp.MustCompile(pattern)
	said := ""
	_, err := o.Attach(context.Background(), cursor, func(data []byte) error {
		said += string(data)
		if looked.MatchString(said) {
			return errSeen
		}
		return nil
	})
	if err != errSeen {
		o.t.Fatalf("%q never came, but %q, %v", pattern, said, err)
	}
	return said
}

// over returns all that the shell says from its beginning to its end, as far as it is kept, and its last state.
func (o opened) over() (string, shell.State) {
	o.t.Helper()
	said := ""
	state, err := o.Attach(context.Background(), 0, func(data []byte) error {
		said += string(data)
		return nil
	})
	if err != nil || !state.Exited {
		o.t.Fatal(state, err)
	}
	return said, state
}

// say writes to the shell.
func (o opened) say(text string) {
	o.t.Helper()
	if _, err := io.WriteString(o.Writer(context.Background(), time.Minute), text); err != nil {
		o.t.Fatal(err)
	}
}

// pid reads the number that a pattern's group finds.
func pid(t *testing.T, text, pattern string) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("%q is not in %q", pattern, text)
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// code is the code of an error of package shell.
func code(err error) string {
	if known, ok := errors.AsType[*shell.Error](err); ok {
		return known.Code
	}
	return fmt.Sprint(err)
}

func TestAShellIsRememberedWithItsOutputAndItsEnd(t *testing.T) {
	o := newShells(t).open("a", "stty size; exit 7")
	said, state := o.over()
	if said != "24 80\r\n" || state.ExitCode != 7 || state.Signal != 0 || state.PID == 0 || state.Cwd != "/" ||
		state.Start != 0 || state.Next != 7 || state.End != 7 || state.Name != "a" {
		t.Errorf("%q %+v", said, state)
	}
	data, state, err := o.Read(context.Background(), shell.Query{Cursor: 3, MaxBytes: 2})
	if string(data) != "80" || state.Start != 3 || state.Next != 5 || state.End != 7 || !state.Exited || err != nil {
		t.Errorf("%q %+v %v", data, state, err)
	}
}

func TestADeadlySignalIsTold(t *testing.T) {
	if _, state := newShells(t).open("a", "kill -KILL $$").over(); state.ExitCode != 137 || state.Signal != 9 {
		t.Errorf("%+v", state)
	}
}

// TestOnlyTheForegroundIsInterrupted drives a shell with job control: what was typed there ends its job, not itself.
func TestOnlyTheForegroundIsInterrupted(t *testing.T) {
	s := newShells(t)
	for name, interrupt := range map[string]func(o opened){
		"by-signal": func(o opened) {
			if err := o.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
		},
		"by-key": func(o opened) { o.say("\x03") },
	} {
		o := s.interactive(name)
		o.say("sh -c 'echo u''p; exec sleep 1000'\n")
		o.until(0, "up")
		interrupt(o)
		o.say("echo status-$?\n")
		o.until(0, "status-130")
		o.say("exit 4\n")
		if _, state := o.over(); state.ExitCode != 4 {
			t.Errorf("%s: %+v", name, state)
		}
	}
}

func TestSignalsEndWhatIsInTheForeground(t *testing.T) {
	s := newShells(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGHUP} {
		o := s.open(signal.String()[:3], "exec sleep 1000")
		if err := o.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if _, state := o.over(); state.Signal != int(signal) || state.ExitCode != 128+int(signal) {
			t.Errorf("%v: %+v", signal, state)
		}
		if err := o.Signal(signal); err != nil {
			t.Error("of what has ended:", err)
		}
	}
}

func TestAResizeIsSeenAndRemembered(t *testing.T) {
	o := newShells(t).open("a", "read line; stty size")
	if err := o.Resize(process.Terminal{Cols: 1000, Rows: 1}); err != nil {
		t.Fatal(err)
	}
	o.say("\n")
	said, state := o.over()
	if !strings.Contains(said, "1 1000") || state.Size != (process.Terminal{Cols: 1000, Rows: 1}) {
		t.Errorf("%q %+v", said, state)
	}
	if err := o.Resize(process.Terminal{Cols: 2, Rows: 2}); err != nil || o.State().Size.Cols != 1000 {
		t.Error(err, o.State())
	}
}

// TestAShellThatNobodyReadsIsNotHeldUp writes ten times what is kept.
func TestAShellThatNobodyReadsIsNotHeldUp(t *testing.T) {
	const size = 10_000_000
	o := newShells(t).open("a", fmt.Sprintf("stty -opost; head -c %d /dev/zero | tr '\\0' x; printf end", size))
	const all = size + 3
	data, state, err := o.Read(context.Background(), shell.Query{MaxBytes: 1 << 30, Idle: time.Hour, Wait: time.Hour})
	if err != nil || !state.Exited || state.End != all || state.Start != all-shell.RingSize || state.Next != all {
		t.Fatalf("%+v %v", state, err)
	}
	if string(data) != strings.Repeat("x", shell.RingSize-3)+"end" {
		t.Error("what is kept is not the last of what was written")
	}
	data, state, err = o.Read(context.Background(), shell.Query{Cursor: all - shell.RingSize - 1, MaxBytes: 10})
	if len(data) != 10 || state.Start != all-shell.RingSize || state.Next != state.Start+10 || err != nil {
		t.Errorf("%d bytes, %+v %v", len(data), state, err)
	}
	if data, state, err = o.Read(context.Background(), shell.Query{Cursor: all, MaxBytes: 10}); len(data) != 0 || state.Next != all || err != nil {
		t.Errorf("%d bytes, %+v %v", len(data), state, err)
	}
}

func TestACursorAheadIsRefused(t *testing.T) {
	o := newShells(t).open("a", "printf abc; read line")
	o.until(0, "abc")
	_, _, err := o.Read(context.Background(), shell.Query{Cursor: 4})
	known, _ := errors.AsType[*shell.Error](err)
	if known == nil || known.Code != shell.CursorAhead || known.Details["end"] != int64(3) {
		t.Error(err)
	}
	if _, err := o.Attach(context.Background(), 4, nil); code(err) != shell.CursorAhead {
		t.Error(err)
	}
}

func TestOutputWrittenBeforeTheEndIsKept(t *testing.T) {
	s := newShells(t)
	for i := range 50 {
		name := strconv.Itoa(i)
		o := s.open(name, "seq 1000; exit "+name)
		said, state := o.over()
		if !strings.HasSuffix(said, "\r\n1000\r\n") || state.ExitCode != i {
			t.Errorf("%d: %q %+v", i, said[max(0, len(said)-20):], state)
		}
		s.Close(name)
	}
}

func TestNamesAreGivenOnceAndThereIsRoomForSoMany(t *testing.T) {
	s := newShells(t)
	for i := range shell.MaxShells {
		s.open(strconv.Itoa(i), "exit 0").over()
	}
	if _, err := s.Open("0", command("true"), nil); code(err) != shell.Exists {
		t.Error(err)
	}
	if _, err := s.Open("more", command("true"), nil); code(err) != shell.TooMany {
		t.Error("ended ones do not count:", err)
	}
	if _, err := s.Close("0"); err != nil {
		t.Fatal(err)
	}
	s.open("0", "exit 0").over()
}

func TestAShellThatCannotBeStartedTakesNoName(t *testing.T) {
	s := newShells(t)
	for range shell.MaxShells + 1 {
		_, err := s.Open("a", command("no-such-program"), nil)
		if why, ok := errors.AsType[*process.Failure](err); !ok || !why.NotFound() {
			t.Fatal(err)
		}
	}
	if _, err := s.Find("a"); code(err) != shell.NotFound {
		t.Error(err)
	}
}

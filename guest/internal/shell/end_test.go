package shell_test

import (
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/process/processtest"
	"pyro.local/guest/internal/shell"
)

// TestWhoStillHoldsTheTerminalIsHeard has one process behind that speaks once the shell's own is gone.
func TestWhoStillHoldsTheTerminalIsHeard(t *testing.T) {
	o := newShells(t).open("a", `trap "" HUP; (while kill -0 $$ 2>/dev/null; do :; done; sleep 0.1; echo late) & exit 6`)
	if said, state := o.over(); said != "late\r\n" || state.ExitCode != 6 {
		t.Errorf("%q %+v", said, state)
	}
}

func TestAnEndedShellTakesAlongWhatItLeft(t *testing.T) {
	s := newShells(t)
	if s.root == "" {
		t.Skip("no cgroup can be made here")
	}
	for name, line := range map[string]string{
		"silent": `setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; exit 3`,
		"holder": `trap "" HUP; sleep 1000 & echo $!; exit 3`,
		"noisy":  `trap "" HUP; yes & echo $!; exit 3`,
	} {
		o := s.open(name, line)
		first := o.until(0, `\d+\r\n`)
		_, state := o.over()
		if left := pid(t, first, `(\d+)\r\n`); processtest.Alive(t, left) || state.ExitCode != 3 {
			t.Errorf("%s: %+v, process %d is alive", name, state, left)
		}
	}
}

// TestAStrangerAtTheTerminalDoesNotKeepTheShell holds the terminal from here, outside of the shell's group.
func TestAStrangerAtTheTerminalDoesNotKeepTheShell(t *testing.T) {
	o := newShells(t).open("a", "tty; read line; exit 2")
	path := regexp.MustCompile(`/dev/pts/\d+`).FindString(o.until(0, `pts/\d+\r\n`))
	stranger, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	o.say("\n")
	if said, state := o.over(); !strings.Contains(said, "hello\r\n") || state.ExitCode != 2 {
		t.Errorf("%q %+v", said, state)
	}
}

func TestClosingEndsWhatHasLeftTheSession(t *testing.T) {
	s := newShells(t)
	if s.root == "" {
		t.Skip("no cgroup can be made here")
	}
	o := s.open("a", `trap "" HUP TERM INT; setsid sh -c 'trap "" HUP TERM; echo at $$; while :; do sleep 1000; done' & wait`)
	left := pid(t, o.until(0, `at \d+\r\n`), `at (\d+)`)
	state, err := s.Close("a")
	if err != nil || !state.Exited || state.Signal != 9 || state.ExitCode != 137 {
		t.Errorf("%+v %v", state, err)
	}
	if processtest.Alive(t, left) || processtest.Alive(t, state.PID) {
		t.Error("somebody is alive")
	}
	if _, err := s.Find("a"); code(err) != shell.NotFound {
		t.Error(err)
	}
	if _, err := s.Close("a"); code(err) != shell.NotFound {
		t.Error(err)
	}
}

// TestHaltingHangsUpEveryShell has an interactive one that waits for input, and one that waits for its job.
func TestHaltingHangsUpEveryShell(t *testing.T) {
	s := newShells(t)
	idle, busy := s.interactive("idle"), s.interactive("busy")
	idle.say("echo u''p\n")
	idle.until(0, "up\r\n")
	busy.say("sh -c 'echo at $$; exec sleep 1000'\n")
	job := pid(t, busy.until(0, `at \d+\r\n`), `at (\d+)`)
	s.open("over", "exit 3").over()
	s.Halt(never)
	for _, o := range []opened{idle, busy} {
		if state := o.State(); !state.Exited || state.Signal != int(syscall.SIGHUP) || processtest.Alive(t, state.PID) {
			t.Errorf("%+v", state)
		}
	}
	if processtest.Alive(t, job) {
		t.Error("the job is alive")
	}
	if _, err := s.Open("late", command("true"), nil); code(err) != shell.Stopping {
		t.Error(err)
	}
}

func TestAShellThatDoesNotHangUpIsKilled(t *testing.T) {
	s := newShells(t)
	o := s.open("a", `trap "" HUP; echo at $$; while :; do sleep 1000; done`)
	o.until(0, `at \d+\r\n`)
	s.Halt(50 * time.Millisecond)
	if _, state := o.over(); state.Signal != int(syscall.SIGKILL) || processtest.Alive(t, state.PID) {
		t.Errorf("%+v", state)
	}
}

// TestNoShellIsOpenedBehindAHalt has both at the same time.
func TestNoShellIsOpenedBehindAHalt(t *testing.T) {
	for range 20 {
		s := newShells(t)
		opened := make(chan *shell.Shell, 1)
		go func() {
			sh, _ := s.Open("a", command("sleep", "1000"), nil)
			opened <- sh
		}()
		s.Halt(never)
		if sh := <-opened; sh != nil && !sh.State().Exited {
			t.Fatal("it lives")
		}
		s.Close("a")
	}
}

func TestOpeningAndClosingLeavesNothing(t *testing.T) {
	s := newShells(t)
	round := func(n int) {
		for i := range n {
			o := s.open("a", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo up; read line")
			o.until(0, "up")
			if i%2 == 0 {
				o.say("\n")
				o.over()
			}
			if _, err := s.Close("a"); err != nil {
				t.Fatal(err)
			}
		}
	}
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round(1) // the runtime's own come with the first
	before, goroutines := descriptors(), runtime.NumGoroutine()
	round(50)
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
	if after := runtime.NumGoroutine(); after > goroutines+10 {
		t.Errorf("%d goroutines became %d", goroutines, after)
	}
	if s.root != "" && len(processtest.Groups(t, s.root)) != 0 {
		t.Error(processtest.Groups(t, s.root))
	}
}

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/process"
)

func TestAServiceRunsOnUntilItIsStopped(t *testing.T) {
	b := newBench(t)
	before := time.Now()
	started := b.start("web", `echo up; touch ready; exec sleep 1000`)
	if started.Name != "web" || started.Phase != Running || !alive(started.PID) || started.Stopped ||
		started.Started.Before(before) || started.Ready.Before(started.Started) || !started.Ended.IsZero() {
		t.Errorf("%+v", started)
	}
	if state, err := b.Status("web"); err != nil || state != started {
		t.Errorf("%+v, %v", state, err)
	}
	b.awaitSaid("web", "up\n", "")
	state, err := b.Stop("web", patience)
	if err != nil || state.Phase != Ended || !state.Stopped || state.Signal != 15 || state.ExitCode != 143 ||
		state.Ended.Before(state.Ready) || alive(state.PID) {
		t.Errorf("%+v, %v", state, err)
	}
	if again, err := b.Stop("web", 0); err != nil || again != state {
		t.Errorf("%+v, %v", again, err)
	}
	if out, _ := b.said("web"); out != "up\n" {
		t.Errorf("%q", out)
	}
}

func TestAServiceThatEndsByItselfWasNotStopped(t *testing.T) {
	b := newBench(t)
	if state := b.run("job", `exit 7`); state.ExitCode != 7 || state.Signal != 0 || state.Stopped || state.Phase != Ended {
		t.Errorf("%+v", state)
	}
	if state := b.run("job", `kill -SEGV $$`); state.ExitCode != 139 || state.Signal != 11 || state.Stopped {
		t.Errorf("%+v", state)
	}
}

func TestWhatIgnoresSIGTERMIsEndedAfterTheGrace(t *testing.T) {
	b := newBench(t)
	b.start("deaf", `trap '' TERM; (setsid sleep 1000 & echo $! > child); touch ready; while :; do sleep 1000; done`)
	const grace = 200 * time.Millisecond
	asked := time.Now()
	state, err := b.Stop("deaf", grace)
	if err != nil || state.Signal != 9 || !state.Stopped || time.Since(asked) < grace {
		t.Errorf("%+v, %v", state, err)
	}
	if pid := b.pid("child"); alive(pid) {
		t.Error("its child lives")
	}
}

// pid reads a number that a service has written.
func (b *bench) pid(file string) int {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.cwd, file))
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

func TestWhatAServiceLeavesBehindEndsWithIt(t *testing.T) {
	b := newBench(t)
	state := b.run("parent", `trap '' TERM; setsid sh -c 'echo $$ > child; touch up; exec sleep 1000' & while ! test -e up; do :; done`)
	if state.ExitCode != 0 || state.Stopped {
		t.Errorf("%+v", state)
	}
	if pid := b.pid("child"); alive(pid) {
		t.Error("it lives")
	}
}

// TestAStopGivesTheWholeServiceTheGrace has a shell that dies of SIGTERM at once, and a child that notices, tells the test
// of it, and finishes when the test has seen that.
func TestAStopGivesTheWholeServiceTheGrace(t *testing.T) {
	b := newBench(t)
	tells, hears := fifo(t, filepath.Join(b.cwd, "tells")), fifo(t, filepath.Join(b.cwd, "hears"))
	b.start("wrapped", `mkfifo f; exec 3<>f
		(exec 4<f 3>&-; trap 'read nothing <&4; echo noticed > tells; read go < hears; echo finished; kill $! 2> /dev/null; exit 0' TERM
		touch ready; while :; do sleep 1000 4<&- & wait; done) &
		wait`)
	go func() {
		if n, _ := tells.Read(make([]byte, 8)); n > 0 {
			hears.WriteString("go\n")
		}
	}()
	state, err := b.Stop("wrapped", patience)
	if err != nil || state.Signal != 15 {
		t.Errorf("%+v, %v", state, err)
	}
	if out, _ := b.said("wrapped"); out != "finished\n" {
		t.Errorf("%q", out)
	}
}

// fifo makes a pipe with a name, open for both ends so that nobody waits for the other.
func fifo(t *testing.T, path string) *os.File {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func TestASecondStopCanCutTheGraceShort(t *testing.T) {
	b := newBench(t)
	b.start("deaf", `trap 'touch heard' TERM; touch ready; while :; do sleep 1000; done`)
	first := make(chan State)
	go func() {
		state, _ := b.Stop("deaf", time.Hour)
		first <- state
	}()
	if state, err := b.Stop("deaf", 0); err != nil || state.Signal != 9 {
		t.Errorf("%+v, %v", state, err)
	}
	if state := <-first; state.Phase != Ended {
		t.Errorf("%+v", state)
	}
}

func TestANameIsTakenWhileItsServiceRuns(t *testing.T) {
	b := newBench(t)
	first := b.start("web", `exec sleep 1000`)
	_, err := b.Start(context.Background(), b.spec("web", `true`), func(int) { t.Error("it was started") })
	if failure(t, err).Code != "exists" || !alive(first.PID) {
		t.Error(err)
	}
	if _, err := b.Stop("web", 0); err != nil {
		t.Fatal(err)
	}
	if second := b.run("web", `echo second`); second.PID == first.PID || second.Stopped {
		t.Errorf("%+v", second)
	}
	if out, _ := b.said("web"); out != "second\n" {
		t.Errorf("%q", out)
	}
	if runs, _ := os.ReadDir(filepath.Join(b.logs, "web")); len(runs) > 1 {
		t.Errorf("logs of %v are kept", runs)
	}
}

func TestACommandThatCannotRunLeavesTheLastOneKnown(t *testing.T) {
	b := newBench(t)
	last := b.run("web", `echo kept`)
	for argument, code := range map[string]int{"no-such-program": 127, "/etc/passwd": 126} {
		spec := b.spec("web", "")
		spec.Command.Argv = []string{argument}
		_, err := b.Start(context.Background(), spec, func(int) { t.Error("it was started") })
		if why, ok := errors.AsType[*process.Failure](err); !ok || why.ExitCode != code {
			t.Errorf("%s: %v", argument, err)
		}
	}
	if state, err := b.Status("web"); err != nil || state != last {
		t.Errorf("%+v, %v", state, err)
	}
	if out, _ := b.said("web"); out != "kept\n" {
		t.Errorf("%q", out)
	}
	spec := b.spec("new", "")
	spec.Command.Argv = []string{"no-such-program"}
	if _, err := b.Start(context.Background(), spec, nil); err == nil {
		t.Error("it was started")
	}
	if left, _ := os.ReadDir(b.logs); len(left) != 2 { // "first" and "web"
		t.Error(left)
	}
}

func TestSoManyServicesRunAtATime(t *testing.T) {
	b := newBench(t)
	for i := range maxRunning {
		b.start(fmt.Sprint("s", i), `exec sleep 1000`)
	}
	_, err := b.Start(context.Background(), b.spec("more", `true`), func(int) {})
	if failure(t, err).Code != "too-many" {
		t.Error(err)
	}
	if _, err := b.Stop("s7", 0); err != nil {
		t.Fatal(err)
	}
	b.run("more", `true`)
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	b := newBench(t)
	_, status := b.Status("none")
	_, wait := b.Wait(context.Background(), "none")
	_, stop := b.Stop("none", 0)
	_, logs := b.Logs(context.Background(), "none", View{MaxBytes: 1}, nil)
	for _, err := range []error{status, wait, stop, logs} {
		if failure(t, err).Code != "not-found" {
			t.Error(err)
		}
	}
}

func TestWaitingIsNothingToTheService(t *testing.T) {
	b := newBench(t)
	state := b.start("web", `exec sleep 1000`)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Wait(ctx, "web"); !errors.Is(err, context.Canceled) || !alive(state.PID) {
		t.Error(err)
	}
	all := make(chan State)
	for range 3 {
		go func() {
			state, _ := b.Wait(context.Background(), "web")
			all <- state
		}()
	}
	syscall.Kill(state.PID, syscall.SIGKILL)
	for range 3 {
		if state := <-all; state.Signal != 9 || state.Stopped {
			t.Errorf("%+v", state)
		}
	}
}

func TestAMachineThatStopsHasItsServicesStopped(t *testing.T) {
	b := newBench(t)
	b.start("kind", `trap 'echo bye; kill $! 2> /dev/null; exit 0' TERM; touch ready; while :; do sleep 1000 & wait; done`)
	b.start("deaf", `trap '' TERM; touch ready; while :; do sleep 1000; done`)
	b.Halt(200 * time.Millisecond)
	for name, code := range map[string]int{"kind": 0, "deaf": 137} {
		if state, err := b.Status(name); err != nil || state.Phase != Ended || !state.Stopped || state.ExitCode != code {
			t.Errorf("%+v, %v", state, err)
		}
	}
	if out, _ := b.said("kind"); out != "bye\n" {
		t.Errorf("%q", out)
	}
	if _, err := b.Start(context.Background(), b.spec("late", `true`), nil); failure(t, err).Code != "stopping" {
		t.Error(err)
	}
}

func TestOldStatesAreForgottenAtLast(t *testing.T) {
	b := newBench(t)
	ended := make(chan struct{})
	close(ended)
	for i := range maxKnown {
		name := fmt.Sprint("old", i)
		b.services[name] = &service{ended: ended, state: State{Name: name, Phase: Ended, Ended: time.Unix(int64(i), 0)}}
	}
	b.run("new", `true`)
	if _, err := b.Status("old0"); failure(t, err).Code != "not-found" {
		t.Error(err)
	}
	if _, err := b.Status("old1"); err != nil {
		t.Error(err)
	}
	for name := range b.services {
		if strings.HasPrefix(name, "old") {
			delete(b.services, name)
		}
	}
}

package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// adopting lets the test program adopt orphans as long as the test runs.
func adopting(t *testing.T) {
	t.Helper()
	if err := AdoptOrphans(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 0, 0) })
}

// TestEndingACommandEndsWhatHasLeftItsSession has the command start processes that forget it in every way there is: a
// session of their own, parents that have ended, an empty environment, signals ignored, and one that starts more.
func TestEndingACommandEndsWhatHasLeftItsSession(t *testing.T) {
	adopting(t)
	marks := t.TempDir()
	note := `echo $$ > ` + marks + `/$$; echo up; exec sleep 1000`
	busy := `echo $$ > ` + marks + `/$$; echo up; trap "" TERM HUP INT; while :; do setsid sleep 0.01; done`
	command := shell(`setsid sh -c '` + note + `' &
		(setsid sh -c '(env -i setsid sh -c "` + strings.ReplaceAll(note, "$", `\$`) + `" &)' &)
		(setsid sh -c '` + busy + `' &)
		sleep 1000`)
	p, err := newRunner(t).Start(command, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	lines := 0
	p.Wait(ctx, 20*time.Second, func(_ Output, data []byte) error {
		if lines += strings.Count(string(data), "up\n"); lines == 3 {
			cancel()
		}
		return nil
	})
	pids, err := os.ReadDir(marks)
	if err != nil || len(pids) != 3 {
		t.Fatal(pids, err)
	}
	for _, entry := range pids {
		pid, _ := strconv.Atoi(filepath.Base(entry.Name()))
		if _, _, alive := readStat(pid); alive {
			t.Errorf("process %d lives on", pid)
		}
	}
	if found, err := descendants(func() map[int]bool { return nil }); err != nil || len(found) != 0 {
		t.Error(found, err)
	}
}

func TestEndingACommandSparesTheOthers(t *testing.T) {
	adopting(t)
	runner := newRunner(t)
	other := shell("sleep 1000 & read line; kill -0 $! && echo $line; kill $!")
	other.Stdin = true
	p, err := runner.Start(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	doomed, err := runner.Start(shell("setsid sleep 1000 & sleep 1000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	doomed.Wait(ctx, 0, (&collected{}).take)
	if _, err := p.Stdin.Write([]byte("alive\n")); err != nil {
		t.Fatal(err)
	}
	said := &collected{}
	if result := p.Wait(context.Background(), 20*time.Second, said.take); result.ExitCode != 0 {
		t.Error(result, said)
	}
}

func TestAProcessIsNotTakenForAnotherWithItsNumber(t *testing.T) {
	p, err := newRunner(t).Start(shell("exec sleep 1000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := (descendant{p.PID, "1"}).signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(p.PID, 0); errors.Is(err, syscall.ESRCH) {
		t.Error("it was killed")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Wait(ctx, 0, (&collected{}).take)
}

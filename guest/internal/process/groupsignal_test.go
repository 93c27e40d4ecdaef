package process

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/process/processtest"
)

// inGroup starts a shell line in a cgroup.
func inGroup(t *testing.T, line string) (p *Process, root string) {
	t.Helper()
	root = processtest.GroupsRoot(t)
	if root == "" {
		t.Skip("no cgroup can be made here")
	}
	groups, err := NewGroups(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err = NewRunner(reaper(), groups).Start(shell(line), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, root
}

// listening is a shell line that says a word when it is ready for SIGTERM, another when that comes, and goes on.
func listening(name string) string {
	return fmt.Sprintf(`trap 'echo %s-heard' TERM; echo %s-up; while :; do sleep 1000 & wait; done`, name, name)
}

func TestASignalToTheGroupReachesWhatHasLeftTheSession(t *testing.T) {
	p, root := inGroup(t, `setsid sh -c "`+listening("child")+`" & (setsid sh -c "`+listening("orphan")+`" &) ; `+listening("leader"))
	said := ""
	result := p.Wait(context.Background(), 0, func(_ Output, data []byte) error {
		said += string(data)
		if strings.Count(said, "-up") == 3 && !strings.Contains(said, "-heard") {
			if err := p.SignalGroup(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		if strings.Count(said, "-heard") >= 3 {
			p.End()
		}
		return nil
	})
	for _, name := range []string{"child", "orphan", "leader"} {
		if !strings.Contains(said, name+"-heard") {
			t.Errorf("%s has not heard it: %q", name, said)
		}
	}
	if result.Signal != int(syscall.SIGKILL) {
		t.Error(result)
	}
	if left := processtest.Groups(t, root); len(left) != 0 {
		t.Error(left)
	}
}

func TestWhatAHandlerStartsIsNotSignalled(t *testing.T) {
	// The sleep is signalled like the shell: whether it lives then, and the shell says "Terminated" of it, is chance.
	p, _ := inGroup(t, `exec 2>/dev/null; trap 'sh -c "sleep 0.2; echo handled"; exit 3' TERM; echo up; while :; do sleep 0.05; done`)
	said := ""
	result := p.Wait(context.Background(), 0, func(_ Output, data []byte) error {
		said += string(data)
		if said == "up\n" {
			if err := p.SignalGroup(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if said != "up\nhandled\n" || result.ExitCode != 3 {
		t.Errorf("%q %+v", said, result)
	}
}

func TestASignalToAGroupThatIsGoneIsNoError(t *testing.T) {
	p, _ := inGroup(t, `exit 0`)
	p.Wait(context.Background(), 0, (&collected{}).take)
	if err := p.SignalGroup(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func TestASignalIsForTheOwnGroupOnly(t *testing.T) {
	p, _ := inGroup(t, `exec sleep 1000`)
	if err := p.group.signalMember(os.Getpid(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	p.End()
	p.Wait(context.Background(), 0, (&collected{}).take)
}

func TestWithoutGroupsTheProcessGroupIsSignalled(t *testing.T) {
	p, err := newRunner(t).Start(shell(`(`+listening("child")+`) & `+listening("leader")), nil)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	p.Wait(context.Background(), 0, func(_ Output, data []byte) error {
		said += string(data)
		if strings.Count(said, "-up") == 2 && !strings.Contains(said, "-heard") {
			if err := p.SignalGroup(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		if strings.Count(said, "-heard") >= 2 {
			syscall.Kill(-p.PID, syscall.SIGKILL)
		}
		return nil
	})
	if err := p.SignalGroup(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func TestWhatACommandLeftBehindCanBeEndedAfterwards(t *testing.T) {
	p, root := inGroup(t, `setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 3`)
	out := &collected{}
	if result := p.Wait(context.Background(), 0, out.take); result.ExitCode != 3 {
		t.Error(result)
	}
	var pid int
	if _, err := fmt.Sscan(out.text[Stdout].String(), &pid); err != nil || !processtest.Alive(t, pid) {
		t.Fatal(pid, err)
	}
	p.End()
	if processtest.Alive(t, pid) {
		t.Error("it lives on")
	}
	p.End() // again, of what is gone: no harm, and no waiting
	if left := processtest.Groups(t, root); len(left) != 0 {
		t.Error(left)
	}
}

func TestEndingACommandDoesNotHideHowItEnded(t *testing.T) {
	p, _ := inGroup(t, `exec sleep 1000`)
	p.End()
	if result := p.Wait(context.Background(), 0, (&collected{}).take); result.ExitCode != 137 || result.Signal != 9 || result.TimedOut {
		t.Error(result)
	}
}

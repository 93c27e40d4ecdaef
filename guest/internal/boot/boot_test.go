package boot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestMountsComeAfterTheDirectoriesTheyAreIn(t *testing.T) {
	for i, m := range early {
		for _, later := range early[i+1:] {
			if strings.HasPrefix(m.target, later.target+"/") {
				t.Errorf("%s would be hidden by %s", m.target, later.target)
			}
		}
	}
}

func TestEveryMountIsTakenAlongToTheNewRoot(t *testing.T) {
	for _, m := range early {
		top := "/" + strings.Split(m.target, "/")[1]
		if !slices.Contains(moved, top) {
			t.Errorf("%s stays behind", m.target)
		}
	}
}

func TestAllControllersAreHandedDown(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := enableControllers(root); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(root, "cgroup.subtree_control")); string(got) != "+cpu +memory +pids" {
		t.Errorf("%q", got)
	}
}

func TestTheOverlayDepartsFromTheKernelsDefaults(t *testing.T) {
	for _, option := range []string{"redirect_dir=on", "index=on", "xino=on", "metacopy=off"} {
		if !slices.Contains(strings.Split(overlay("/lower", "/disk"), ","), option) {
			t.Errorf("%s is missing", option)
		}
	}
}

// TestCommandsHaveFewerDescriptorsThanTheAgent starts the test again with the limits that the kernel gives PID 1. It makes
// less room than there is to be: more takes rights that a test may not have.
func TestCommandsHaveFewerDescriptorsThanTheAgent(t *testing.T) {
	const inside = "PYRO_TEST_AS_PID_1"
	commands := syscall.Rlimit{Cur: 512, Max: 2048}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(inside) == "" {
		line := `ulimit -Sn 1024 && ulimit -Hn 4096 && exec "$0" -test.v -test.run='^'"$1"'$'`
		command := exec.Command("sh", "-c", line, program, t.Name())
		command.Env = append(os.Environ(), inside+"=1")
		if out, err := command.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("512 2048\n")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := makeRoom(program, commands); err != nil {
		t.Fatal(err)
	}
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil || own.Cur < commands.Max-1 {
		t.Error(own, err)
	}
	files := []uintptr{0, 1, 2}
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "echo $(ulimit -Sn) $(ulimit -Hn)"}, &syscall.ProcAttr{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

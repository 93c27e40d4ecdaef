package boot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

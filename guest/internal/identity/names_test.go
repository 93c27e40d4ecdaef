package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheHostnameResolves(t *testing.T) {
	for name, c := range map[string]struct{ known, want string }{
		"no file":        {"", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tbox\n"},
		"other lines":    {"127.0.0.1 localhost\n10.0.0.1 db", "127.0.0.1 localhost\n10.0.0.1 db\n127.0.1.1\tbox\n"},
		"an older name":  {"127.0.0.1 localhost\n127.0.1.1 old\n", "127.0.0.1 localhost\n127.0.1.1\tbox\n"},
		"the right name": {"127.0.0.1 localhost\n127.0.1.1\tbox\n", "127.0.0.1 localhost\n127.0.1.1\tbox\n"},
	} {
		if got := hostsFile(c.known, "box"); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestNamesAreWrittenWhereProgramsLook(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc") // an image without one
	if err := writeNames(etc, "box", strings.Repeat("0", 32)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"hostname": "box\n", "machine-id": strings.Repeat("0", 32) + "\n"} {
		if got, err := os.ReadFile(filepath.Join(etc, name)); string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if entries, _ := os.ReadDir(etc); len(entries) != 3 {
		t.Error("drafts were left:", entries)
	}
}

func TestAFileThatIsRightIsNotTouched(t *testing.T) {
	etc := t.TempDir()
	if err := writeNames(etc, "box", strings.Repeat("0", 32)); err != nil {
		t.Fatal(err)
	}
	long := time.Unix(1_000_000_000, 0)
	path := filepath.Join(etc, "hosts")
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	if err := writeNames(etc, "box", strings.Repeat("0", 32)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(long) {
		t.Error(info, err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	good := Identity{Hostname: "pyro-1.example", MachineID: strings.Repeat("0", 32)}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, hostname := range []string{"", "-a", "a-", "a b", "a\n", strings.Repeat("a", 65), "ü"} {
		if (&Identity{Hostname: hostname, MachineID: good.MachineID}).Check() == nil {
			t.Errorf("%q was taken", hostname)
		}
	}
	for _, id := range []string{"", strings.Repeat("0", 31), strings.Repeat("G", 32), strings.Repeat("A", 32)} {
		if (&Identity{Hostname: "a", MachineID: id}).Check() == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

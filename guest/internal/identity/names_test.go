package identity

import (
	"errors"
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

// linked returns directories with links from one to the other, and names in there.
func linked(t *testing.T, known map[string]string) (etc, names string) {
	t.Helper()
	etc, names = filepath.Join(t.TempDir(), "etc"), filepath.Join(t.TempDir(), "names")
	for name, content := range known {
		if err := errors.Join(os.MkdirAll(etc, 0o755), os.WriteFile(filepath.Join(etc, name), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(linkNames(etc, names), writeNames(names, "box", strings.Repeat("0", 32))); err != nil {
		t.Fatal(err)
	}
	return etc, names
}

func TestNamesAreFoundWhereProgramsLook(t *testing.T) {
	for _, known := range []map[string]string{
		{}, // an image without any
		{"hostname": "old\n", "machine-id": "uninitialized\n", "hosts": "10.0.0.1 db\n"},
	} {
		etc, _ := linked(t, known)
		for name, want := range map[string]string{"hostname": "box\n", "machine-id": strings.Repeat("0", 32) + "\n"} {
			if got, err := os.ReadFile(filepath.Join(etc, name)); string(got) != want {
				t.Errorf("%s: %q %v", name, got, err)
			}
		}
		if hosts, err := os.ReadFile(filepath.Join(etc, "hosts")); string(hosts) != hostsFile(known["hosts"], "box") {
			t.Errorf("%q %v", hosts, err)
		}
		if entries, _ := os.ReadDir(etc); len(entries) != 3 {
			t.Error("drafts were left:", entries)
		}
	}
}

func TestAnotherNameTakesThePlaceOfTheFirst(t *testing.T) {
	etc, names := linked(t, nil)
	if err := writeNames(names, "other", strings.Repeat("1", 32)); err != nil {
		t.Fatal(err)
	}
	hosts, _ := os.ReadFile(filepath.Join(etc, "hosts"))
	name, _ := os.ReadFile(filepath.Join(etc, "hostname"))
	if string(name) != "other\n" || strings.Contains(string(hosts), "box") || !strings.Contains(string(hosts), "other") {
		t.Errorf("%q %q", name, hosts)
	}
}

func TestWhatSomebodyPutThereHimselfStays(t *testing.T) {
	etc, names := linked(t, nil)
	path := filepath.Join(etc, "hosts")
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("10.0.0.1 db\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := writeNames(names, "other", strings.Repeat("1", 32)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); string(got) != "10.0.0.1 db\n" {
		t.Errorf("%q %v", got, err)
	}
}

func TestAFileThatIsRightIsNotTouched(t *testing.T) {
	_, names := linked(t, nil)
	long := time.Unix(1_000_000_000, 0)
	path := filepath.Join(names, "hosts")
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	if err := writeNames(names, "box", strings.Repeat("0", 32)); err != nil {
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

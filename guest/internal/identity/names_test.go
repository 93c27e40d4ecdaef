package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const ourHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tbox\n"

func TestTheHostnameResolves(t *testing.T) {
	for name, c := range map[string]struct{ known, want string }{
		"no file":                {"", ourHosts},
		"other lines":            {"127.0.0.1 localhost\n10.0.0.1 db", "127.0.0.1 localhost\n10.0.0.1 db\n127.0.1.1\tbox\n"},
		"an older name":          {"127.0.0.1 localhost\n127.0.1.1\told\n", "127.0.0.1 localhost\n127.0.1.1\tbox\n"},
		"the right name":         {"127.0.0.1 localhost\n127.0.1.1\tbox\n", "127.0.0.1 localhost\n127.0.1.1\tbox\n"},
		"names somebody thought": {"127.0.1.1 a\n127.0.1.1\tb b.example\n", "127.0.1.1 a\n127.0.1.1\tb b.example\n127.0.1.1\tbox\n"},
	} {
		if got := hostsFile(c.known, "box"); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

var (
	firstID = strings.Repeat("0", 32)
	otherID = strings.Repeat("1", 32)
)

// machine is a machine's /etc, begun with the base's files, and its /run/pyro. A path is the machine's own once it is
// another file than the base's.
func machine(t *testing.T, base map[string]string) *places {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "etc")
	before := map[string]os.FileInfo{}
	for name, content := range base {
		path := filepath.Join(directory, name)
		if err := errors.Join(os.MkdirAll(directory, 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		before[path], _ = os.Lstat(path)
	}
	own := func(path string) bool {
		now, err := os.Lstat(path)
		if before[path] == nil || err != nil {
			return (before[path] == nil) == (err == nil)
		}
		return !os.SameFile(before[path], now) || !now.ModTime().Equal(before[path].ModTime())
	}
	return &places{directory: directory, memory: filepath.Join(t.TempDir(), "names"), own: own}
}

// start gives the machine its names, as the first start and every other one does: its memory is empty then.
func start(t *testing.T, p *places, hostname, id string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(p.memory), p.link(), p.write(hostname, id)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, p *places, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(p.directory, name)); string(got) != want || err != nil {
		t.Errorf("%s: %q %v", name, got, err)
	}
}

func put(t *testing.T, p *places, name, content string) {
	t.Helper()
	path := filepath.Join(p.directory, name)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(content), 0o640)); err != nil {
		t.Fatal(err)
	}
}

func TestNamesAreFoundWhereProgramsLook(t *testing.T) {
	for _, base := range []map[string]string{
		{}, // an image without any
		{"hostname": "old\n", "machine-id": "uninitialized\n", "hosts": "10.0.0.1 db\n"},
	} {
		p := machine(t, base)
		for range 2 {
			start(t, p, "box", firstID)
			expect(t, p, "hostname", "box\n")
			expect(t, p, "machine-id", firstID+"\n")
			expect(t, p, "hosts", hostsFile(base["hosts"], "box"))
		}
		if entries, _ := os.ReadDir(p.directory); len(entries) != 3 {
			t.Error("drafts were left:", entries)
		}
	}
}

func TestAnotherNameTakesThePlaceOfTheFirst(t *testing.T) {
	p := machine(t, map[string]string{"hosts": ""})
	start(t, p, "template", firstID)
	if err := p.write("box", otherID); err != nil { // as a copy is told while it runs
		t.Fatal(err)
	}
	expect(t, p, "hostname", "box\n")
	expect(t, p, "machine-id", otherID+"\n")
	expect(t, p, "hosts", ourHosts)
}

func TestWhatSomebodyPutThereHimselfStays(t *testing.T) {
	for _, hosts := range []string{
		ourHosts + "10.1.2.3 db\n", "10.0.0.1 db\n", "", "127.0.1.1\tbox\n127.0.1.1\tmine\n", "127.0.1.1 mine\n",
	} {
		p := machine(t, map[string]string{"hosts": "", "hostname": "", "machine-id": ""})
		start(t, p, "box", firstID)
		put(t, p, "hosts", hosts)
		put(t, p, "hostname", "mine\n")
		put(t, p, "machine-id", otherID)
		start(t, p, "box", firstID)
		expect(t, p, "hosts", hosts)
		expect(t, p, "hostname", "mine\n")
		expect(t, p, "machine-id", otherID)
	}
}

func TestWhatSomebodyTookAwayStaysAway(t *testing.T) {
	p := machine(t, map[string]string{"hosts": "", "hostname": ""})
	start(t, p, "box", firstID)
	for _, name := range []string{"hosts", "hostname"} {
		if err := os.Remove(filepath.Join(p.directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	start(t, p, "box", firstID)
	if entries, _ := os.ReadDir(p.directory); len(entries) != 1 {
		t.Error(entries)
	}
}

func TestALineOfACopyIsRewrittenAmongOthers(t *testing.T) {
	p := machine(t, map[string]string{"hosts": ""})
	start(t, p, "template", firstID)
	put(t, p, "hosts", "10.1.2.3 db\n127.0.1.1\ttemplate\n")
	start(t, p, "box", firstID)
	expect(t, p, "hosts", "10.1.2.3 db\n127.0.1.1\tbox\n")
	if info, err := os.Stat(filepath.Join(p.directory, "hosts")); err != nil || info.Mode() != 0o640 {
		t.Error(info, err)
	}
}

// TestWhatIsThereInTheirPlaceIsNotWaitedFor has a pipe, a link that leads nowhere, and a file without end.
func TestWhatIsThereInTheirPlaceIsNotWaitedFor(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"a pipe":       func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":       func(path string) error { return os.Symlink("/none/there", path) },
		"a directory":  func(path string) error { return os.Mkdir(path, 0o700) },
		"a large file": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) },
	} {
		p := machine(t, map[string]string{"hosts": ""})
		start(t, p, "box", firstID)
		path := filepath.Join(p.directory, "hosts")
		if err := errors.Join(os.Remove(path), replace(path)); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		if err := p.write("other", otherID); (err != nil) != (name == "a large file") {
			t.Error(name, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Error(name, "was replaced")
		}
	}
}

func TestAFileThatIsRightIsNotTouched(t *testing.T) {
	p := machine(t, map[string]string{"hosts": ""})
	start(t, p, "box", firstID)
	long := time.Unix(1_000_000_000, 0)
	paths := []string{
		filepath.Join(p.directory, "hosts"), filepath.Join(p.memory, "hostname"), filepath.Join(p.memory, "machine-id"),
	}
	for _, path := range paths {
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.write("box", firstID); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(long) {
			t.Error(info, err)
		}
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

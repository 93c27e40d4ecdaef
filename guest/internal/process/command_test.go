package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNotThereIs127(t *testing.T) {
	for _, name := range []string{"no-such-program", "/no/such/program", "./no-such-program", "/dev/null/program", ""} {
		f := failure(t, &Command{Argv: []string{name}, Cwd: "/"})
		if f.ExitCode != 127 || !strings.Contains(f.Reason, name) {
			t.Errorf("%q: %+v", name, f)
		}
	}
}

func TestWhatCannotBeExecutedIs126(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plain"), "text", 0o644)
	write(t, filepath.Join(dir, "orphan"), "#!/no/such/interpreter\n", 0o755)
	write(t, filepath.Join(dir, "noise"), "no header\n", 0o755)
	for _, name := range []string{"./plain", "./orphan", "./noise", "plain", dir} {
		command := &Command{Argv: []string{name}, Cwd: dir, Env: map[string]string{"PATH": dir}}
		if f := failure(t, command); f.ExitCode != 126 || !strings.HasPrefix(f.Reason, name+": ") {
			t.Errorf("%q: %+v", name, f)
		}
	}
}

func TestADirectoryThatIsNotThereIs126AndNamed(t *testing.T) {
	for _, cwd := range []string{"/no/such/directory", "/dev/null"} {
		if f := failure(t, &Command{Argv: []string{"true"}, Cwd: cwd}); f.ExitCode != 126 || !strings.HasPrefix(f.Reason, cwd) {
			t.Errorf("%+v", f)
		}
	}
}

func TestTheCommandsOwnPATHIsSearched(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "a", "tool"), "", 0o644) // not executable: the search goes on
	write(t, filepath.Join(dir, "b", "tool"), "#!/bin/sh\npwd\n", 0o755)
	for _, path := range []string{dir + "/a:" + dir + "/b", "a:b", "/nowhere:b"} {
		command := &Command{Argv: []string{"tool"}, Cwd: dir, Env: map[string]string{"PATH": path}}
		if result, out := run(t, command, 0); result.ExitCode != 0 || out.text[Stdout].String() != dir+"\n" {
			t.Errorf("PATH=%s: %+v %q", path, result, out.text[Stdout].String())
		}
	}
}

func TestWhatTheKernelCannotTakeIsRefused(t *testing.T) {
	for name, command := range map[string]*Command{
		"no argv":        {Cwd: "/"},
		"relative cwd":   {Argv: []string{"x"}, Cwd: "relative"},
		"no cwd":         {Argv: []string{"x"}},
		"NUL in argv":    {Argv: []string{"x", "a\x00b"}, Cwd: "/"},
		"NUL in cwd":     {Argv: []string{"x"}, Cwd: "/a\x00b"},
		"NUL in value":   {Argv: []string{"x"}, Cwd: "/", Env: map[string]string{"A": "\x00"}},
		"= in name":      {Argv: []string{"x"}, Cwd: "/", Env: map[string]string{"A=B": ""}},
		"name of length": {Argv: []string{"x"}, Cwd: "/", Env: map[string]string{"": ""}},
	} {
		if command.Check() == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := (&Command{Argv: []string{"x", ""}, Cwd: "/", Env: map[string]string{"A": ""}}).Check(); err != nil {
		t.Error(err)
	}
}

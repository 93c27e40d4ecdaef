package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// namesDir holds the names: memory, so that giving them to a copy of a machine costs next to nothing. Where programs look
// for them there are links, which whoever wants something else replaces.
const namesDir = "/run/pyro"

// linkNames makes what stands in directory, if it has been there before this machine, what it is known by from now on.
func linkNames(directory, names string) error {
	for _, path := range []string{directory, names} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	hosts, err := os.ReadFile(filepath.Join(directory, "hosts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(names, "hosts"), hosts, 0o644),
		link(directory, names, "hosts"),
		link(directory, names, "hostname"),
		link(directory, names, "machine-id"),
	)
}

// writeNames writes the names that the links lead to. A file that says the right thing already is left alone.
func writeNames(names, hostname, machineID string) error {
	hosts := filepath.Join(names, "hosts")
	known, err := os.ReadFile(hosts)
	if err != nil {
		return err
	}
	return errors.Join(
		write(filepath.Join(names, "machine-id"), machineID+"\n", 0o444),
		write(filepath.Join(names, "hostname"), hostname+"\n", 0o644),
		write(hosts, hostsFile(string(known), hostname), 0o644),
	)
}

// hostsFile makes the hostname resolve, as Debian does it: by the one line for 127.0.1.1. Other lines stay.
func hostsFile(known, hostname string) string {
	if strings.TrimSpace(known) == "" {
		known = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	}
	var result strings.Builder
	for line := range strings.Lines(known) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == "127.0.1.1" {
			continue
		}
		result.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	result.WriteString("127.0.1.1\t" + hostname + "\n")
	return result.String()
}

// link puts a link in the place of whatever stands there, in one step.
func link(directory, names, name string) error {
	place, draft := filepath.Join(directory, name), filepath.Join(directory, name+".pyro")
	_ = os.Remove(draft) // of a machine that was cut off
	if err := os.Symlink(filepath.Join(names, name), draft); err != nil {
		return err
	}
	if err := os.Rename(draft, place); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return nil
}

func write(path, content string, mode fs.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	return os.WriteFile(path, []byte(content), mode)
}

package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeNames puts the names where programs look for them. A file that says the right thing already is left alone, so a
// clock that is set again costs no copy in the overlay.
func writeNames(directory, hostname, machineID string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	hosts := filepath.Join(directory, "hosts")
	known, err := os.ReadFile(hosts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(
		replace(filepath.Join(directory, "machine-id"), machineID+"\n", 0o444),
		replace(filepath.Join(directory, "hostname"), hostname+"\n", 0o644),
		replace(hosts, hostsFile(string(known), hostname), 0o644),
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

// replace gives the file its new content in one step: a reader sees the old or the new.
func replace(path, content string, mode fs.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	draft := path + ".pyro"
	if err := os.WriteFile(draft, []byte(content), mode); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

package identity

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pyro.local/guest/internal/etc"
)

// places is where a machine's names are found.
//
// What nobody edits, hostname and machine-id, is in memory, so that giving it to a copy of a machine costs next to nothing;
// where programs look for it there are links. What people add lines to, hosts, is a file of the disk like any other, of
// which one line is rewritten, only where it is another machine's.
type places struct {
	directory string // where programs look
	memory    string
	own       func(path string) bool
}

// link makes hostname and machine-id known. What the machine's disk has there, of an earlier start or put there by
// somebody, stays.
func (p *places) link() error {
	err := os.MkdirAll(p.memory, 0o755)
	for _, name := range []string{"hostname", "machine-id"} {
		if path := filepath.Join(p.directory, name); !p.own(path) {
			err = errors.Join(err, etc.Link(path, filepath.Join(p.memory, name)))
		}
	}
	return err
}

// write writes the names. A file that says the right thing already is left alone.
func (p *places) write(hostname, machineID string) error {
	return errors.Join(
		write(filepath.Join(p.memory, "machine-id"), machineID+"\n", 0o444),
		write(filepath.Join(p.memory, "hostname"), hostname+"\n", 0o644),
		p.writeHosts(hostname),
	)
}

// writeHosts makes the hostname resolve. Whatever the machine's programs have made of the file stays, be it that they took
// the line away, or the file.
func (p *places) writeHosts(hostname string) error {
	path := filepath.Join(p.directory, "hosts")
	if !p.own(path) {
		known, _ := etc.Read(path) // whatever the base may have there instead is no file to keep lines of
		return etc.Replace(path, hostsFile(known, hostname), 0o644)
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	known, err := etc.Read(path)
	if err != nil {
		return err
	}
	if names := ownNames(known); len(names) == 0 || slices.Contains(names, hostname) {
		return nil
	}
	return etc.Overwrite(path, hostsFile(known, hostname))
}

// address is for a machine's own name, as Debian has it. A line of ours has a tab behind it and then nothing but the name.
const address = "127.0.1.1\t"

// ownNames returns the hostnames that a file has lines of ours for.
func ownNames(hosts string) []string {
	var names []string
	for line := range strings.Lines(hosts) {
		if name, ok := ownName(line); ok {
			names = append(names, name)
		}
	}
	return names
}

func ownName(line string) (string, bool) {
	rest, found := strings.CutPrefix(line, address)
	if fields := strings.Fields(rest); found && len(fields) == 1 {
		return fields[0], true
	}
	return "", false
}

// hostsFile is the known file with a line of ours for the hostname in the place of those for other names.
func hostsFile(known, hostname string) string {
	if strings.TrimSpace(known) == "" {
		known = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	}
	var result strings.Builder
	for line := range strings.Lines(known) {
		if _, ours := ownName(line); !ours {
			result.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	result.WriteString(address + hostname + "\n")
	return result.String()
}

func write(path, content string, mode os.FileMode) error {
	if old, err := etc.Read(path); err == nil && old == content {
		return nil
	}
	return etc.Replace(path, content, mode)
}

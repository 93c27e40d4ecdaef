// Package processtest helps to test what runs commands.
package processtest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// GroupsRoot returns a new directory of a cgroup2 file system, removed after the test, or "" where none can be made: on a
// host without such a file system, or for an ordinary user.
func GroupsRoot(t testing.TB) string {
	t.Helper()
	table, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "cgroup2" {
			continue
		}
		root, err := os.MkdirTemp(fields[1], "pyro-test-")
		if err != nil {
			return ""
		}
		t.Cleanup(func() { remove(t, root) })
		return root
	}
	return ""
}

// remove takes away the groups that commands have left empty; one that is not shows a leak.
func remove(t testing.TB, root string) {
	t.Helper()
	for _, group := range Groups(t, root) {
		if err := syscall.Rmdir(group); err != nil {
			t.Errorf("%s: %v", group, err)
		}
	}
	if err := syscall.Rmdir(root); err != nil {
		t.Error(err)
	}
}

// Groups returns the cgroups below a root.
func Groups(t testing.TB, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	for _, entry := range entries {
		if entry.IsDir() {
			groups = append(groups, filepath.Join(root, entry.Name()))
		}
	}
	return groups
}

// AwaitDeath returns when the process has ended; a test that waits in vain is ended by its timeout.
func AwaitDeath(t testing.TB, pid int) {
	t.Helper()
	const sysPidfdOpen = 434
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if errno == syscall.ESRCH {
		return
	}
	if errno != 0 {
		t.Fatal(errno)
	}
	defer syscall.Close(int(fd))
	poll := struct {
		fd              int32
		events, revents int16
	}{int32(fd), 1, 0}
	errno = syscall.EINTR // the signal may be the very one that tells of this end
	for errno == syscall.EINTR {
		_, _, errno = syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&poll)), 1, ^uintptr(0))
	}
	if errno != 0 {
		t.Fatal(errno)
	}
}

// Alive tells whether the process runs; one that has ended but was not collected by its parent does not.
func Alive(t testing.TB, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0] != "Z" && fields[0] != "X"
}

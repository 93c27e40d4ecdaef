package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mount is one line of a mount table.
type mount struct {
	source, target, kind string
	flags                uintptr
	options              string
	mode                 os.FileMode // of the directory, when it must be made
}

const (
	noExec = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	noDev  = syscall.MS_NOSUID | syscall.MS_NODEV
)

// early is what every program expects of a Linux system, in the order of mounting.
var early = []mount{
	{"proc", "/proc", "proc", noExec, "", 0o555},
	{"sysfs", "/sys", "sysfs", noExec, "", 0o555},
	{"devtmpfs", "/dev", "devtmpfs", syscall.MS_NOSUID, "mode=0755", 0o755},
	{"devpts", "/dev/pts", "devpts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", 0o755},
	{"tmpfs", "/dev/shm", "tmpfs", noDev, "mode=1777", 0o755},
	{"tmpfs", "/run", "tmpfs", noDev, "mode=0755", 0o755},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", noExec, "", 0o555},
}

// moved are the mounts of the table that are taken along to the new root; those below them come by themselves.
var moved = []string{"/proc", "/sys", "/dev", "/run"}

// mount applies the line, making the directory if there is none.
func (m mount) mount() error {
	if err := os.MkdirAll(m.target, m.mode.Perm()); err != nil {
		return err
	}
	if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
	}
	return nil
}

// enableControllers hands every resource controller of the kernel down to the cgroups below.
func enableControllers(root string) error {
	available, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var enable []string
	for _, name := range strings.Fields(string(available)) {
		enable = append(enable, "+"+name)
	}
	return os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte(strings.Join(enable, " ")), 0)
}

// Package boot turns a bare kernel into a machine, and ends it: what PID 1 does.
//
// The initramfs holds this program as /init and, in /lib/modules, the drivers it needs. Above it stands the program;
// below it the kernel. It knows no messages.
package boot

import (
	"fmt"
	"os"
	"syscall"

	"pyro.local/guest/internal/slack"
)

// GroupsRoot is where the cgroups of commands are made.
const GroupsRoot = "/sys/fs/cgroup/pyro"

// descriptorLimit is what commands may raise their number of open files to, as systemd has it; the kernel's own 4096 is
// too low for container engines.
const descriptorLimit = 524288

// Start brings the machine to where its disks can be mounted and its agent reached.
func Start() error {
	syscall.Umask(0o022)
	for _, m := range early {
		if err := m.mount(); err != nil {
			return err
		}
	}
	if err := openConsole(); err != nil {
		return err
	}
	if err := slack.Take(); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	if err := enableControllers("/sys/fs/cgroup"); err != nil {
		return err
	}
	loadModules("/lib/modules/load")
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	limit := syscall.Rlimit{Cur: 1024, Max: descriptorLimit}
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}

// openConsole makes the console this program's output, also when the initramfs had no node for it: a panic must be seen.
func openConsole() error {
	for fd, name := range []string{"/dev/null", "/dev/console", "/dev/console"} {
		file, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: name, Err: err}
		}
		if err := syscall.Dup3(file, fd, 0); err != nil && file != fd {
			return os.NewSyscallError("dup3", err)
		}
		if file > 2 {
			syscall.Close(file)
		}
	}
	return nil
}

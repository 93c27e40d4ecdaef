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

// descriptors is how many files commands may have open, and may raise that to, as systemd has it: more than the first breaks
// programs that use select, and the kernel's own 4096 in the place of the second is too low for container engines.
var descriptors = syscall.Rlimit{Cur: 1024, Max: 524288}

// MakeRoom lets this program have as many files open as a command may at most, and commands as many as they should: the
// agent has to be there for whoever keeps a thousand connections.
//
// Go raises its own limit when a program starts, and hands commands the one it found, but has no way to be told another.
// So this is called before anything else, sets the limit of commands and starts the program anew.
func MakeRoom(program string) error { return makeRoom(program, descriptors) }

func makeRoom(program string, commands syscall.Rlimit) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if limit.Max == commands.Max {
		return nil
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &commands); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	return &os.PathError{Op: "exec", Path: program, Err: syscall.Exec(program, os.Args, os.Environ())}
}

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
	return nil
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

package boot

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

const sysFinitModule = 313

// loadModules loads the kernel modules that a list names, one path per line, in that order. A failure is said on the
// console and not fatal: what cannot be done without the module will fail by itself, and say so to the host.
func loadModules(list string) {
	lines, err := os.ReadFile(list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pyro-guest: kernel modules:", err)
		return
	}
	for path := range strings.FieldsSeq(string(lines)) {
		if err := loadModule(path); err != nil {
			fmt.Fprintf(os.Stderr, "pyro-guest: kernel module %s: %v\n", path, err)
		}
	}
}

func loadModule(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var parameters [1]byte // none
	_, _, errno := syscall.Syscall(sysFinitModule, uintptr(fd), uintptr(unsafe.Pointer(&parameters)), 0)
	if errno != 0 && !errors.Is(errno, syscall.EEXIST) {
		return errno
	}
	return nil
}

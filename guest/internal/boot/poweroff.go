package boot

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// grace is how long processes have to end by themselves, and then again to die.
const grace = 2 * time.Second

// PowerOff ends all processes, seals the disks (root is nil if none are mounted) and ends the machine. empty returns a
// channel that is closed when no process is left.
func PowerOff(root *Root, empty func() <-chan struct{}) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		gone := empty()
		_ = syscall.Kill(-1, signal) // fails if there is none
		select {
		case <-gone:
		case <-time.After(grace):
		}
	}
	if root != nil {
		if err := root.seal(); err != nil {
			fmt.Fprintln(os.Stderr, "pyro-guest: power off:", err)
		}
	}
	syscall.Sync()
	return os.NewSyscallError("reboot", syscall.Reboot(ending()))
}

// ending is the way to end the machine that its VMM notices. QEMU ends when the power goes off, and tells that from a
// reset, which a panic is as well. Firecracker has no power to switch off: it ends on a reset by the keyboard controller,
// which is what `reboot=k` on the kernel's command line prepares.
func ending() int {
	parameters, err := os.ReadFile("/proc/cmdline")
	if err == nil && slices.Contains(strings.Fields(string(parameters)), "reboot=k") {
		return syscall.LINUX_REBOOT_CMD_RESTART
	}
	return syscall.LINUX_REBOOT_CMD_POWER_OFF
}

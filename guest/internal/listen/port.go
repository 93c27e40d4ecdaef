package listen

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

const (
	portClass = "/sys/class/virtio-ports"
	pollIn    = 0x1
	pollHup   = 0x10
)

// port is an open virtio-serial port.
type port struct{ *os.File }

// openPort waits until the port of that name exists and opens it. The number in its device's name varies; the name that
// the host gave it appears in sysfs some time after the device, and the kernel announces that.
func openPort(name string) (port, error) {
	events, err := subscribe()
	if err != nil {
		return port{}, err
	}
	defer syscall.Close(events)
	buffer := make([]byte, 8192)
	for {
		if device := findPort(name); device != "" {
			file, err := os.OpenFile(filepath.Join("/dev", device), os.O_RDWR, 0)
			return port{file}, err
		}
		if _, _, err := syscall.Recvfrom(events, buffer, 0); err != nil && err != syscall.EINTR && err != syscall.ENOBUFS {
			return port{}, os.NewSyscallError("recvfrom", err)
		}
	}
}

// subscribe opens a socket that hears of every change to the kernel's devices from now on.
func subscribe() (int, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, syscall.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: 1}); err != nil {
		syscall.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func findPort(name string) string {
	files, _ := filepath.Glob(portClass + "/*/name") // fails on a malformed pattern only
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(content)) == name {
			return filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

// AwaitHost blocks until a host client is connected. While none is, every read ends at once and the port counts as
// readable, so waiting for that would spin; the runtime's poller is edge-triggered and wakes when the state changes.
func (p port) AwaitHost() error {
	raw, err := p.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Write(func(fd uintptr) bool {
		poll := struct {
			fd              int32
			events, revents int16
		}{int32(fd), pollIn, 0}
		_, _, errno := syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&poll)), 1, 0)
		return errno == 0 && poll.revents&pollHup == 0
	})
}

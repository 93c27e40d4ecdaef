package listen

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"pyro.local/guest/internal/at"
	"pyro.local/guest/internal/mux"
)

const (
	portClass = "/sys/class/virtio-ports"
	pollIn    = 0x1
	pollHup   = 0x10
)

// port is an open virtio-serial port. Bytes to send go through a pipe: what is written to the device itself is cut at
// 32 KiB (port_fops_write in the kernel's virtio_console.c), and each piece costs exits to the VMM; a pipe is spliced whole.
type port struct {
	*os.File
	pipeIn, pipeOut int
}

// pipeBytes is how much goes to the VMM at once.
const pipeBytes = mux.BatchSize

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
			if err != nil {
				return port{}, err
			}
			return newPort(file)
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

func newPort(file *os.File) (port, error) {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return port{}, os.NewSyscallError("pipe2", err)
	}
	const setPipeSize = 1031
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(pipe[1]), setPipeSize, pipeBytes); errno != 0 {
		return port{}, os.NewSyscallError("fcntl", errno)
	}
	return port{File: file, pipeOut: pipe[0], pipeIn: pipe[1]}, nil
}

// Write sends all of data. Only one may be under way.
func (p port) Write(data []byte) (int, error) {
	sent := 0
	for sent < len(data) {
		n, err := syscall.Write(p.pipeIn, data[sent:min(len(data), sent+pipeBytes)])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return sent, os.NewSyscallError("write", err)
		}
		if err := p.drain(data[sent : sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// drain moves what is in the pipe, which is rest, to the device.
func (p port) drain(rest []byte) error {
	for len(rest) > 0 {
		n, err := p.splice(len(rest))
		if err != nil {
			return err
		}
		if n == 0 {
			// The kernel had no memory for a list of so many pages, and has taken them out of the pipe all the same.
			if n, err = p.taken(len(rest)); err != nil {
				return err
			}
			if _, err := p.File.Write(rest[:n]); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
	return nil
}

// splice moves up to count bytes from the pipe to the device, as soon as that takes any.
func (p port) splice(count int) (n int, err error) {
	raw, err := p.SyscallConn()
	if err != nil {
		return 0, err
	}
	waited := raw.Write(func(fd uintptr) bool {
		n, err = at.Retry(func() (int, error) {
			n, err := syscall.Splice(p.pipeOut, nil, int(fd), nil, count, 0)
			return int(n), err
		})
		return err != syscall.EAGAIN
	})
	if waited != nil {
		return 0, waited
	}
	return n, os.NewSyscallError("splice", err)
}

// taken is how much of count bytes is not in the pipe any more.
func (p port) taken(count int) (int, error) {
	var left int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(p.pipeOut), syscall.TIOCINQ, uintptr(unsafe.Pointer(&left)))
	if errno != 0 {
		return 0, os.NewSyscallError("ioctl", errno)
	}
	if int(left) == count {
		return 0, io.ErrNoProgress
	}
	return count - int(left), nil
}

package listen

import (
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	agentPort    = 5005
	doorbellPort = 5006

	backlog = 128

	afVsock        = 40
	cidHost        = 2
	cidAny         = 0xffffffff
	ioctlLocalCID  = 0x7b9 // IOCTL_VM_SOCKETS_GET_LOCAL_CID
	firstGuestCID  = 3
	vsockDevice    = "/dev/vsock"
	sizeofSockaddr = 16
)

// sockaddrVM is the kernel's struct sockaddr_vm (vsock(7)), which package syscall does not know.
type sockaddrVM struct {
	family, _ uint16
	port, cid uint32
	_         [4]byte
}

func (a *sockaddrVM) call(trap, fd uintptr) error {
	_, _, errno := syscall.Syscall(trap, fd, uintptr(unsafe.Pointer(a)), sizeofSockaddr)
	if errno != 0 {
		return errno
	}
	return nil
}

// hasVsock tells whether the machine has an address of its own to listen at.
func hasVsock() bool {
	device, err := os.Open(vsockDevice)
	if err != nil {
		return false
	}
	defer device.Close()
	var cid uint32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, device.Fd(), ioctlLocalCID, uintptr(unsafe.Pointer(&cid)))
	return errno == 0 && cid >= firstGuestCID && cid != cidAny
}

// vsockListener accepts connections of the host. Package net knows no vsock; an os.File that does not block waits in the
// runtime's poller all the same, deadlines included.
type vsockListener struct {
	file *os.File
	addr vsockAddr
}

func listenVsock(port uint32) (net.Listener, error) {
	fd, err := syscall.Socket(afVsock, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := (&sockaddrVM{family: afVsock, port: port, cid: cidAny}).call(syscall.SYS_BIND, uintptr(fd)); err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(fd, backlog); err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	return &vsockListener{os.NewFile(uintptr(fd), "vsock"), vsockAddr(port)}, nil
}

// Accept implements net.Listener.
func (l *vsockListener) Accept() (net.Conn, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Read(func(listening uintptr) bool {
		for {
			fd, _, errno = syscall.Syscall6(
				syscall.SYS_ACCEPT4, listening, 0, 0, syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0, 0,
			)
			if errno != syscall.EINTR && errno != syscall.ECONNABORTED {
				return errno != syscall.EAGAIN
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, acceptError(errno)
	}
	return &hostConn{File: os.NewFile(fd, "vsock"), addr: l.addr}, nil
}

// acceptError is a shortage where that is what the error says.
func acceptError(errno syscall.Errno) error {
	err := os.NewSyscallError("accept4", errno)
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return shortage{err}
	}
	return err
}

// shortage is an error that goes away: net/http waits and tries again. It implements net.Error.
type shortage struct{ error }

func (shortage) Timeout() bool   { return false }
func (shortage) Temporary() bool { return true }
func (s shortage) Unwrap() error { return s.error }

// Close implements net.Listener.
func (l *vsockListener) Close() error { return l.file.Close() }

// Addr implements net.Listener.
func (l *vsockListener) Addr() net.Addr { return l.addr }

// hostConn is a connection that the host has made. The host ends it: the VMM gives a connection that its guest has closed
// two seconds, then drops whatever of the answer the host has not taken by then.
type hostConn struct {
	*os.File
	addr   vsockAddr
	closed sync.Once
}

// Close returns at once; the connection goes when the host has ended it.
func (c *hostConn) Close() error {
	c.closed.Do(func() { go c.outlast() })
	return nil
}

func (c *hostConn) outlast() {
	defer c.File.Close()
	if c.SetReadDeadline(time.Time{}) == nil {
		_, _ = io.Copy(io.Discard, c.File)
	}
}

// LocalAddr implements net.Conn.
func (c *hostConn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr implements net.Conn.
func (c *hostConn) RemoteAddr() net.Addr { return vsockAddr(0) }

// vsockAddr is a port.
type vsockAddr uint32

func (vsockAddr) Network() string  { return "vsock" }
func (a vsockAddr) String() string { return strconv.FormatUint(uint64(a), 10) }

// ring connects to a port of the host, to say that this machine listens now, and again whenever the transport was reset:
// that is how a machine learns that it was saved and is going on elsewhere. It ends when the host hangs up. Whether
// anybody hears it is not known here: a host that does not wait for it has no such port.
func ring(port uint32) {
	for ringOnce(port) {
	}
}

// ringOnce tells whether the connection was made and broke.
func ringOnce(port uint32) bool {
	fd, err := syscall.Socket(afVsock, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	host := sockaddrVM{family: afVsock, port: port, cid: cidHost}
	switch err := host.call(syscall.SYS_CONNECT, uintptr(fd)); err {
	case nil:
	case syscall.EINTR:
		return true
	default:
		return false
	}
	var nothing [1]byte
	for {
		n, err := syscall.Read(fd, nothing[:])
		if err == nil && n == 0 {
			return false
		}
		if err != nil && err != syscall.EINTR {
			return true
		}
	}
}

// Package forward connects to programs of this machine and moves bytes between such a connection and whoever asked for it.
//
// Above it stands server, which has the other end; below it dial and the kernel. It knows no messages. What it holds per
// connection is small while nothing moves: buffers are taken when there is something to put in.
package forward

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"pyro.local/guest/internal/dial"
)

const (
	// dialLimit bounds the wait for a program that listens, but takes no connection.
	dialLimit = 5 * time.Second
	// BufferSize is how much is moved at once: each piece costs what the carrier asks for a piece.
	BufferSize = 128 << 10
	// tcpClose is the kernel's number for a connection that is over in both directions.
	tcpClose = 7
)

var (
	// ErrRefused says that nobody listens at the port, or takes the connection.
	ErrRefused = errors.New("nobody takes connections at that port")
	// ErrReset says that the connection broke.
	ErrReset = errors.New("the connection was reset")
)

var buffers = sync.Pool{New: func() any { return new([BufferSize]byte) }}

// Conn is a connection to a program of this machine.
type Conn struct {
	tcp     *net.TCPConn
	raw     syscall.RawConn
	inEnded atomic.Bool
}

// Dial connects to a port of the loopback, by IPv4 or else by IPv6.
func Dial(ctx context.Context, port int) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	for _, host := range []string{"127.0.0.1", "::1"} {
		tcp, err := dial.TCP(ctx, net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			tcp.Close()
			return nil, err
		}
		return &Conn{tcp: tcp, raw: raw}, nil
	}
	return nil, ErrRefused
}

// Out passes on what the program sends until it has ended its direction: each piece to put, with reserve bytes of room in
// front of it, and flush is called before the wait for more. The error is ErrReset or one of theirs.
func (c *Conn) Out(reserve int, put func([]byte) error, flush func() error) error {
	out := outlet{put: put, flush: flush, reserve: reserve}
	for {
		buffer, n, err := c.receive(&out)
		if err != nil {
			return err
		}
		if n > 0 {
			err = out.put(buffer[:reserve+n])
			out.unsent = true
		}
		buffers.Put(buffer)
		if err != nil || n == 0 {
			return err
		}
		if reserve+n < BufferSize { // all there was: the next receive would only find that out
			if err := out.clear(); err != nil {
				return err
			}
		}
	}
}

// outlet is where the program's bytes go.
type outlet struct {
	put     func([]byte) error
	flush   func() error
	reserve int
	unsent  bool // something was put and not flushed
}

func (o *outlet) clear() error {
	if !o.unsent {
		return nil
	}
	o.unsent = false
	return o.flush()
}

// receive takes what there is, waiting for the first byte without a buffer; n is 0 when the program sends no more.
func (c *Conn) receive(out *outlet) (buffer *[BufferSize]byte, n int, err error) {
	waited := c.raw.Read(func(fd uintptr) bool {
		buffer = buffers.Get().(*[BufferSize]byte)
		n, err = retry(func() (int, error) { return syscall.Read(int(fd), buffer[out.reserve:]) })
		if n == 0 && err == nil && c.dead(fd) {
			err = syscall.ECONNRESET
		}
		if err == nil {
			return true
		}
		buffers.Put(buffer)
		if err != syscall.EAGAIN {
			err = ErrReset
			return true
		}
		err = out.clear()
		return err != nil
	})
	if waited != nil {
		err = ErrReset // closed under us
	}
	return buffer, n, err
}

// dead tells whether a connection that gives no more bytes was reset. The kernel reports that once, which may have been to
// whoever was sending; but as long as we have not ended our direction, only a reset ends both.
func (c *Conn) dead(fd uintptr) bool {
	state, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO) // struct tcp_info begins with it
	return err == nil && state&0xff == tcpClose && !c.inEnded.Load()
}

// In sends n bytes to the program, as read gives them. An error of read is returned as it is; ErrReset is the connection's.
func (c *Conn) In(read func([]byte) (int, error), n int) error {
	if n == 0 {
		return nil
	}
	buffer := buffers.Get().(*[BufferSize]byte)
	defer buffers.Put(buffer)
	for n > 0 {
		piece := buffer[:min(n, BufferSize)]
		for filled := 0; filled < len(piece); { // each write wakes the program: few are better than early ones
			got, err := read(piece[filled:])
			if err != nil {
				return err
			}
			filled += got
		}
		if _, err := c.tcp.Write(piece); err != nil {
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				c.Break() // else the program has, and what it said before is still to be read
			}
			return ErrReset
		}
		n -= len(piece)
	}
	return nil
}

// EndIn tells the program that nothing more is sent to it.
func (c *Conn) EndIn() error {
	c.inEnded.Store(true)
	if c.tcp.CloseWrite() != nil {
		return ErrReset
	}
	return nil
}

// AwaitReset returns when the connection breaks or is closed here. It is for when the program sends no more: then nothing
// that is read would tell.
func (c *Conn) AwaitReset() error {
	_ = c.raw.Read(func(fd uintptr) bool {
		broken, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		return broken != 0 || err != nil
	})
	return ErrReset
}

// Close ends a connection both directions of which have ended.
func (c *Conn) Close() { c.tcp.Close() }

// Break ends a connection so that the program feels it.
func (c *Conn) Break() {
	_ = c.tcp.SetLinger(0)
	c.tcp.Close()
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}

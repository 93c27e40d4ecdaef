package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// output is the reading end of a command's stdout or stderr.
//
// It ends when no one holds the pipe any more, or, once the command is over, after the bytes that stood in the pipe at
// that moment: who else holds it then is not waited for, and what they add is not part of the answer.
type output struct {
	file *os.File
	raw  syscall.RawConn

	mu    sync.Mutex // held while bytes are taken, so that taken and the pipe's content fit together
	taken int64
	limit int64 // how many bytes may be taken in all; negative while the command runs
}

// newPipe returns the two ends of a pipe: ours, waited for by the runtime's poller, and the command's, a plain blocking
// descriptor as programs expect it.
func newPipe(ours int) (*os.File, int, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, -1, os.NewSyscallError("pipe2", err)
	}
	if err := syscall.SetNonblock(ends[ours], true); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return nil, -1, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(ends[ours]), "pipe"), ends[1-ours], nil
}

func newOutput() (*output, int, error) {
	file, theirs, err := newPipe(0)
	if err != nil {
		return nil, -1, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		syscall.Close(theirs)
		return nil, -1, err
	}
	return &output{file: file, raw: raw, limit: -1}, theirs, nil
}

// Read takes what there is, waiting for the first byte.
func (o *output) Read(p []byte) (n int, err error) {
	for {
		waited := o.raw.Read(func(fd uintptr) bool {
			n, err = o.take(int(fd), p)
			return err != syscall.EAGAIN
		})
		if errors.Is(waited, os.ErrDeadlineExceeded) { // woken by settle: what is left is there already
			o.file.SetReadDeadline(time.Time{})
			continue
		}
		return n, errors.Join(err, waited)
	}
}

func (o *output) take(fd int, p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.limit >= 0 {
		p = p[:min(int64(len(p)), o.limit-o.taken)]
		if len(p) == 0 {
			return 0, io.EOF
		}
	}
	for {
		n, err := syscall.Read(fd, p)
		if err == syscall.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		o.taken += int64(max(n, 0))
		return max(n, 0), err
	}
}

// settle says that the command is over: the stream ends after what is in the pipe now.
func (o *output) settle() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var waiting int32
	var errno syscall.Errno
	err := o.raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&waiting)))
	})
	if err != nil {
		return err
	}
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	o.limit = o.taken + int64(waiting)
	return o.file.SetReadDeadline(time.Now())
}

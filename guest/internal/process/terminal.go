package process

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// Ioctls of a terminal, and a flag of its, that package syscall does not name.
const (
	ioctlGetModes  = 0x5401     // TCGETS
	ioctlSetModes  = 0x5402     // TCSETS
	ioctlPtyNumber = 0x80045430 // TIOCGPTN
	ioctlPtyLock   = 0x40045431 // TIOCSPTLCK
	inputIsUTF8    = 0x4000     // IUTF8
)

// terminalDefaults is what a command on a terminal gets below all else: no more than what any terminal of today can do.
var terminalDefaults = map[string]string{"TERM": "xterm-256color"}

// Terminal is the size of a terminal, in characters.
type Terminal struct {
	Cols, Rows uint16
}

// openTerminal opens a terminal of its own for the command and returns the command's end, as descriptors 0 to 2. Ours is
// waited for by the runtime's poller. The command's, too, stays open here until the command is over: as long as it is,
// reading ours does not fail because nobody happens to hold the terminal.
func (p *Process) openTerminal(size Terminal) ([]uintptr, error) {
	fd, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	p.Terminal = os.NewFile(uintptr(fd), "terminal")
	var unlocked, number int32
	if err := ioctl(uintptr(fd), ioctlPtyLock, unsafe.Pointer(&unlocked)); err != nil {
		return nil, err
	}
	if err := ioctl(uintptr(fd), ioctlPtyNumber, unsafe.Pointer(&number)); err != nil {
		return nil, err
	}
	if err := p.eraseCharacters(); err != nil {
		return nil, err
	}
	if err := p.Resize(size); err != nil {
		return nil, err
	}
	path := "/dev/pts/" + strconv.Itoa(int(number))
	theirs, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	p.slave = os.NewFile(uintptr(theirs), path)
	return []uintptr{p.slave.Fd(), p.slave.Fd(), p.slave.Fd()}, nil
}

// eraseCharacters has the terminal rub out whole characters where it edits lines. Otherwise it does so byte by byte.
func (p *Process) eraseCharacters() error {
	var modes syscall.Termios
	if err := p.control(ioctlGetModes, unsafe.Pointer(&modes)); err != nil {
		return err
	}
	modes.Iflag |= inputIsUTF8
	return p.control(ioctlSetModes, unsafe.Pointer(&modes))
}

// Resize changes the size of the command's terminal. Its foreground process group hears of it by SIGWINCH.
func (p *Process) Resize(size Terminal) error {
	dimensions := [4]uint16{size.Rows, size.Cols} // and pixels, which nobody knows
	return p.control(syscall.TIOCSWINSZ, unsafe.Pointer(&dimensions))
}

// Foreground returns the foreground process group of the command's terminal, 0 if there is none.
func (p *Process) Foreground() (int, error) {
	var group int32
	err := p.control(syscall.TIOCGPGRP, unsafe.Pointer(&group))
	return int(group), err
}

func (p *Process) control(request uintptr, argument unsafe.Pointer) error {
	raw, err := p.Terminal.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if raw.Control(func(fd uintptr) { result = ioctl(fd, request, argument) }) != nil {
		return os.ErrClosed // what it says itself has no name
	}
	return result
}

func ioctl(fd, request uintptr, argument unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument))
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}

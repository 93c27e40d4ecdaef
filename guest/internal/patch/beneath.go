package patch

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	sysRenameat2  = 316
	sysOpenat2    = 437
	sizeofOpenHow = 24
	oPath         = 0x200000

	resolveNoMagiclinks = 0x02
	resolveBeneath      = 0x08

	atSymlinkNofollow = 0x100
	atRemovedir       = 0x200
	renameNoreplace   = 1
	renameExchange    = 2
)

// openHow is the kernel's struct open_how (openat2(2)).
type openHow struct {
	flags, mode, resolve uint64
}

// descriptor is an open directory.
type descriptor int

func (d descriptor) close() { syscall.Close(int(d)) }

func openRoot(path string) (descriptor, error) {
	fd, err := syscall.Open(path, oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return descriptor(fd), nil
}

// directory opens the directory at path, "." being d itself. Links on the way are followed as long as they stay beneath
// d; the error is EXDEV where one does not.
func (d descriptor) directory(path string) (descriptor, error) {
	pointer, err := syscall.BytePtrFromString(path)
	if err != nil {
		return -1, syscall.ENOENT
	}
	how := openHow{
		flags:   oPath | syscall.O_DIRECTORY | syscall.O_CLOEXEC,
		resolve: resolveBeneath | resolveNoMagiclinks,
	}
	for tries := 0; ; tries++ {
		fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(d), uintptr(unsafe.Pointer(pointer)),
			uintptr(unsafe.Pointer(&how)), sizeofOpenHow, 0, 0)
		switch {
		case errno == 0:
			return descriptor(fd), nil
		case errno == syscall.EINTR || errno == syscall.EAGAIN && tries < 100: // a rename was under way
			continue
		}
		return -1, errno
	}
}

// file opens a name in the directory, which is not followed if it is a link.
func (d descriptor) file(name string, flags int, mode uint32) (*os.File, error) {
	flags |= syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_NOCTTY | syscall.O_CLOEXEC
	for {
		fd, err := syscall.Openat(int(d), name, flags, mode)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), strconv.Quote(name)), nil
		case syscall.EINTR:
			continue
		}
		return nil, err
	}
}

func (d descriptor) lstat(name string) (stat syscall.Stat_t, err error) {
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return stat, syscall.ENOENT
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_NEWFSTATAT, uintptr(d), uintptr(unsafe.Pointer(pointer)),
		uintptr(unsafe.Pointer(&stat)), atSymlinkNofollow, 0, 0)
	return stat, result(errno)
}

func (d descriptor) readlink(name string) ([]byte, error) {
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return nil, syscall.ENOENT
	}
	buffer := make([]byte, 4096) // PATH_MAX: no target is longer
	n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(d), uintptr(unsafe.Pointer(pointer)),
		uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return buffer[:n:n], nil
}

func (d descriptor) symlink(target, name string) error {
	to, err := syscall.BytePtrFromString(target)
	if err != nil {
		return syscall.EINVAL
	}
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return syscall.EINVAL
	}
	_, _, errno := syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(to)), uintptr(d),
		uintptr(unsafe.Pointer(pointer)))
	return result(errno)
}

func (d descriptor) mkdir(name string, mode uint32) error { return syscall.Mkdirat(int(d), name, mode) }

func (d descriptor) unlink(name string) error { return syscall.Unlinkat(int(d), name) }

func (d descriptor) rmdir(name string) error {
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return syscall.ENOENT
	}
	_, _, errno := syscall.Syscall(syscall.SYS_UNLINKAT, uintptr(d), uintptr(unsafe.Pointer(pointer)), atRemovedir)
	return result(errno)
}

// renameTo moves a name into another directory, with the flags of renameat2(2).
func (d descriptor) renameTo(name string, other descriptor, otherName string, flags uintptr) error {
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return syscall.ENOENT
	}
	to, err := syscall.BytePtrFromString(otherName)
	if err != nil {
		return syscall.EINVAL
	}
	_, _, errno := syscall.Syscall6(sysRenameat2, uintptr(d), uintptr(unsafe.Pointer(pointer)),
		uintptr(other), uintptr(unsafe.Pointer(to)), flags, 0)
	return result(errno)
}

func result(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

package diff

import (
	"io/fs"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	sysOpenat2    = 437
	sizeofOpenHow = 24
	oPath         = 0x200000

	resolveNoXdev       = 0x01
	resolveNoMagiclinks = 0x02
	resolveNoSymlinks   = 0x04
	resolveBeneath      = 0x08
	resolveInside       = resolveBeneath | resolveNoSymlinks | resolveNoMagiclinks | resolveNoXdev

	openFlags = syscall.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_NOCTTY | syscall.O_CLOEXEC
)

// openHow is the kernel's struct open_how (openat2(2)).
type openHow struct {
	flags, mode, resolve uint64
}

// descriptor is an open file or directory. Those of absent ones are -1, and closing them does nothing.
type descriptor int

const absent descriptor = -1

func (d descriptor) close() {
	if d != absent {
		syscall.Close(int(d))
	}
}

// openTree opens a directory for use with openBeneath.
func openTree(path string) (descriptor, error) {
	fd, err := syscall.Open(path, oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return absent, pathError("open", path, err)
	}
	return descriptor(fd), nil
}

// openBeneath opens what stands at path below d, or d itself for "". No symbolic link is followed and no mount entered:
// the error is then EXDEV. What is not there, or is nothing to be opened like this, is absent.
func (d descriptor) openBeneath(path string, flags int) (descriptor, error) {
	fd, errno := d.openat2(path, flags)
	switch {
	case errno == 0:
		return fd, nil
	case errno == syscall.ENAMETOOLONG:
		return absent, ErrPathTooLong
	case isGone(errno):
		return absent, nil
	}
	return absent, pathError("open", path, errno)
}

func (d descriptor) openat2(path string, flags int) (descriptor, syscall.Errno) {
	if path == "" {
		path = "."
	}
	pointer, err := syscall.BytePtrFromString(path)
	if err != nil {
		return absent, syscall.ENOENT // no such name can be
	}
	how := openHow{flags: uint64(openFlags | flags), resolve: resolveInside}
	for {
		fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(d), uintptr(unsafe.Pointer(pointer)),
			uintptr(unsafe.Pointer(&how)), sizeofOpenHow, 0, 0)
		switch errno {
		case 0:
			return descriptor(fd), 0
		case syscall.EINTR:
			continue
		}
		return absent, errno
	}
}

// pathError quotes the path, which may hold any bytes.
func pathError(what, path string, err error) error {
	return &fs.PathError{Op: what, Path: strconv.Quote(path), Err: err}
}

// isGone tells that a path leads nowhere, or not to what it led to. The last two are what sockets and devices answer.
func isGone(err error) bool {
	switch err {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.ENXIO, syscall.ENODEV:
		return true
	}
	return false
}

// openFile opens a regular file; anything else is absent.
func (d descriptor) openFile(path string) (descriptor, error) {
	file, err := d.openBeneath(path, 0)
	if err != nil || file == absent {
		return absent, err
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file), &stat); err != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
		file.close()
		return absent, err
	}
	return file, nil
}

// read fills buffer from the place where the descriptor stands, as far as there are bytes.
func (d descriptor) read(buffer []byte) (int, error) {
	filled := 0
	for filled < len(buffer) {
		n, err := syscall.Read(int(d), buffer[filled:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return filled, err
		}
		if n == 0 {
			break
		}
		filled += n
	}
	return filled, nil
}

// lstat returns the zero meta for what is not there.
func (d descriptor) lstat(name string) (meta, error) {
	if d == absent {
		return meta{}, nil
	}
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return meta{}, nil
	}
	var stat syscall.Stat_t
	const atSymlinkNofollow = 0x100
	_, _, errno := syscall.Syscall6(syscall.SYS_NEWFSTATAT, uintptr(d), uintptr(unsafe.Pointer(pointer)),
		uintptr(unsafe.Pointer(&stat)), atSymlinkNofollow, 0, 0)
	if errno != 0 && !isGone(errno) {
		return meta{}, pathError("lstat", name, errno)
	}
	if errno != 0 {
		return meta{}, nil
	}
	return newMeta(&stat), nil
}

// readlink returns "" for what is not there or is no link.
func (d descriptor) readlink(name string) (string, error) {
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return "", nil
	}
	var buffer [4096]byte // PATH_MAX: no target is longer
	n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(d), uintptr(unsafe.Pointer(pointer)),
		uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), 0, 0)
	if errno != 0 && !isGone(errno) && errno != syscall.EINVAL {
		return "", pathError("readlink", name, errno)
	}
	if errno != 0 {
		return "", nil
	}
	return string(buffer[:n]), nil
}

// hasAttribute tells whether an open file has the extended attribute.
func (d descriptor) hasAttribute(name string) bool {
	pointer, err := syscall.BytePtrFromString(name)
	if err != nil {
		return false
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_FGETXATTR, uintptr(d), uintptr(unsafe.Pointer(pointer)), 0, 0, 0, 0)
	return errno == 0
}

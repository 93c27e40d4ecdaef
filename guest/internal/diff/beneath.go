package diff

import (
	"io/fs"
	"strconv"
	"syscall"
	"unsafe"

	"pyro.local/guest/internal/at"
)

const (
	resolveInside = at.ResolveBeneath | at.ResolveNoSymlinks | at.ResolveNoMagicLinks | at.ResolveNoXDev
	openFlags     = syscall.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_NOCTTY
)

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
	fd, err := syscall.Open(path, at.OPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return absent, pathError("open", path, err)
	}
	return descriptor(fd), nil
}

// openBeneath opens what stands at path below d, or d itself for "". No symbolic link is followed and no mount entered:
// the error is then EXDEV. What is not there, or is nothing to be opened like this, is absent.
func (d descriptor) openBeneath(path string, flags int) (descriptor, error) {
	fd, err := d.open(path, flags)
	switch {
	case err == nil:
		return fd, nil
	case err == syscall.ENAMETOOLONG:
		return absent, ErrPathTooLong
	case isGone(err):
		return absent, nil
	}
	return absent, pathError("open", path, err)
}

// open is openBeneath with all errors as they are.
func (d descriptor) open(path string, flags int) (descriptor, error) {
	fd, err := at.Open(int(d), path, openFlags|flags, 0, resolveInside)
	return descriptor(fd), err
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
	if err := at.Fstat(int(file), &stat); err != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
		file.close()
		return absent, err
	}
	return file, nil
}

// lstat returns the zero meta for what is not there.
func (d descriptor) lstat(name string) (meta, error) {
	if d == absent {
		return meta{}, nil
	}
	var stat syscall.Stat_t
	err := at.Lstat(int(d), name, &stat)
	switch {
	case err == nil:
		return newMeta(&stat), nil
	case isGone(err):
		return meta{}, nil
	}
	return meta{}, pathError("lstat", name, err)
}

// readlink returns "" for what is not there or is no link.
func (d descriptor) readlink(name string) (string, error) {
	target, err := at.Readlink(int(d), name)
	if err != nil && !isGone(err) && err != syscall.EINVAL {
		return "", pathError("readlink", name, err)
	}
	return target, nil
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

package patch

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"pyro.local/guest/internal/at"
)

// descriptor is an open directory.
type descriptor int

func (d descriptor) close() { syscall.Close(int(d)) }

func openRoot(path string) (descriptor, error) {
	fd, err := syscall.Open(path, at.OPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return descriptor(fd), nil
}

// directory opens the directory at path, "." being d itself. Links on the way are followed as long as they stay beneath
// d; the error is EXDEV where one does not.
func (d descriptor) directory(path string) (descriptor, error) {
	fd, err := at.Open(int(d), path, at.OPath|syscall.O_DIRECTORY, 0, at.ResolveBeneath|at.ResolveNoMagicLinks)
	return descriptor(fd), err
}

// file opens a name in the directory, which is not followed if it is a link.
func (d descriptor) file(name string, flags int, mode uint32) (*os.File, error) {
	fd, err := at.OpenName(int(d), name, flags|syscall.O_NONBLOCK|syscall.O_NOCTTY, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), strconv.Quote(name)), nil
}

func (d descriptor) lstat(name string) (stat syscall.Stat_t, err error) {
	err = at.Lstat(int(d), name, &stat)
	return stat, err
}

func (d descriptor) readlink(name string) ([]byte, error) {
	target, err := at.Readlink(int(d), name)
	return []byte(target), err
}

func (d descriptor) symlink(target, name string) error { return at.Symlink(target, int(d), name) }

func (d descriptor) mkdir(name string, mode uint32) error { return at.Mkdir(int(d), name, mode) }

func (d descriptor) unlink(name string) error { return at.Unlink(int(d), name) }

func (d descriptor) rmdir(name string) error { return at.Rmdir(int(d), name) }

// renameTo moves a name into another directory, with the flags of renameat2(2).
func (d descriptor) renameTo(name string, other descriptor, otherName string, flags uintptr) error {
	return at.Rename(int(d), name, int(other), otherName, flags)
}

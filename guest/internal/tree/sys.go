package tree

import (
	"errors"
	"syscall"
	"unsafe"

	"pyro.local/guest/internal/at"
)

// resolveStay has any symbolic link on a path answer ELOOP, and any mount point EXDEV.
const resolveStay = at.ResolveBeneath | at.ResolveNoSymlinks | at.ResolveNoMagicLinks | at.ResolveNoXDev

// resolveTries bounds how often a lookup that raced with a rename is tried again.
const resolveTries = 100

const (
	asPath   = at.OPath | syscall.O_DIRECTORY
	asReader = syscall.O_RDONLY | syscall.O_DIRECTORY
)

// openAt opens a path beneath a directory.
func openAt(directory int, path string, flags int, mode uint32) (int, error) {
	return at.Open(directory, path, flags, mode, resolveStay)
}

// setTime sets the time of last change of a name; what it links to is left alone.
func setTime(directory int, name string, mtime syscall.Timespec) error {
	return at.SetTimes(directory, name, at.Omit, mtime)
}

// setOpenTime sets the time of last change of what the descriptor is of.
func setOpenTime(fd int, mtime syscall.Timespec) error {
	return at.SetTimes(fd, "", at.Omit, mtime)
}

// dropACL takes from a directory what it would hand down to all that is made in it.
func dropACL(fd int) error {
	for _, name := range []string{"system.posix_acl_default\x00", "system.posix_acl_access\x00"} {
		p := unsafe.StringData(name)
		_, _, errno := syscall.Syscall(syscall.SYS_FREMOVEXATTR, uintptr(fd), uintptr(unsafe.Pointer(p)), 0)
		if errno != 0 && errno != syscall.ENODATA && errno != syscall.EOPNOTSUPP {
			return errno
		}
	}
	return nil
}

// gone tells whether a name vanished, or what it was became something else, since it was looked at.
func gone(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// kindOf reads the type bits of a mode.
func kindOf(mode uint32) Kind {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return File
	case syscall.S_IFDIR:
		return Directory
	case syscall.S_IFLNK:
		return Symlink
	}
	return Other
}

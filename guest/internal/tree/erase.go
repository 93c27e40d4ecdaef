package tree

import (
	"errors"
	"strconv"
	"syscall"

	"pyro.local/guest/internal/at"
)

const (
	eraseDepth  = 200 // directories that are held open within each other
	erasePasses = 3   // over a directory into which someone else keeps putting something
	eraseRounds = 100_000
)

var errDeep = errors.New("nested too deep")

// erase removes a name and all below it, however deep that is.
func (r *Root) erase(parent int, name string) error {
	err := at.Unlink(parent, name)
	if err == nil || err == syscall.ENOENT {
		return nil
	}
	if err != syscall.EISDIR && err != syscall.EPERM {
		return err
	}
	e := &eraser{root: r, buffers: map[int][]byte{}}
	deep := -1
	for range eraseRounds {
		if deep < 0 {
			deep, err = e.directory(parent, name, 0)
			if err != nil || deep < 0 {
				return err
			}
		}
		// Too deep: go on with what was reached as if it were the top, and when that is empty with the top again.
		next, err := e.contents(deep, 0)
		syscall.Close(deep)
		if err != nil {
			return err
		}
		deep = next
	}
	return syscall.ENOTEMPTY
}

// eraser works at a tree; each level of it has a buffer.
type eraser struct {
	root    *Root
	buffers map[int][]byte
}

// directory removes a directory. If it is nested too deep, deep is a descriptor of what is to be emptied first, else
// -1.
func (e *eraser) directory(parent int, name string, depth int) (deep int, err error) {
	if depth == eraseDepth {
		if err := at.Rmdir(parent, name); err == nil || err == syscall.ENOENT {
			return -1, nil
		} else if err != syscall.ENOTEMPTY {
			return -1, err
		}
	}
	for range erasePasses {
		fd, err := openAt(parent, name, asReader, 0)
		if err == syscall.EACCES { // not for root: a directory that was made unreadable
			fd, err = unlock(parent, name)
		}
		if err == syscall.ENOENT {
			return -1, nil
		}
		if err != nil {
			return -1, err
		}
		if depth == eraseDepth {
			return fd, nil
		}
		deep, err = e.contents(fd, depth)
		syscall.Close(fd)
		if err != nil || deep >= 0 {
			return deep, err
		}
		if err = at.Rmdir(parent, name); err == nil || err == syscall.ENOENT {
			return -1, nil
		}
		if err != syscall.ENOTEMPTY {
			return -1, err
		}
	}
	return -1, syscall.ENOTEMPTY
}

// contents empties a directory.
func (e *eraser) contents(fd int, depth int) (deep int, err error) {
	buffer := e.buffers[depth]
	if buffer == nil {
		buffer = make([]byte, bufferSize>>3)
		e.buffers[depth] = buffer
	}
	deep = -1
	err = readNames(fd, buffer, func(entry named) error {
		if err := e.root.step("erase"); err != nil {
			return err
		}
		if entry.kind != Directory {
			err := at.Unlink(fd, entry.name)
			if err == syscall.EACCES {
				if err = at.Fchmod(fd, 0o700); err == nil {
					err = at.Unlink(fd, entry.name)
				}
			}
			if err == nil || err == syscall.ENOENT {
				return nil
			}
			if err != syscall.EISDIR {
				return err
			}
		}
		inner, err := e.directory(fd, entry.name, depth+1)
		if inner >= 0 {
			deep, err = inner, errDeep
		}
		return err
	})
	if err == errDeep {
		err = nil
	}
	return deep, err
}

// unlock opens a directory of ours that is closed to us.
func unlock(parent int, name string) (int, error) {
	fd, err := openAt(parent, name, asPath, 0)
	if err != nil {
		return -1, err
	}
	defer syscall.Close(fd)
	if err := syscall.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700); err != nil {
		return -1, err
	}
	return openAt(fd, "", asReader, 0)
}

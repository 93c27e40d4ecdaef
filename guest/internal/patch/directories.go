package patch

import (
	"errors"
	"path"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// inParent does something in the directory that holds a path.
func (c *change) inParent(name string, do func(parent descriptor) error) error {
	parent, err := c.root.directory(path.Dir(name))
	if err != nil {
		return err
	}
	defer parent.close()
	return do(parent)
}

// makeRoom makes the directories that a new file needs, and removes one in its place, if no file is left in it.
func (c *change) makeRoom(files []*file, f *file) error {
	if kindOf(f.before.Mode) == directory {
		for _, gone := range files {
			if gone.status() == Deleted && strings.HasPrefix(gone.path, f.path+"/") {
				c.prune(gone.parent, f.path)
			}
		}
		if !c.removeDirectory(f.path) {
			return refused(f.path, "there is a directory at this path, and it is not empty")
		}
	}
	if err := c.makeDirectory(f.parent); err != nil {
		return failed(f.path, err)
	}
	return nil
}

// makeDirectory makes a directory and those above it, where there are none.
func (c *change) makeDirectory(name string) error {
	opened, err := c.root.directory(name)
	if err == nil {
		opened.close()
		return nil
	}
	if err != syscall.ENOENT {
		return err
	}
	if err := c.makeDirectory(path.Dir(name)); err != nil {
		return err
	}
	base := path.Base(name)
	err = c.inParent(name, func(parent descriptor) error { return parent.mkdir(base, 0o755) })
	if err != nil {
		return err
	}
	c.undo = append(c.undo, func() error {
		return c.inParent(name, func(parent descriptor) error { return parent.rmdir(base) })
	})
	return nil
}

// prune removes a directory and those above it up to a last one, which stays, as long as they are empty.
func (c *change) prune(name, last string) {
	for name != last && name != "." && c.removeDirectory(name) {
		name = path.Dir(name)
	}
}

// removeDirectory tells whether it could remove a directory.
func (c *change) removeDirectory(name string) bool {
	base := path.Base(name)
	var stat syscall.Stat_t
	err := c.inParent(name, func(parent descriptor) (err error) {
		if stat, err = parent.lstat(base); err != nil {
			return err
		}
		return parent.rmdir(base)
	})
	if err != nil {
		return false
	}
	c.undo = append(c.undo, func() error {
		return c.inParent(name, func(parent descriptor) error { return restoreDirectory(parent, base, &stat) })
	})
	return true
}

// restoreDirectory makes a directory again as it was.
func restoreDirectory(parent descriptor, name string, was *syscall.Stat_t) error {
	if err := parent.mkdir(name, 0o700); err != nil {
		return err
	}
	err := syscall.Fchownat(int(parent), name, int(was.Uid), int(was.Gid), at.NoFollow)
	if err == syscall.EPERM {
		err = nil
	}
	return errors.Join(err, syscall.Fchmodat(int(parent), name, was.Mode&0o7777, 0))
}

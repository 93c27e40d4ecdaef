package tree

import (
	"errors"
	"strconv"
	"syscall"

	"pyro.local/guest/internal/at"
)

// merge lays a staged tree over a directory, or takes it away again.
type merge struct {
	stage   *staging
	base    int
	changes []change

	directory       string // of the descriptors below
	present, staged int    // -1 if there are none
	aside           []int  // changes whose old entry lies beside the new one
}

func (s *staging) newMerge(base int, changes []change) *merge {
	return &merge{stage: s, base: base, changes: changes, present: -1, staged: -1}
}

func (m *merge) close() {
	for _, fd := range []int{m.present, m.staged} {
		if fd >= 0 {
			syscall.Close(fd)
		}
	}
	m.present, m.staged = -1, -1
}

// open opens the directory of a path on both sides. Changes in one directory follow each other.
func (m *merge) open(path string) (name string, err error) {
	directory, name := cut(path)
	if m.present >= 0 && directory == m.directory {
		return name, nil
	}
	m.close()
	if m.present, err = openAt(m.base, directory, asPath, 0); err != nil {
		return name, err
	}
	m.staged, err = openAt(m.stage.tree, directory, asPath, 0)
	m.directory = directory
	if err != nil {
		m.close()
	}
	return name, err
}

// run makes all changes.
func (m *merge) run() error {
	for i := range m.changes {
		c := &m.changes[i]
		err := m.stage.root.step("change")
		if err == nil {
			err = m.do(i, c)
		}
		if errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOENT) {
			err = refuse(FileChanged, c.path, "was changed while the push was made ready")
		}
		if err != nil {
			return failed("change", c.path, err)
		}
	}
	return nil
}

func (m *merge) do(i int, c *change) error {
	if c.action == marking {
		if !c.set {
			return nil
		}
		return m.mark(c.path, c.new)
	}
	name, err := m.open(c.path)
	if err != nil {
		return err
	}
	if c.action == placing {
		return move(m.staged, name, m.present, name)
	}
	if m.stage.root.displaces {
		return m.displace(i, name)
	}
	switch err := at.Rename(m.staged, name, m.present, name, at.RenameExchange); err {
	case syscall.EINVAL, syscall.EXDEV, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EACCES:
		return m.displace(i, name)
	default:
		return err
	}
}

// displace does with two moves what could not be exchanged. An overlay refuses to move a directory of its lower layer
// elsewhere when its path is long (the path is kept in an attribute of 256 bytes), but not within its directory.
func (m *merge) displace(i int, name string) error {
	err := move(m.present, name, m.stage.fd, asideName+strconv.Itoa(i))
	if err == syscall.EXDEV {
		m.aside = append(m.aside, i)
		err = at.Rename(m.present, name, m.present, m.beside(i), at.RenameNoReplace)
	}
	if err != nil {
		return err
	}
	if err := m.stage.root.step("displace"); err != nil {
		return err
	}
	return move(m.staged, name, m.present, name)
}

// move renames to where nothing is. A directory that its owner may not write in he may not move either, because it names
// its parent: that right is lent for a moment. Root needs none.
func move(fromFd int, from string, toFd int, to string) error {
	err := at.Rename(fromFd, from, toFd, to, at.RenameNoReplace)
	if err != syscall.EACCES {
		return err
	}
	var stat syscall.Stat_t
	if at.Lstat(fromFd, from, &stat) != nil || kindOf(stat.Mode) != Directory {
		return err
	}
	fd, failure := unlock(fromFd, from)
	if failure != nil {
		return err
	}
	defer syscall.Close(fd)
	err = at.Rename(fromFd, from, toFd, to, at.RenameNoReplace)
	if failure := at.Fchmod(fd, stat.Mode&0o7777); err == nil {
		err = failure
	}
	return err
}

// beside is the name that an old entry has for a moment next to the new one.
func (m *merge) beside(i int) string { return StagingPrefix + m.stage.id + "-" + strconv.Itoa(i) }

func (m *merge) mark(path string, to mark) error {
	fd, err := openAt(m.base, path, asReader, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var now syscall.Stat_t
	if err := at.Fstat(fd, &now); err != nil {
		return err
	}
	if now.Mode&0o7777 != to.mode {
		if err := at.Fchmod(fd, to.mode); err != nil {
			return err
		}
	}
	if now.Mtim != to.mtime {
		return setOpenTime(fd, to.mtime)
	}
	return nil
}

// undo puts everything back, whichever of the changes were made: it may itself be broken off and begun again. What it
// finds neither as it was nor as it was to be has been changed by others and is left to them.
func (m *merge) undo() error {
	var failures []error
	for i := len(m.changes) - 1; i >= 0; i-- {
		if c := &m.changes[i]; c.action != marking {
			failures = append(failures, m.stage.root.step("undo"), m.undoMove(i, c))
		}
	}
	for i := range m.changes { // the moves have touched the directories
		if c := &m.changes[i]; c.action == marking {
			if err := m.mark(c.path, c.old); !gone(err) {
				failures = append(failures, err)
			}
		}
	}
	return errors.Join(failures...)
}

func (m *merge) undoMove(i int, c *change) error {
	name, err := m.open(c.path)
	if gone(err) {
		return nil
	} else if err != nil {
		return err
	}
	if inodeOf(m.present, name) == c.inode {
		if inodeOf(m.staged, name) != 0 {
			return at.Rename(m.staged, name, m.present, name, at.RenameExchange)
		}
		if err := move(m.present, name, m.staged, name); err != nil {
			return err
		}
	}
	if c.action == placing || inodeOf(m.present, name) != 0 {
		return nil
	}
	if err := m.stage.root.step("return"); err != nil {
		return err
	}
	err = move(m.stage.fd, asideName+strconv.Itoa(i), m.present, name)
	if err == syscall.ENOENT {
		err = at.Rename(m.present, m.beside(i), m.present, name, at.RenameNoReplace)
	}
	if err == syscall.ENOENT {
		return nil
	}
	return err
}

// inodeOf is 0 where there is nothing.
func inodeOf(directory int, name string) uint64 {
	var stat syscall.Stat_t
	if at.Lstat(directory, name, &stat) != nil {
		return 0
	}
	return stat.Ino
}

// tidy removes old entries that lie beside new ones.
func (m *merge) tidy(aside []int) {
	for _, i := range aside {
		if _, err := m.open(m.changes[i].path); err == nil {
			_ = m.stage.root.erase(m.present, m.beside(i))
		}
	}
}

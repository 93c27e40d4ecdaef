package tree

import (
	"errors"
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// Recover cleans up after a machine that died: pushes that had begun to change the tree are undone, those that were
// through are kept, and what was staged is removed. It returns how many stagings there were. It must be called before
// anything else is done with the tree, and can itself be broken off and called again.
func (r *Root) Recover() (found int, err error) {
	fd, err := openAt(r.fd, "", asReader, 0)
	if err != nil {
		return 0, failed("open", "", err)
	}
	defer syscall.Close(fd)
	var names []string
	err = readNames(fd, make([]byte, bufferSize), func(entry named) error {
		if strings.HasPrefix(entry.name, StagingPrefix) {
			names = append(names, entry.name)
		}
		return nil
	})
	if err != nil {
		return 0, failed("read", "", err)
	}
	if _, err := r.enterTop(); err != nil {
		return 0, err
	}
	defer r.leaveTop()
	var failures []error
	for _, name := range names {
		if err := r.recoverStaging(name); err != nil {
			failures = append(failures, failed("recover", name, err))
		}
	}
	return len(names), errors.Join(failures...)
}

// recoverStaging deals with one staging directory, or with what Write did not put in its place.
func (r *Root) recoverStaging(name string) error {
	mtime, id, done := parseStaging(name)
	s := &staging{root: r, id: id, name: name, fd: -1, tree: -1}
	defer s.close()
	var err error
	if s.fd, err = openAt(r.fd, name, asReader, 0); err != nil && !gone(err) {
		return err
	}
	if err == nil {
		if err := s.settle(done); err != nil {
			return err
		}
	}
	if when, ok := parseTime(mtime); ok {
		r.changeTop(&when)
	}
	return s.erase()
}

// settle undoes the changes of a push that was not through, and tidies up after one that was.
func (s *staging) settle(done bool) error {
	var stat syscall.Stat_t
	if err := at.Fstat(s.fd, &stat); err != nil {
		return err
	}
	if int(stat.Uid) != syscall.Geteuid() || stat.Mode&0o077 != 0 {
		return nil // the journal of someone else is not obeyed
	}
	path, changes, err := s.readJournal()
	if err == errJournal {
		return nil // nothing to go by
	}
	if err != nil || len(changes) == 0 {
		return err
	}
	base, err := openAt(s.root.fd, path, asReader, 0)
	if gone(err) {
		return nil // it was removed after the push had begun
	} else if err != nil {
		return err
	}
	defer syscall.Close(base)
	if s.tree, err = openAt(s.fd, treeName, asReader, 0); gone(err) {
		return nil
	} else if err != nil {
		return err
	}
	m := s.newMerge(base, changes)
	defer m.close()
	if !done {
		return m.undo()
	}
	all := make([]int, len(changes))
	for i := range all {
		all[i] = i
	}
	m.tidy(all)
	return nil
}

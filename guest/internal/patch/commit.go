package patch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"syscall"

	"pyro.local/guest/internal/at"
)

// change is a commit under way: what has been done to the tree, and how to undo it.
type change struct {
	root    descriptor
	staging descriptor
	name    string // of the staging directory
	undo    []func() error
}

// commit makes the tree what the plan says of these files, or leaves it as it is.
func commit(ctx context.Context, root descriptor, files []*file) (err error) {
	c := &change{root: root}
	if err := c.open(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if undone := c.rollBack(); undone != nil {
				err = errors.Join(err, undone) // what could not be put back stays in the staging directory
				c.staging.close()
				return
			}
		}
		c.discard(len(files))
	}()
	for i, f := range files {
		if err := errors.Join(ctx.Err(), c.stage(i, f)); err != nil {
			return err
		}
	}
	if err := c.takeAway(files); err != nil {
		return err
	}
	if err := c.putInPlace(files); err != nil {
		return err
	}
	for _, f := range files {
		if f.status() == Deleted {
			c.prune(f.parent, ".") // as git does; what is not empty stays
		}
	}
	return nil
}

// open makes the staging directory.
func (c *change) open() error {
	var random [8]byte
	rand.Read(random[:]) // never fails
	c.name = StagingPrefix + "patch-" + hex.EncodeToString(random[:])
	err := c.root.mkdir(c.name, 0o700)
	if err == nil {
		c.staging, err = c.root.directory(c.name)
	}
	if err != nil {
		return failed(c.name, err)
	}
	return nil
}

// discard removes the staging directory, with what is left of as many files.
func (c *change) discard(files int) {
	for i := range files {
		_ = c.staging.unlink(staged(i))
	}
	c.staging.close()
	_ = c.root.rmdir(c.name)
}

// staged is where the new state of a file waits, and where its old one is kept.
func staged(i int) string { return strconv.Itoa(i) }

func (c *change) rollBack() error {
	var failures []error
	for _, step := range slices.Backward(c.undo) {
		failures = append(failures, step())
	}
	return errors.Join(failures...)
}

// stage writes the new state of a file to the staging directory.
func (c *change) stage(i int, f *file) (err error) {
	switch f.now.kind {
	case symlink:
		err = c.staging.symlink(string(f.now.content), staged(i))
	case regular:
		err = c.write(staged(i), &f.now)
	}
	if err != nil {
		return failed(f.path, err)
	}
	return nil
}

func (c *change) write(name string, s *state) error {
	file, err := c.staging.file(name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(s.content)
	fd := int(file.Fd())
	if err == nil && s.owner != nil {
		// Whoever may not give files away is their owner already, but for the group.
		if err = syscall.Fchown(fd, s.owner.uid, s.owner.gid); err == syscall.EPERM {
			err = nil
		}
	}
	if err == nil {
		err = at.Fchmod(fd, s.mode) // after the owner, which takes setuid away
	}
	return errors.Join(err, file.Close())
}

// takeAway moves the files that are to be gone out of the tree: first of all, so that others can take their places.
func (c *change) takeAway(files []*file) error {
	for i, f := range files {
		if f.status() != Deleted {
			continue
		}
		if err := c.step(f, c.mover(i, f, out), c.mover(i, f, in)); err != nil {
			return err
		}
		if err := c.unchanged(i, f); err != nil {
			return err
		}
	}
	return nil
}

// putInPlace moves new and changed files into the tree. A changed file is exchanged with what was there in one step.
func (c *change) putInPlace(files []*file) error {
	for i, f := range files {
		var err error
		switch f.status() {
		case Modified:
			if err = c.step(f, c.mover(i, f, exchange), c.mover(i, f, exchange)); err == nil {
				err = c.unchanged(i, f)
			}
		case Added:
			if err = c.makeRoom(files, f); err == nil {
				err = c.step(f, c.mover(i, f, in), c.mover(i, f, out))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// way is how a file moves between the tree and the staging directory.
type way int

const (
	out way = iota
	in
	exchange
)

// mover returns what moves a file, given its directory in the tree.
func (c *change) mover(i int, f *file, to way) func(parent descriptor) error {
	return func(parent descriptor) error {
		switch to {
		case out:
			return parent.renameTo(f.name, c.staging, staged(i), at.RenameNoReplace)
		case in:
			return c.staging.renameTo(staged(i), parent, f.name, at.RenameNoReplace)
		}
		return c.staging.renameTo(staged(i), parent, f.name, at.RenameExchange)
	}
}

// step moves something from or to the directory of a file, and notes how to undo it.
func (c *change) step(f *file, do, undo func(parent descriptor) error) error {
	if err := c.inParent(f.path, do); err != nil {
		return failed(f.path, err)
	}
	c.undo = append(c.undo, func() error { return c.inParent(f.path, undo) })
	return nil
}

// unchanged tells whether what was taken out of the tree is what the plan was made from.
func (c *change) unchanged(i int, f *file) error {
	stat, err := c.staging.lstat(staged(i))
	if err != nil {
		return failed(f.path, err)
	}
	if stat.Mode != f.before.Mode || stat.Size != f.before.Size || stat.Mtim != f.before.Mtim {
		return failed(f.path, errChanged)
	}
	return nil
}

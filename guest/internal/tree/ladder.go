package tree

import (
	"syscall"

	"pyro.local/guest/internal/at"
)

// ladder holds the directories on the way to the last member of an archive open: the next one mostly lies in the same.
// When it leaves a directory it gives that its time again, which what was made in it has moved.
type ladder struct {
	base  int // not the ladder's own; its time is not looked after
	rungs []rung
}

type rung struct {
	name  string
	fd    int
	mtime syscall.Timespec
	dirty bool // something was made in it
}

func (l *ladder) fd() int {
	if n := len(l.rungs); n > 0 {
		return l.rungs[n-1].fd
	}
	return l.base
}

// common tells how many of the names lie on the ladder.
func (l *ladder) common(names []string) int {
	for i, r := range l.rungs {
		if i == len(names) || names[i] != r.name {
			return i
		}
	}
	return len(l.rungs)
}

// climb enters a directory.
func (l *ladder) climb(name string) error {
	fd, err := openAt(l.fd(), name, asReader, 0)
	if err != nil {
		return err
	}
	var stat syscall.Stat_t
	if err := at.Fstat(fd, &stat); err != nil {
		syscall.Close(fd)
		return err
	}
	l.rungs = append(l.rungs, rung{name: name, fd: fd, mtime: stat.Mtim})
	return nil
}

// touched notes that something is made in the last directory.
func (l *ladder) touched() {
	if n := len(l.rungs); n > 0 {
		l.rungs[n-1].dirty = true
	}
}

// descend leaves all directories but so many.
func (l *ladder) descend(depth int) (err error) {
	for len(l.rungs) > depth {
		last := &l.rungs[len(l.rungs)-1]
		if last.dirty && err == nil {
			err = setOpenTime(last.fd, last.mtime)
		}
		syscall.Close(last.fd)
		l.rungs = l.rungs[:len(l.rungs)-1]
	}
	return err
}

func (l *ladder) close() { _ = l.descend(0) }

package tree

import (
	"strings"
	"syscall"

	"pyro.local/guest/internal/at"
)

// action is what a change does.
type action byte

const (
	placing  action = 'p' // moves a staged entry to where nothing is
	swapping action = 's' // exchanges it with the entry that is there
	marking  action = 'm' // gives a directory that stays mode and time of the staged one, if that was a member
)

// change is one step of laying a staged tree over a directory. It says how to tell whether it was done, and what was
// there before, so that any number of them can be undone from any state that a dying machine leaves.
type change struct {
	action action
	path   string // below the directory that the staged tree is laid over; the same below the staged tree
	inode  uint64 // placing, swapping: of the staged entry
	old    mark   // marking: as it was
	new    mark   // marking: as it shall be, if
	set    bool
}

// mark is what may change of a directory that stays.
type mark struct {
	mode  uint32
	mtime syscall.Timespec
}

// planner compares a staged tree with what it is to be laid over, and changes nothing.
type planner struct {
	implied map[string]bool
	buffer  []byte
	changes []change
}

// planMerge returns the changes in the order in which they are to be made: those in a directory before the directory's
// own mark, which they would move.
func (s *staging) planMerge(base int, implied map[string]bool) ([]change, error) {
	p := &planner{implied: implied, buffer: make([]byte, bufferSize)}
	tree, err := openAt(s.tree, "", asReader, 0) // for the position in it
	if err != nil {
		return nil, failed("open", "", err)
	}
	defer syscall.Close(tree)
	return p.changes, p.directory(tree, base, "")
}

// directory plans for a directory that is there on both sides.
func (p *planner) directory(staged, present int, path string) error {
	var from, to syscall.Stat_t
	if err := at.Fstat(staged, &from); err != nil {
		return failed("stat", path, err)
	}
	if err := at.Fstat(present, &to); err != nil {
		return failed("stat", path, err)
	}
	before := len(p.changes)
	var both []string
	err := readNames(staged, p.buffer, func(entry named) error {
		shared, err := p.entry(staged, present, path, entry)
		if shared {
			both = append(both, entry.name)
		}
		return err
	})
	if err != nil {
		return failed("read", path, err)
	}
	for _, name := range both {
		if err := p.enter(staged, present, path, name); err != nil {
			return err
		}
	}
	set := !p.implied[path]
	if set || len(p.changes) > before {
		p.changes = append(p.changes, change{
			action: marking,
			path:   path,
			old:    mark{to.Mode & 0o7777, to.Mtim},
			new:    mark{from.Mode & 0o7777, from.Mtim},
			set:    set,
		})
	}
	return nil
}

// entry plans for one staged entry. It tells if that is a directory on both sides.
func (p *planner) entry(staged, present int, path string, entry named) (shared bool, err error) {
	var from, to syscall.Stat_t
	if err := at.Lstat(staged, entry.name, &from); err != nil {
		return false, err
	}
	c := change{action: placing, path: join(path, entry.name), inode: from.Ino}
	switch err := at.Lstat(present, entry.name, &to); {
	case err == syscall.ENOENT:
	case err != nil:
		return false, err
	case kindOf(from.Mode) == Directory && kindOf(to.Mode) == Directory:
		return true, nil
	default:
		c.action = swapping
	}
	p.changes = append(p.changes, c)
	return false, nil
}

func (p *planner) enter(staged, present int, path, name string) error {
	path = join(path, name)
	from, err := openAt(staged, name, asReader, 0)
	if err != nil {
		return failed("open", path, err)
	}
	defer syscall.Close(from)
	to, err := openAt(present, name, asReader, 0)
	if err != nil {
		return failed("open", path, err)
	}
	defer syscall.Close(to)
	return p.directory(from, to, path)
}

// atTop tells whether the changes are seen in the time of the directory that the staged tree is laid over.
func atTop(changes []change) bool {
	for _, c := range changes {
		if c.action != marking && !strings.Contains(c.path, "/") {
			return true
		}
	}
	return false
}

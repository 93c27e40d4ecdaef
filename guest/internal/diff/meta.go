package diff

import (
	"bytes"
	"context"
	"errors"
	"syscall"

	"pyro.local/guest/internal/at"
)

// meta is what lstat tells about a path; the zero value stands for a path at which there is nothing.
type meta struct {
	mode  uint32
	links uint64
	size  int64
	rdev  uint64
}

func newMeta(stat *syscall.Stat_t) meta {
	return meta{mode: stat.Mode, links: uint64(stat.Nlink), size: stat.Size, rdev: stat.Rdev}
}

const permissions = 0o7777

func (m meta) exists() bool      { return m.mode != 0 }
func (m meta) isDirectory() bool { return m.mode&syscall.S_IFMT == syscall.S_IFDIR }
func (m meta) isFile() bool      { return m.mode&syscall.S_IFMT == syscall.S_IFREG }
func (m meta) isSymlink() bool   { return m.mode&syscall.S_IFMT == syscall.S_IFLNK }

func (m meta) kind() Type {
	switch {
	case m.isDirectory():
		return Directory
	case m.isFile():
		return File
	case m.isSymlink():
		return Symlink
	}
	return Other
}

// pair is one name in both trees.
type pair struct {
	lower, merged meta
	rewritten     bool // files: the contents differ
}

// status says what has become of the lower entry; "" if nothing has. Of links and files with the same size it takes
// rewritten to be known.
func (p pair) status() Status {
	lower, merged := p.lower, p.merged
	switch {
	case !lower.exists() && !merged.exists():
		return ""
	case !lower.exists():
		return Added
	case !merged.exists():
		return Deleted
	case lower.kind() != merged.kind():
		return TypeChanged
	case p.rewritten:
		return Modified
	case lower.kind() == Symlink: // has no permissions of its own
		return ""
	case lower.kind() == Other && (lower.mode != merged.mode || lower.rdev != merged.rdev):
		return Modified
	case lower.mode&permissions != merged.mode&permissions:
		return Modified
	}
	return ""
}

// comparer compares contents, in memory that it has once.
type comparer struct {
	lower, merged [64 << 10]byte
}

// compare looks at the content of one name in two directories, as far as its status depends on it. A side that has
// vanished since, or become something else, is absent from then on.
func (c *comparer) compare(ctx context.Context, lower, merged descriptor, name string, p *pair) (err error) {
	switch {
	case p.lower.isSymlink() && p.merged.isSymlink():
		return p.compareTargets(lower, merged, name)
	case !p.lower.isFile() || !p.merged.isFile():
		return nil
	case p.lower.size != p.merged.size:
		p.rewritten = true
		return nil
	}
	left, err := lower.openFile(name)
	if err != nil {
		return err
	}
	defer left.close()
	right, err := merged.openFile(name)
	if errors.Is(err, syscall.EXDEV) {
		return nil // mounted over
	}
	if err != nil {
		return err
	}
	defer right.close()
	if left == absent || right == absent {
		p.forget(left == absent, right == absent)
		return nil
	}
	p.rewritten, err = c.differ(ctx, left, right)
	return err
}

func (p *pair) compareTargets(lower, merged descriptor, name string) error {
	left, err := lower.readlink(name)
	if err != nil {
		return err
	}
	right, err := merged.readlink(name)
	if err != nil {
		return err
	}
	p.forget(left == "", right == "")
	p.rewritten = left != right
	return nil
}

func (p *pair) forget(lower, merged bool) {
	if lower {
		p.lower = meta{}
	}
	if merged {
		p.merged = meta{}
	}
}

func (c *comparer) differ(ctx context.Context, left, right descriptor) (bool, error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := at.ReadFull(int(left), c.lower[:])
		if err != nil {
			return false, err
		}
		m, err := at.ReadFull(int(right), c.merged[:])
		if err != nil {
			return false, err
		}
		if !bytes.Equal(c.lower[:n], c.merged[:m]) {
			return true, nil
		}
		if n == 0 {
			return false, nil
		}
	}
}

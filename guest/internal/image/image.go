// Package image copies all that the machine's root shows, its mounts merged, onto one empty file system, which thereby
// becomes an image of the whole machine.
//
// Above it stands server; below it stands at. It works while no other process runs, on trees that others have made:
// names are bytes, links are copied and never followed, and every call takes the descriptor of a directory and one name.
// Sources are only read.
package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"pyro.local/guest/internal/at"
)

// Bounds of what is worked on.
const (
	maxNesting = 1000 // directories within each other; two descriptors each, and Linux gives the first process 4096
	maxSkipped = 100  // paths of left-out entries that are named
)

// Sizes of buffers. The last is what the kernel allows for a list of attributes, and for a value.
const (
	contentBuffer   = 1 << 20
	namesBuffer     = 256 << 10
	attributeBuffer = 64 << 10
)

// Result tells what a copy has made.
type Result struct {
	Entries      int      // every name, but not the directory that was copied itself
	Bytes        int64    // of the sizes of files, holes included; of a file with several names once
	Skipped      []string // paths of sockets, from "/" for the directory copied; names need not be UTF-8
	SkippedCount int      // Skipped holds the first 100 of these
}

// Copy makes the directory at to, which must be empty but for lost+found, like the one at from and what lies below it:
// kinds, contents with their holes, owners, modes, times in nanoseconds, extended attributes (but not those an overlay
// keeps for itself, trusted.overlay.*) and which names belong to one file. Sockets are left out.
//
// What is mounted below from is copied as if it were not mounted, but of the kernel's own file systems, those in
// memory, and that of the destination only the mount point is made, an empty directory (or file) with the owner, mode
// and times that show. This does not hold for from itself, which may be in memory.
//
// The paths may be like /proc/self/fd/N. Errors name the path, quoted, and wrap that of the system call: a full
// destination is syscall.ENOSPC. What was made until then stays. Nothing is synced: an error of the disk may come later.
func Copy(ctx context.Context, from, to string) (result Result, err error) {
	d, err := openBoth(from, to)
	if err != nil {
		return result, err
	}
	defer d.close()
	c := &copier{
		ctx:      ctx,
		result:   &result,
		top:      d.to,
		uid:      uint32(os.Geteuid()),
		gid:      uint32(os.Getegid()),
		content:  make([]byte, contentBuffer),
		names:    make([]byte, namesBuffer),
		list:     make([]byte, attributeBuffer),
		value:    make([]byte, attributeBuffer),
		noAtime:  noAtime(),
		original: map[identity]original{},
	}
	return result, c.run(d)
}

// noAtime is the flag with which reading leaves no trace, where it is permitted for whatever there is.
func noAtime() int {
	if os.Geteuid() == 0 {
		return syscall.O_NOATIME
	}
	return 0
}

// openBoth opens the tops of a copy. Unlike anything below, these paths are the caller's and links in them are followed.
func openBoth(from, to string) (d pair, err error) {
	const flags = syscall.O_RDONLY | syscall.O_DIRECTORY | syscall.O_CLOEXEC
	if d.from, err = at.Retry(func() (int, error) { return syscall.Open(from, flags|noAtime(), 0) }); err != nil {
		return d, fmt.Errorf("open %q: %w", from, err)
	}
	if d.to, err = at.Retry(func() (int, error) { return syscall.Open(to, flags, 0) }); err != nil {
		syscall.Close(d.from)
		return d, fmt.Errorf("open %q: %w", to, err)
	}
	return d, nil
}

// identity is the same for all names of a file.
type identity struct{ device, inode uint64 }

func identify(stat *syscall.Stat_t) identity { return identity{stat.Dev, stat.Ino} }

// pair is a directory that is copied and the one it is copied to.
type pair struct {
	from, to int
	device   uint64 // that from lies on
	at       *place
	depth    int
}

func (d *pair) close() {
	syscall.Close(d.from)
	syscall.Close(d.to)
}

type copier struct {
	ctx      context.Context
	result   *Result
	top      int      // the destination
	to       identity // of it
	uid, gid uint32   // of all that is newly made
	noAtime  int
	original map[identity]original // what has several names

	content, names, list, value []byte
}

// run copies the top and all below. Until a directory is finished it is its maker's alone, so that nothing in it takes
// over a group.
func (c *copier) run(d pair) error {
	var from, to syscall.Stat_t
	if err := errors.Join(at.Fstat(d.from, &from), at.Fstat(d.to, &to)); err != nil {
		return failed("stat", nil, err)
	}
	if c.to = identify(&to); c.to == identify(&from) {
		return failed("copy", nil, errors.New("the destination is the source"))
	}
	if err := errors.Join(c.own(d.to, &to), syscall.Fchmod(d.to, 0o700)); err != nil {
		return failed("prepare", nil, err)
	}
	d.device = from.Dev
	if err := c.below(d); err != nil {
		return err
	}
	return c.finish(d.from, d.to, &from, nil)
}

// own makes the destination's top belong to who copies.
func (c *copier) own(fd int, stat *syscall.Stat_t) error {
	if stat.Uid == c.uid && stat.Gid == c.gid {
		return nil
	}
	return syscall.Fchown(fd, int(c.uid), int(c.gid))
}

// skip notes an entry that is left out.
func (c *copier) skip(at *place) {
	if c.result.SkippedCount++; len(c.result.Skipped) < maxSkipped {
		c.result.Skipped = append(c.result.Skipped, at.path())
	}
}

// failed makes an error about a place.
func failed(call string, at *place, err error) error {
	return fmt.Errorf("%s %q: %w", call, at.path(), err)
}

// Package diff tells how a workspace differs from its baseline: the lower tree of an overlay mount against its merged
// tree, with unified diffs as git apply takes them.
//
// The upper layer of the overlay is read for one purpose: to know where to look. What an entry is, and whether it has
// changed, is always said by the lower and the merged tree, so whiteouts need no interpretation and a file that was
// copied up but not changed is no entry. Nothing but these places can differ:
//
//   - a name that stands in the upper layer, whiteouts included;
//   - everything beneath a name that is not a directory in all three trees;
//   - everything beneath a directory of the upper layer that is not merged with the lower one of the same name, being
//     opaque or redirected (renamed);
//   - a lower file with several names: with index=on a change made through one of them shows under all.
//
// The lower tree must be a plain one, without marks of an overlay (whiteouts, trusted.overlay.* attributes) of its own.
// The roots themselves are not compared. What is mounted on top of the merged tree is not part of it.
//
// Trees may change while they are read. A path that vanishes counts as absent, and an entry is what one moment showed.
//
// Above it stands server; below it stands at.
package diff

import (
	"context"
	"errors"
)

// Status says what has become of a path.
type Status string

// An entry whose type stayed the same is modified if its content, link target or permission bits (07777) changed.
const (
	Added       Status = "added"
	Deleted     Status = "deleted"
	Modified    Status = "modified"
	TypeChanged Status = "type_changed"
)

// Type is what stands at a path. Sockets, FIFOs and devices are other.
type Type string

const (
	File      Type = "file"
	Directory Type = "directory"
	Symlink   Type = "symlink"
	Other     Type = "other"
)

// Entry is one difference.
type Entry struct {
	Path   string // relative, raw bytes
	Status Status
	Type   Type    // of what is there now; of a deleted entry, what was
	Patch  *string // nil without Options.Patches, and where git has no words for the change or refuses the path
	Binary bool    // there is no patch because a content is no text: longer than 1 MiB, or with NUL, or not UTF-8
	Cut    bool    // Options.MaxPatchBytes left no room: whether there is a patch was not looked at
}

// Roots are directories: those of an overlay mount and of two of its layers.
type Roots struct {
	Lower, Upper, Merged string
	// LowerHardLinks is what HardLinks returned for Lower. A lower tree never changes: it need be asked only once.
	LowerHardLinks []string
}

// Options of a comparison.
type Options struct {
	Patches bool // or neither Patch nor Binary is ever set
	// Skip tells which names at the top of the trees to leave out; nil for none.
	Skip func(name string) bool
	// MaxEntries is how many entries there may be before ErrTooManyEntries; 0 for DefaultMaxEntries.
	MaxEntries int
	// MaxPatchBytes bounds all patches together; 0 for DefaultMaxPatchBytes. The first patch that does not fit is left
	// out, and no content is looked at any more: from there on entries are Cut, but for those without any content.
	MaxPatchBytes int
}

// Bounds where Options name none.
const (
	DefaultMaxEntries    = 1_000_000
	DefaultMaxPatchBytes = 64 << 20
)

// ErrTooManyEntries ends a comparison that finds more entries than allowed, or a directory with too many names.
var ErrTooManyEntries = errors.New("too many entries to compare")

// ErrPathTooLong ends a comparison that would have to open a directory whose path the kernel does not take.
var ErrPathTooLong = errors.New("a path is too long")

// Compare calls emit for every difference, sorted by the bytes of the path (so a directory comes before what is in it),
// and returns how many there were. An error of emit ends it.
func Compare(ctx context.Context, roots Roots, options Options, emit func(Entry) error) (int, error) {
	c, err := newComparison(ctx, roots, options, emit)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if c.upper, err = openTree(roots.Upper); err != nil {
		return 0, err
	}
	err = c.directory("", true)
	return c.count, err
}

// CompareFull does the same without an upper layer, by reading both trees in full.
func CompareFull(ctx context.Context, roots Roots, options Options, emit func(Entry) error) (int, error) {
	c, err := newComparison(ctx, roots, options, emit)
	if err != nil {
		return 0, err
	}
	defer c.close()
	err = c.directory("", false)
	return c.count, err
}

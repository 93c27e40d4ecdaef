// Package patch reads unified diffs, as git and diff -u write them, and applies them to the tree beneath a directory: all
// of a patch or nothing.
//
// What a patch makes of each file is worked out in memory first. Then the new contents are written to a directory of
// their own at the top of the tree (StagingPrefix), and from there put into place by renames, each of which is undone
// should a later one fail. Paths may lead through symbolic links that stay beneath the directory; a link in the place of
// a file is never followed.
//
// Hunks must match to the letter. One that is not found at its line is looked for elsewhere, the nearest place first.
// A section for a file that an earlier one has changed starts from that; as git does it, a copy starts from what the
// file was before the patch.
//
// Above it stands server; below it stands at.
package patch

import "fmt"

// Bounds. What exceeds them is refused before memory is taken for it.
const (
	MaxText    = 4 << 20  // bytes of a patch
	MaxFiles   = 10_000   // sections
	MaxFile    = 16 << 20 // bytes of a file, before and after
	MaxContent = 64 << 20 // bytes of all files together that a patch leaves
)

// StagingPrefix begins the names, at the top of the tree, that no patch may touch: what is on its way into the tree.
const StagingPrefix = ".pyro-staging-"

// Patch is a patch that has been read.
type Patch struct {
	sections []section
	crlf     bool // every line ended in CR LF: perhaps the text was converted on its way, perhaps the files are so
}

// Files is how many sections the patch has, at least one.
func (p *Patch) Files() int { return len(p.sections) }

// ParseError says why a text is no patch that can be applied.
type ParseError struct {
	Line   int // from 1; 0 if it is about the whole text
	Reason string
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

func failAt(line int, format string, arguments ...any) error {
	return &ParseError{line, fmt.Sprintf(format, arguments...)}
}

// action is what a section does.
type action int

const (
	modify action = iota
	create
	remove
	rename
	duplicate
)

// section is what a patch says about one file.
type section struct {
	line     int // of its header, from 1
	action   action
	old, new string // paths; equal but for rename and duplicate
	oldMode  uint32 // as git writes modes, 0 if not said
	newMode  uint32
	// unsure is set for a diff without git's header whose hunk starts from an empty text: it creates the file if there is
	// none.
	unsure bool
	hunks  []hunk
}

// target is the path that the section leaves its work at.
func (s *section) target() string {
	if s.action == remove {
		return s.old
	}
	return s.new
}

// Types in git's modes.
const (
	typeMask    = 0o170000
	typeFile    = 0o100000
	typeSymlink = 0o120000
)

// isLink tells whether the section is about a symbolic link, whose content is its target.
func (s *section) isLink() bool {
	return s.oldMode&typeMask == typeSymlink || s.newMode&typeMask == typeSymlink
}

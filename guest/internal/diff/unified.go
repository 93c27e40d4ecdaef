package diff

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
)

// gitFileMode is what git knows of a file's type and permissions.
type gitFileMode uint32

const (
	nothing    gitFileMode = 0
	regular    gitFileMode = 0o100644
	executable gitFileMode = 0o100755
	link       gitFileMode = 0o120000
)

// side is one of the two states of a path. The content of a link is its target.
type side struct {
	mode    gitFileMode
	content []byte
}

func (s side) isFile() bool { return s.mode == regular || s.mode == executable }

// patchText returns what turns old into new, as git diff --full-index writes it. It is "" if git sees no change.
func patchText(path string, old, new side) string {
	if old.mode != nothing && new.mode != nothing && old.isFile() != new.isFile() {
		return patchText(path, old, side{}) + patchText(path, side{}, new)
	}
	var text strings.Builder
	oldName, newName := quote("a/"+path), quote("b/"+path)
	rewritten := string(old.content) != string(new.content)
	switch {
	case old.mode == new.mode && !rewritten:
		return ""
	case old.mode == nothing:
		fmt.Fprintf(&text, "diff --git %s %s\nnew file mode %o\n", oldName, newName, new.mode)
	case new.mode == nothing:
		fmt.Fprintf(&text, "diff --git %s %s\ndeleted file mode %o\n", oldName, newName, old.mode)
	default:
		fmt.Fprintf(&text, "diff --git %s %s\n", oldName, newName)
		if old.mode != new.mode {
			fmt.Fprintf(&text, "old mode %o\nnew mode %o\n", old.mode, new.mode)
		}
	}
	if rewritten || old.mode == nothing || new.mode == nothing {
		fmt.Fprintf(&text, "index %s..%s", old.blob(), new.blob())
		if old.mode == new.mode {
			fmt.Fprintf(&text, " %o", new.mode)
		}
		text.WriteByte('\n')
	}
	if rewritten {
		fmt.Fprintf(&text, "--- %s\n+++ %s\n", old.label(oldName), new.label(newName))
		writeHunks(&text, old.content, new.content)
	}
	return text.String()
}

// label is how a side is called in the lines before the hunks. A tab ends a name with spaces, as git does it, because
// other programs would look for a date behind the first of them.
func (s side) label(name string) string {
	switch {
	case s.mode == nothing:
		return "/dev/null"
	case strings.Contains(name, " "):
		return name + "\t"
	}
	return name
}

// blob is the name of the content in a git repository.
func (s side) blob() string {
	if s.mode == nothing {
		return strings.Repeat("0", 2*sha1.Size)
	}
	hash := sha1.New()
	fmt.Fprintf(hash, "blob %d\x00", len(s.content))
	hash.Write(s.content)
	return hex.EncodeToString(hash.Sum(nil))
}

// quote writes a name as git does with core.quotePath on: as it is, or in double quotes with escapes as in C.
func quote(name string) string {
	var quoted strings.Builder
	for _, b := range []byte(name) {
		if at := strings.IndexByte("\a\b\t\n\v\f\r\"\\", b); at >= 0 {
			quoted.WriteByte('\\')
			quoted.WriteByte(`abtnvfr"\`[at])
		} else if b < ' ' || b > '~' {
			fmt.Fprintf(&quoted, "\\%03o", b)
		} else {
			quoted.WriteByte(b)
		}
	}
	if quoted.Len() == len(name) {
		return name
	}
	return `"` + quoted.String() + `"`
}

// isRefused tells whether git would refuse a patch, and all that comes with it, because of this path: one in a
// repository's own directory, also by the names that it has on Windows (verify_path in git's read-cache.c).
func isRefused(path string, isLink bool) bool {
	names := strings.Split(strings.ToLower(path), "/")
	for _, name := range names {
		rest, found := strings.CutPrefix(name, ".git")
		if !found {
			rest, found = strings.CutPrefix(name, "git~1")
		}
		rest = strings.TrimLeft(rest, ". ")
		if found && (rest == "" || rest[0] == ':' || rest[0] == '\\') {
			return true
		}
	}
	return isLink && names[len(names)-1] == ".gitmodules"
}

package diff

import (
	"bytes"
	"errors"
	"path"
	"syscall"
	"unicode/utf8"

	"pyro.local/guest/internal/at"
)

// maxText is how many bytes a text may have; longer ones count as binary.
const maxText = 1 << 20

var (
	errNoText   = errors.New("no text")
	errVanished = errors.New("no longer what it was")
)

// report emits the entry for one path.
func (c *comparison) report(path string, p pair) error {
	if c.count >= c.options.MaxEntries {
		return ErrTooManyEntries
	}
	c.count++
	entry := Entry{Path: path, Status: p.status(), Type: p.merged.kind()}
	if entry.Status == Deleted {
		entry.Type = p.lower.kind()
	}
	switch {
	case !c.options.Patches || gitMode(p.lower) == nothing && gitMode(p.merged) == nothing:
	case c.patchRoom == 0:
		entry.Cut = true
	default:
		if err := c.describe(&entry, p); err != nil {
			return err
		}
	}
	return c.emit(entry)
}

// describe sets Patch or Binary of an entry.
func (c *comparison) describe(entry *Entry, p pair) error {
	text, err := c.patch(entry.Path, p)
	switch {
	case err == errNoText:
		entry.Binary = true
	case err == errVanished || errors.Is(err, syscall.EXDEV):
		return nil
	case err != nil:
		return err
	case len(text) > c.patchRoom:
		c.patchRoom = 0
		entry.Cut = true
	case text != "":
		c.patchRoom -= len(text)
		entry.Patch = &text
	}
	return nil
}

// patch returns the unified diff of one path, "" where git has no words for the change. Directories, sockets and the
// like are nothing to it.
func (c *comparison) patch(path string, p pair) (string, error) {
	old, new := side{mode: gitMode(p.lower)}, side{mode: gitMode(p.merged)}
	if isRefused(path, old.mode == link || new.mode == link) {
		return "", nil
	}
	if old.isFile() && new.isFile() && !p.rewritten {
		return patchText(path, old, new), nil
	}
	if err := old.read(c.lower, path); err != nil {
		return "", err
	}
	if err := new.read(c.merged, path); err != nil {
		return "", err
	}
	return patchText(path, old, new), nil
}

func gitMode(m meta) gitFileMode {
	switch {
	case m.isSymlink():
		return link
	case m.isFile() && m.mode&syscall.S_IXUSR != 0:
		return executable
	case m.isFile():
		return regular
	}
	return nothing
}

// read sets the content of a side of which the mode is known: errNoText if it is none, errVanished if it is of another
// type by now.
func (s *side) read(tree descriptor, name string) error {
	if s.mode == nothing {
		return nil
	}
	above, name := path.Split(name)
	directory, err := tree.openBeneath(path.Clean(above), syscall.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer directory.close()
	if directory == absent {
		return errVanished
	}
	if s.mode == link {
		err = s.readTarget(directory, name)
	} else {
		err = s.readFile(directory, name)
	}
	if err == nil && (len(s.content) > maxText || bytes.IndexByte(s.content, 0) >= 0 || !utf8.Valid(s.content)) {
		return errNoText
	}
	return err
}

func (s *side) readTarget(directory descriptor, name string) error {
	target, err := directory.readlink(name)
	if err == nil && target == "" {
		return errVanished
	}
	s.content = []byte(target)
	return err
}

func (s *side) readFile(directory descriptor, name string) error {
	file, err := directory.openFile(name)
	if err != nil {
		return err
	}
	defer file.close()
	if file == absent {
		return errVanished
	}
	var stat syscall.Stat_t
	if err := at.Fstat(int(file), &stat); err != nil {
		return err
	}
	if stat.Size > maxText {
		return errNoText
	}
	s.content = make([]byte, stat.Size) // what is added meanwhile is not part of this moment
	n, err := at.ReadFull(int(file), s.content)
	s.content = s.content[:n]
	return err
}

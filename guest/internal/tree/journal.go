package tree

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// The journal is a text of lines: the version with the directory that the staged tree is laid over, a line for each
// change, and a last one with their number. Without that last line nothing was changed yet.
const (
	journalVersion = "pyro-push 1 "
	journalEnd     = "end "

	maxJournalLine  = 8 * maxPath // a quoted path, four bytes for one, and numbers
	maxJournalBytes = 256 << 20
)

var errJournal = errors.New("the journal of a push is damaged")

// writeJournal makes the plan last, and all that is staged: only then may the first change be made.
func (s *staging) writeJournal(base string, changes []change) error {
	if err := s.root.step("journal"); err != nil {
		return err
	}
	fd, err := openAt(s.fd, journalName, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	if err != nil {
		return failed("make", journalName, err)
	}
	file := os.NewFile(uintptr(fd), journalName)
	defer file.Close()
	out := bufio.NewWriterSize(file, bufferSize)
	line := strconv.AppendQuote([]byte(journalVersion), base)
	size := 0
	for i := range changes {
		n, _ := out.Write(append(line, '\n')) // its error comes back from Flush
		if size += n; size > maxJournalBytes {
			return refuse(TooManyEntries, base, "too much is to be changed there")
		}
		line = changes[i].append(line[:0])
	}
	out.Write(append(line, '\n'))
	fmt.Fprintf(out, "%s%d\n", journalEnd, len(changes))
	if err := out.Flush(); err != nil {
		return failed("write", journalName, err)
	}
	if err := s.root.step("sync"); err != nil {
		return err
	}
	// Not only the journal: were the files still to be written when the machine dies after the last change, they would
	// be found empty.
	if err := s.root.sync(s.fd); err != nil {
		return failed("sync", journalName, err)
	}
	return nil
}

func (c *change) append(line []byte) []byte {
	line = append(line, byte(c.action), ' ')
	if c.action == marking {
		line = c.old.append(line)
		if c.set {
			line = append(c.new.append(append(line, ' ')), ' ')
		} else {
			line = append(line, " - - "...)
		}
	} else {
		line = append(strconv.AppendUint(line, c.inode, 10), ' ')
	}
	return strconv.AppendQuote(line, c.path)
}

func (m mark) append(line []byte) []byte {
	line = append(strconv.AppendUint(line, uint64(m.mode), 8), ' ')
	return append(line, formatTime(m.mtime)...)
}

// readJournal returns what a machine that died had planned to do; nothing, if it had not begun. What is in the journal
// may be anything: the machine's root can write there.
func (s *staging) readJournal() (base string, changes []change, err error) {
	fd, err := openAt(s.fd, journalName, syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if gone(err) {
		return "", nil, nil
	} else if err != nil {
		return "", nil, err
	}
	file := os.NewFile(uintptr(fd), journalName)
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxJournalBytes+2*maxJournalLine))
	lines.Buffer(make([]byte, 0, bufferSize), maxJournalLine)
	if !lines.Scan() {
		return "", nil, nil
	}
	version, found := strings.CutPrefix(lines.Text(), journalVersion)
	if base, err = strconv.Unquote(version); !found || err != nil {
		return "", nil, errJournal
	}
	for lines.Scan() {
		if count, found := strings.CutPrefix(lines.Text(), journalEnd); found {
			if count != strconv.Itoa(len(changes)) {
				return "", nil, errJournal
			}
			return base, changes, nil
		}
		c, err := parseChange(lines.Text())
		if err != nil || len(changes) > 2*s.root.limit {
			return "", nil, errJournal
		}
		changes = append(changes, c)
	}
	return "", nil, nil
}

func parseChange(line string) (c change, err error) {
	parts := 3
	if strings.HasPrefix(line, "m ") {
		parts = 6
	}
	fields := strings.SplitN(line, " ", parts)
	quoted := fields[len(fields)-1]
	if c.path, err = strconv.Unquote(quoted); err != nil || fields[0] == "" {
		return c, errJournal
	}
	c.action = action(fields[0][0])
	switch {
	case len(fields) == 3 && (c.action == placing || c.action == swapping):
		c.inode, err = strconv.ParseUint(fields[1], 10, 64)
		return c, err
	case len(fields) == 6:
		c.old, err = parseMark(fields[1], fields[2])
		return c, err // what it was to become does not matter any more
	}
	return c, errJournal
}

func parseMark(mode, mtime string) (m mark, err error) {
	bits, err := strconv.ParseUint(mode, 8, 12)
	when, ok := parseTime(mtime)
	if err != nil || !ok {
		return m, errJournal
	}
	return mark{uint32(bits), when}, nil
}

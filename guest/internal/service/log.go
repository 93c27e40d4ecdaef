package service

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// partSize is where a file of a log ends and the next begins.
	partSize = 4 << 20
	// partsKept is how many files there are of a log: the one that is written to, and as much as fits into one before it.
	partsKept = 2
)

// errGone is what reading says of a log whose files were removed.
var errGone = errors.New("the log is gone")

// part is one file of a log. Its name tells where in the log it begins.
type part struct {
	start, size int64
}

func (p part) end() int64 { return p.start + p.size }

// log is one output of a service, in files. Offsets count all bytes that were ever written to it.
//
// Readers hold no file: each read opens the one it needs. So none keeps a removed file's room taken, nor the disk from
// being made read-only at the machine's end.
type log struct {
	directory, name string
	partSize        int64

	mu      sync.Mutex
	file    *os.File // the last part; nil until something is written, and once the log has ended
	parts   []part   // in order
	lost    bool     // something could not be written, or is not there any more though it should be
	over    bool
	changed chan struct{} // closed when there is more, or an end; nil while nobody waits
}

// openLog takes up what a log of an earlier time has left.
func openLog(directory, name string) (*log, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	l := &log{directory: directory, name: name, partSize: partSize, over: true}
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), name+".")
		start, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || start < 0 {
			continue
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			l.parts = append(l.parts, part{start, info.Size()})
		}
	}
	slices.SortFunc(l.parts, func(a, b part) int { return cmp.Compare(a.start, b.start) })
	return l, nil
}

// write adds to the log. What finds no room on the disk is lost: the service goes on.
func (l *log) write(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(data) > 0 {
		if err := l.makeRoom(); err != nil {
			l.lost = true
			return
		}
		last := &l.parts[len(l.parts)-1]
		n, err := l.file.Write(data[:min(int64(len(data)), l.partSize-last.size)])
		last.size += int64(n)
		data = data[n:]
		if n > 0 {
			l.wake()
		}
		if err != nil {
			l.lost = true
			return
		}
	}
}

// makeRoom begins the next part if there is none yet or the last one is full, and removes the oldest one then.
func (l *log) makeRoom() error {
	next := l.endLocked()
	if l.file != nil && next-l.parts[len(l.parts)-1].start < l.partSize {
		return nil
	}
	if l.over {
		return fs.ErrClosed
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL | syscall.O_NOFOLLOW
	file, err := os.OpenFile(l.path(next), flags, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file = file
	l.parts = append(l.parts, part{start: next})
	for len(l.parts) > partsKept {
		_ = os.Remove(l.path(l.parts[0].start)) // whoever has removed it before
		l.parts = l.parts[1:]
	}
	return nil
}

// close says that nothing more is written.
func (l *log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	l.wake()
}

func (l *log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// bounds returns where the log begins, as far as it is kept, and where it ends.
func (l *log) bounds() (first, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstLocked(), l.endLocked()
}

// more returns a channel that is closed once the log has changed, nil if there is something behind the offset already,
// and whether nothing will come any more.
func (l *log) more(offset int64) (changed <-chan struct{}, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.endLocked() || l.over {
		return nil, offset >= l.endLocked()
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed, false
}

// incomplete tells whether something was lost that should be in the log.
func (l *log) incomplete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

func (l *log) firstLocked() int64 {
	if len(l.parts) == 0 {
		return 0
	}
	return l.parts[0].start
}

func (l *log) endLocked() int64 {
	if len(l.parts) == 0 {
		return 0
	}
	return l.parts[len(l.parts)-1].end()
}

// read takes what stands at an offset. What begins at from is further on than was asked for where the log has been
// forgotten; n is 0 only at the log's end, or with an error.
func (l *log) read(buffer []byte, offset int64) (n int, from int64, err error) {
	for {
		found, file, err := l.open(offset)
		if err != nil || file == nil {
			return 0, found.start, err
		}
		from = max(offset, found.start)
		n, err = file.ReadAt(buffer[:min(int64(len(buffer)), found.end()-from)], from-found.start)
		file.Close()
		if n > 0 {
			return n, from, nil
		}
		if !errors.Is(err, io.EOF) {
			return 0, from, err
		}
		l.mu.Lock()
		l.lost = true
		l.mu.Unlock()
		offset = found.end() // the file is shorter than it was, as after a crash
	}
}

// open opens the part that holds an offset, or the one behind it. At the log's end there is no file, and the part
// returned begins there.
func (l *log) open(offset int64) (part, *os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.parts {
		if offset >= p.end() {
			continue
		}
		file, err := os.OpenFile(l.path(p.start), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			err = errGone
		}
		return p, file, err
	}
	return part{start: max(offset, l.endLocked())}, nil, nil
}

func (l *log) path(start int64) string {
	return filepath.Join(l.directory, l.name+"."+strconv.FormatInt(start, 10))
}

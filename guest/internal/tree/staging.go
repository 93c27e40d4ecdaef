package tree

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"pyro.local/guest/internal/at"
)

// What stands in a staging directory.
const (
	treeName    = "tree"    // what is unpacked, as seen from the directory that it will be laid over
	journalName = "journal" // the changes that lay it there; complete and on the disk before the first is made
	asideName   = "aside-"  // begins names of what was moved out of the way where it could not be exchanged
)

// staging is where a push is made ready, invisible to everybody but the root of the machine. Inside it nothing inherits
// a group or an access list, so that what is made there needs no correction.
type staging struct {
	root *Root
	id   string
	name string // at the top
	fd   int
	tree int // descriptor of treeName

	before syscall.Timespec // of the top directory
}

// The name of a staging keeps what must be known of it until its very end: the time that the top directory is to have
// when it is gone (nothing: the one it has then), and whether the changes it was made for are all made.
const donePrefix = StagingPrefix + "done-"

func stagingName(mtime, id string) string { return StagingPrefix + mtime + "-" + id }

func doneName(mtime, id string) string { return donePrefix + mtime + "-" + id }

func stagingID() string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// parseStaging takes such a name apart. Anybody may have made it up.
func parseStaging(name string) (mtime, id string, done bool) {
	rest, done := strings.CutPrefix(name, donePrefix)
	if !done {
		rest = strings.TrimPrefix(name, StagingPrefix)
	}
	at := strings.LastIndexByte(rest, '-')
	return rest[:max(at, 0)], rest[at+1:], done
}

func (r *Root) newStaging() (_ *staging, err error) {
	before, err := r.enterTop()
	if err != nil {
		return nil, err
	}
	s := &staging{root: r, id: stagingID(), fd: -1, tree: -1, before: before}
	s.name = stagingName(formatTime(before), s.id)
	if err = s.prepare(); err != nil {
		err = failed("make", s.name, err)
		s.discard()
		return nil, err
	}
	return s, nil
}

func (s *staging) prepare() (err error) {
	if err := s.root.step("stage"); err != nil {
		return err
	}
	if err := at.Mkdir(s.root.fd, s.name, 0o700); err != nil {
		return err
	}
	if s.fd, err = openAt(s.root.fd, s.name, asReader, 0); err != nil {
		return err
	}
	if err := disinherit(s.fd, 0o700); err != nil {
		return err
	}
	if err := s.root.step("staged"); err != nil {
		return err
	}
	if err := at.Mkdir(s.fd, treeName, 0o777); err != nil {
		return err
	}
	s.tree, err = openAt(s.fd, treeName, asReader, 0)
	return err
}

// disinherit frees a new file or directory of the group and the access lists that the directory above hands down.
func disinherit(fd int, mode uint32) error {
	var stat syscall.Stat_t
	if err := at.Fstat(fd, &stat); err != nil {
		return err
	}
	if group := syscall.Getegid(); int(stat.Gid) != group {
		if err := syscall.Fchown(fd, -1, group); err != nil {
			return err
		}
	}
	if err := dropACL(fd); err != nil {
		return err
	}
	return at.Fchmod(fd, mode)
}

// discard removes the staging directory with what is in it. What cannot be removed stays, hidden, for Recover.
func (s *staging) discard() {
	_ = s.root.step("discard")
	_ = s.erase()
	s.close()
	s.root.leaveTop()
}

// erase removes the journal first: what it tells of is over.
func (s *staging) erase() error {
	if s.fd >= 0 {
		if err := at.Unlink(s.fd, journalName); err != nil && err != syscall.ENOENT {
			return err
		}
	}
	return s.root.erase(s.root.fd, s.name)
}

// leave lets the staging directory lie, because Recover may be able to do what could not be done.
func (s *staging) leave() {
	s.close()
	s.root.leaveTop()
}

func (s *staging) close() {
	for _, fd := range []int{s.fd, s.tree} {
		if fd >= 0 {
			syscall.Close(fd)
		}
	}
}

// topTime keeps the time of last change of the top directory, which the coming and going of staging would move.
type topTime struct {
	mu      sync.Mutex
	users   int
	before  syscall.Timespec
	after   *syscall.Timespec // what it is to be instead
	changed bool              // there was a change that it should tell of
}

// enterTop is called before something is put at the top, and tells the time that it ought to have.
func (r *Root) enterTop() (syscall.Timespec, error) {
	t := &r.top
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users == 0 {
		var stat syscall.Stat_t
		if err := at.Fstat(r.fd, &stat); err != nil {
			return t.before, failed("stat", "", err)
		}
		t.before, t.after, t.changed = stat.Mtim, nil, false
	}
	t.users++
	return t.before, nil
}

// changeTop says that the top directory itself was changed, and may say at what time.
func (r *Root) changeTop(mtime *syscall.Timespec) {
	r.top.mu.Lock()
	defer r.top.mu.Unlock()
	r.top.changed, r.top.after = true, mtime
}

// leaveTop is called when what was put there is gone again.
func (r *Root) leaveTop() {
	t := &r.top
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users > 0 {
		return
	}
	switch { // no error is worth failing what has been done
	case t.after != nil:
		_ = setOpenTime(r.fd, *t.after)
	case !t.changed:
		_ = setOpenTime(r.fd, t.before)
	}
}

func formatTime(t syscall.Timespec) string {
	return strconv.FormatInt(t.Sec, 10) + "." + strconv.FormatInt(t.Nsec, 10)
}

func parseTime(text string) (t syscall.Timespec, ok bool) {
	seconds, nanoseconds, _ := strings.Cut(text, ".")
	sec, err1 := strconv.ParseInt(seconds, 10, 64)
	nsec, err2 := strconv.ParseUint(nanoseconds, 10, 32)
	return syscall.Timespec{Sec: sec, Nsec: int64(nsec)}, err1 == nil && err2 == nil && nsec < 1e9
}

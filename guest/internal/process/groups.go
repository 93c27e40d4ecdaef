package process

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Groups makes a cgroup for every command, below one directory of a cgroup2 file system.
//
// Without a directory there are no cgroups, as in a program that is not alone on its machine: then a group is what
// descends from its command, and all orphans, whosever they are, that have come back to this program (AdoptOrphans).
type Groups struct {
	root string

	mu   sync.Mutex
	left []*group // of commands that are over but left processes behind
}

// NewGroups uses the directory root, creating it; "" stands for no cgroups.
func NewGroups(root string) (*Groups, error) {
	if root != "" {
		if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return &Groups{root: root}, nil
}

// group is where one command and all its descendants live.
type group struct {
	owner  *Groups
	path   string              // "" without cgroups
	killer *os.File            // its cgroup.kill, open from the start: when all has to end there may be no descriptor left
	others func() map[int]bool // other commands that run, once this one is started
}

// create makes an empty group.
func (g *Groups) create() (*group, error) {
	if g.root == "" {
		return &group{owner: g}, nil
	}
	g.sweep()
	var name [8]byte
	rand.Read(name[:]) // never fails
	path := filepath.Join(g.root, hex.EncodeToString(name[:]))
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	return &group{owner: g, path: path}, nil
}

// sweep removes the groups that have become empty since.
func (g *Groups) sweep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := g.left[:0]
	for _, left := range g.left {
		if !left.remove() {
			kept = append(kept, left)
		}
	}
	clear(g.left[len(kept):])
	g.left = kept
}

// open makes the group ready to be killed and returns a descriptor of it for clone3, -1 without cgroups.
func (g *group) open() (int, error) {
	if g.path == "" {
		return -1, nil
	}
	killer, err := os.OpenFile(filepath.Join(g.path, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		return -1, err
	}
	g.killer = killer
	fd, err := syscall.Open(g.path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: g.path, Err: err}
	}
	return fd, nil
}

// end kills all that is in the group and waits until nothing of it lives, at most so long.
func (g *group) end(limit time.Duration) error {
	if g.path == "" {
		return endDescendants(limit, g.others)
	}
	if err := g.kill(); err != nil {
		return err
	}
	return g.awaitEmpty(limit)
}

// kill sends SIGKILL to all that is in the cgroup, whatever session it has moved to.
func (g *group) kill() error {
	_, err := g.killer.Write([]byte("1"))
	return unlessRemoved(err)
}

// unlessRemoved drops the error of what was asked of a cgroup that is gone: nothing can live in it.
func unlessRemoved(err error) error {
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// awaitEmpty waits until nothing in the cgroup lives, at most so long. The kernel announces a change of cgroup.events, but
// not if somebody else sees it first and removes the cgroup: that shows in the directory above only.
func (g *group) awaitEmpty(limit time.Duration) error {
	events := filepath.Join(g.path, "cgroup.events")
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("inotify_init1", err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer watch.Close()
	if _, err := syscall.InotifyAddWatch(fd, g.owner.root, syscall.IN_DELETE); err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	if _, err := syscall.InotifyAddWatch(fd, events, syscall.IN_MODIFY); err != nil {
		return unlessRemoved(os.NewSyscallError("inotify_add_watch", err))
	}
	if err := watch.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	for {
		state, err := os.ReadFile(events)
		if err != nil || strings.Contains(string(state), "populated 0") {
			return unlessRemoved(err)
		}
		if _, err := watch.Read(buffer); err != nil {
			return err
		}
	}
}

// release removes the group, now if it is empty, else when it has become so.
func (g *group) release() {
	if g.path == "" || g.remove() {
		return
	}
	g.owner.mu.Lock()
	defer g.owner.mu.Unlock()
	g.owner.left = append(g.owner.left, g)
}

// remove tells whether the group is gone. The kernel refuses to remove one that is not empty.
func (g *group) remove() bool {
	if errors.Is(syscall.Rmdir(g.path), syscall.EBUSY) {
		return false
	}
	g.killer.Close()
	return true
}

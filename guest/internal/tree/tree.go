// Package tree works beneath one directory, the guest's /workspace, while programs that mean harm rename and link in
// it: it lists, reads, writes, packs into a tar stream (Export) and unpacks one so that all of it appears or nothing
// (Push).
//
// Above it stands server; below it stands at. Its one rule: the kernel never follows a symbolic link for it and never
// leaves the file system. Every open goes through openat2 with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV,
// all other calls take a descriptor of a directory and one name. Links that a caller's path leads over are read and
// followed here (find), so that what begins with /workspace counts as inside. What is mounted beneath the directory
// belongs to the machine, not to the workspace: it is not entered or changed.
//
// Names and paths are strings of bytes, which need not be UTF-8. Paths are relative to the directory, "" being itself.
package tree

import (
	"os"
	"strings"
	"sync"
	"syscall"

	"pyro.local/guest/internal/at"
)

// StagingPrefix begins the names at the top of the directory that are this package's own; no answer shows them.
const StagingPrefix = ".pyro-staging-"

// Bounds of what is worked on; more is refused.
const (
	maxEntries = 1_000_000 // of a listing, an export, a push
	maxPath    = 4096      // bytes of a path in a parameter or an archive
	maxName    = 255       // bytes of one component of it
	maxDepth   = 256       // components of a path in an archive
	maxNesting = 1000      // directories within each other that are walked into, a descriptor each
	maxSkipped = 100       // paths of left-out entries that are named
)

// bufferSize is that of all large buffers: a system call is dear in an emulated machine.
const bufferSize = 256 << 10

// Kind says what an entry is, in the words of the protocol.
type Kind string

const (
	File      Kind = "file"
	Directory Kind = "directory"
	Symlink   Kind = "symlink"
	Other     Kind = "other" // socket, FIFO, device
)

// Result tells what an export or a push has carried.
type Result struct {
	Path         string // what was exported, or where the push went, as asked for
	Type         Kind   // of what was exported
	Entries      int    // the directory that is exported or pushed into is not counted
	Bytes        int64  // of the contents of files
	Skipped      []string
	SkippedCount int // Skipped holds the first 100 of these
}

// skip notes an entry that is left out.
func (r *Result) skip(path string) {
	if r.SkippedCount++; len(r.Skipped) < maxSkipped {
		r.Skipped = append(r.Skipped, path)
	}
}

// Root is the directory that everything stays beneath. Its methods may be called at the same time.
type Root struct {
	fd      int
	limit   int                // maxEntries
	noAtime int                // O_NOATIME where it is permitted
	sync    func(int) error    // brings everything on the file system of a descriptor to its disk
	hook    func(string) error // nil; tests look on, fail and die at each step of a push

	displaces bool // for tests: as if the kernel could not exchange names

	changing sync.Mutex // held while the tree is changed in several steps
	top      topTime
}

// Open holds the directory at path.
func Open(path string) (*Root, error) {
	fd, err := at.Retry(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, failed("open", path, err)
	}
	root := &Root{fd: fd, limit: maxEntries, sync: at.Syncfs}
	if os.Geteuid() == 0 { // reading then leaves no trace to be written back
		root.noAtime = syscall.O_NOATIME
	}
	return root, nil
}

// Close gives the descriptor back. Nothing may be under way.
func (r *Root) Close() { syscall.Close(r.fd) }

func (r *Root) step(name string) error {
	if r.hook == nil {
		return nil
	}
	return r.hook(name)
}

// split takes a path apart; empty components and "." say nothing.
func split(path string) []string {
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// join puts a name behind the path of a directory.
func join(directory, name string) string {
	if directory == "" {
		return name
	}
	return directory + "/" + name
}

// cut parts a path into that of its directory and its last name.
func cut(path string) (directory, name string) {
	slash := strings.LastIndexByte(path, '/')
	return path[:max(slash, 0)], path[slash+1:]
}

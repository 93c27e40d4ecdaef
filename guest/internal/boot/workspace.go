package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// WorkspaceDir is where the tree lies that is worked on.
const WorkspaceDir = "/workspace"

// Workspace is the tree that is worked on: an overlay of what it began as, which nothing in here can change, and a disk
// of its own with all that was changed since. The paths lead through descriptors; no name in the machine does, but for
// that of the merged tree.
type Workspace struct {
	Lower, Upper, Merged string
	// Disk is a descriptor of the disk's top directory.
	Disk int
}

// MountWorkspace lays the overlay of the two disks over /workspace. If it fails, it leaves nothing mounted.
func (r *Root) MountWorkspace(baseline, disk string) (*Workspace, error) {
	lower := mount{baseline, r.hidden("baseline"), "erofs", syscall.MS_RDONLY, "", 0o755}
	own := mount{disk, r.hidden("workspace"), "ext4", 0, "discard", 0o755}
	mounted := []string{}
	fail := func(err error) (*Workspace, error) {
		for i := len(mounted) - 1; i >= 0; i-- {
			_ = syscall.Unmount(mounted[i], syscall.MNT_DETACH)
		}
		return nil, err
	}
	for _, m := range []mount{lower, own} {
		if err := m.mount(); err != nil {
			return fail(err)
		}
		mounted = append(mounted, m.target)
	}
	if err := layers(lower.target, own.target); err != nil {
		return fail(err)
	}
	options := overlay(lower.target, own.target)
	if err := (mount{"workspace", WorkspaceDir, "overlay", 0, options, 0o755}).mount(); err != nil {
		return fail(err)
	}
	mounted = append(mounted, WorkspaceDir)
	var fds [4]int
	for i, path := range []string{lower.target, own.target + "/upper", WorkspaceDir, own.target} {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fail(&os.PathError{Op: "open", Path: path, Err: err})
		}
		fds[i] = fd
	}
	r.workspace = &Workspace{Lower: through(fds[0]), Upper: through(fds[1]), Merged: through(fds[2]), Disk: fds[3]}
	return r.workspace, nil
}

// MountImage mounts an empty disk that the host wants something written to.
func (r *Root) MountImage(device string) (path string, unmount func() error, err error) {
	m := mount{device, r.hidden("image"), "ext4", 0, "discard", 0o755}
	if err := m.mount(); err != nil {
		return "", nil, err
	}
	return m.target, func() error { return os.NewSyscallError("unmount", syscall.Unmount(m.target, 0)) }, nil
}

// layers makes the directories of an overlay on a disk, unless it has them. The tree's top is as that of lower at first.
func layers(lower, disk string) error {
	if err := os.MkdirAll(disk+"/work", 0o755); err != nil {
		return err
	}
	upper := disk + "/upper"
	if err := os.Mkdir(upper, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	top, err := os.Stat(lower)
	if err != nil {
		return err
	}
	return errors.Join(os.Chmod(upper, top.Mode()), os.Chtimes(upper, top.ModTime(), top.ModTime()))
}

// seal makes the workspace read-only, so that the next mount finds its disk clean.
func (w *Workspace) seal() error {
	const readOnly = syscall.MS_REMOUNT | syscall.MS_RDONLY
	return errors.Join(
		os.NewSyscallError("remount workspace", syscall.Mount("", w.Merged, "", readOnly, "")),
		os.NewSyscallError("remount workspace disk", syscall.Mount("", through(w.Disk), "", readOnly, "")),
	)
}

// through is a descriptor as a path.
func through(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

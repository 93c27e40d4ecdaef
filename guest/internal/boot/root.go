package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"pyro.local/guest/internal/at"
)

// Where the disks are put before the root is switched.
const (
	baseDir    = "/mnt/base"
	scratchDir = "/mnt/scratch"
	rootDir    = "/mnt/root"
)

// overlay is the options for an overlay of lower and the directories upper and work of disk. They depart from the kernel's
// defaults, with which renaming a directory of the lower layer fails (redirect_dir) and writing to one name of a hard
// link leaves the others old (index).
func overlay(lower, disk string) string {
	return "lowerdir=" + lower + ",upperdir=" + disk + "/upper,workdir=" + disk + "/work" +
		",redirect_dir=on,index=on,xino=on,metacopy=off"
}

// plain are directories of the scratch disk itself, laid over the overlay where programs need what an overlay has not.
// Container engines stack overlays of their own, and an overlay cannot be the upper layer of another; temporary files
// want O_TMPFILE, and no share of the machine's memory. It is these and not /var/lib as a whole, because that holds what
// the base has installed, such as the package manager's database, and would have to be copied at the first mount.
var plain = []mount{
	{source: "tmp", target: "/tmp", mode: 0o777 | os.ModeSticky},
	{source: "containerd", target: "/var/lib/containerd", mode: 0o711},
	{source: "containers", target: "/var/lib/containers", mode: 0o755},
	{source: "docker", target: "/var/lib/docker", mode: 0o711},
}

// Root is the machine's root file system.
type Root struct {
	scratch   int // descriptor of the scratch disk's top directory, which no path leads to any more
	before    int // descriptor of the root that was there before the switch; the same holds for it
	workspace *Workspace
}

// MountRoot joins the disks and makes the result the root. If it fails before the switch, it leaves nothing mounted.
func MountRoot(base, scratch string) (*Root, error) {
	before, err := syscall.Open("/", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	fd, err := joinDisks(base, scratch)
	if err != nil {
		syscall.Close(before)
		return nil, err
	}
	root := &Root{scratch: fd, before: before}
	if err := switchRoot(); err != nil {
		return nil, fmt.Errorf("switch root: %w", err)
	}
	// From here on paths are those of the machine, and its own symbolic links lead within it.
	if err := os.MkdirAll(WorkspaceDir, 0o755); err != nil {
		return nil, err
	}
	if err := root.layPlain(); err != nil {
		return nil, err
	}
	root.settle()
	return root, nil
}

// settle has the disk hold what a mount changes on it: an overlay makes its work directory anew, what it removes is gone from
// the disk at once, and without a journal the disk still says it is there. A machine that is cut off before that is written
// finds a damaged directory ever after, and makes its root read-only.
func (r *Root) settle() {
	if err := at.Syncfs(r.scratch); err != nil {
		fmt.Fprintln(os.Stderr, "pyro-guest: write to the scratch disk:", err)
	}
}

// joinDisks mounts base, scratch and their overlay, and returns a descriptor of the scratch disk.
func joinDisks(base, scratch string) (fd int, err error) {
	disks := []mount{
		{base, baseDir, "ext4", syscall.MS_RDONLY, "", 0o755},
		{scratch, scratchDir, "ext4", 0, "discard", 0o755}, // freed blocks go back to the host
	}
	defer func() {
		if err != nil {
			_ = syscall.Unmount(scratchDir, syscall.MNT_DETACH)
			_ = syscall.Unmount(baseDir, syscall.MNT_DETACH)
		}
	}()
	for _, disk := range disks {
		if err := disk.mount(); err != nil {
			return -1, err
		}
	}
	for _, name := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(scratchDir, name), 0o755); err != nil {
			return -1, err
		}
	}
	fd, err = syscall.Open(scratchDir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: scratchDir, Err: err}
	}
	if err := (mount{"overlay", rootDir, "overlay", 0, overlay(baseDir, scratchDir), 0o755}).mount(); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// switchRoot takes the kernel's file systems along, frees the initramfs and makes the overlay the root of the mount tree
// (not only of this process: in a mere chroot no user namespace can be made).
func switchRoot() error {
	for _, path := range moved {
		target := rootDir + path
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(path, target, "", syscall.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", path, err)
		}
	}
	if err := errors.Join(os.Remove("/init"), os.RemoveAll("/lib")); err != nil {
		return err
	}
	if err := syscall.Chdir(rootDir); err != nil {
		return err
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return err
	}
	if err := syscall.Chroot("."); err != nil {
		return err
	}
	return syscall.Chdir("/")
}

// layPlain lays the plain directories over the root. Where the base has something in such a directory, that stays seen.
func (r *Root) layPlain() error {
	for _, directory := range plain {
		entries, err := os.ReadDir(directory.target)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(entries) > 0 {
			continue
		}
		source := r.path("plain/" + directory.source)
		if err := os.MkdirAll(source, directory.mode.Perm()); err != nil {
			return err
		}
		if err := os.Chmod(source, directory.mode); err != nil { // the sticky bit, which mkdir does not take
			return err
		}
		directory.source, directory.flags = source, syscall.MS_BIND
		if err := directory.mount(); err != nil {
			return err
		}
	}
	return nil
}

// Own tells whether what stands at a path is on this machine's own disk: written here, or taken away, in the place of what
// the base has.
func (r *Root) Own(path string) bool {
	_, err := os.Lstat(r.path("upper" + path))
	return !errors.Is(err, fs.ErrNotExist)
}

// path names something on the scratch disk.
func (r *Root) path(name string) string {
	return filepath.Join(through(r.scratch), name)
}

// hidden names a place to mount something where no path of the machine leads.
func (r *Root) hidden(name string) string {
	return through(r.before) + "/mnt/" + name
}

// seal writes everything to the disks and makes them read-only, so that the next mount finds them clean.
func (r *Root) seal() error {
	const readOnly = syscall.MS_REMOUNT | syscall.MS_RDONLY
	var workspace error
	if r.workspace != nil {
		workspace = r.workspace.seal()
	}
	return errors.Join(
		workspace,
		os.NewSyscallError("remount /", syscall.Mount("", "/", "", readOnly, "")),
		os.NewSyscallError("remount scratch", syscall.Mount("", r.path(""), "", readOnly, "")),
	)
}

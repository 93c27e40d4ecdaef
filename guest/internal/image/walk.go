package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"

	"pyro.local/guest/internal/at"
)

// memory is the numbers (statfs) of file systems that hold nothing which outlasts the machine, most of which the kernel
// makes up itself: reading them would be endless, or act. devtmpfs says it is tmpfs.
var memory = map[uint32]bool{
	0x00009fa0: true, // proc
	0x62656572: true, // sysfs
	0x01021994: true, // tmpfs
	0x858458f6: true, // ramfs
	0x00001cd1: true, // devpts
	0x0027e0eb: true, // cgroup
	0x63677270: true, // cgroup2
	0x64626720: true, // debugfs
	0x74726163: true, // tracefs
	0x73636673: true, // securityfs
	0x62656570: true, // configfs
	0x65735543: true, // fusectl
	0x6165676c: true, // pstore
	0x19800202: true, // mqueue
	0x958458f6: true, // hugetlbfs
	0xcafe4a11: true, // bpf
	0xde5e81e4: true, // efivarfs
	0x42494e4d: true, // binfmt_misc
	0x6e736673: true, // nsfs
	0x00000187: true, // autofs
	0x67596969: true, // rpc_pipefs
	0xf97cff8c: true, // selinuxfs
}

// below copies what lies in a directory. Directories in it wait until all of it is read, so that one buffer will do.
func (c *copier) below(d pair) error {
	var inner []string
	for {
		n, err := at.Retry(func() (int, error) { return syscall.ReadDirent(d.from, c.names) })
		if err != nil {
			return failed("read", d.at, err)
		}
		if n == 0 {
			break
		}
		for rest := c.names[:n]; len(rest) > 0; { // struct linux_dirent64
			length := binary.LittleEndian.Uint16(rest[16:])
			kind, name := rest[18], rest[19:length]
			rest = rest[length:]
			found := string(name[:bytes.IndexByte(name, 0)])
			if found == "." || found == ".." {
				continue
			}
			if directory, err := c.plain(d, found, kind); err != nil {
				return err
			} else if directory {
				inner = append(inner, found)
			}
		}
	}
	for _, name := range inner {
		if err := c.directory(d, name); err != nil {
			return err
		}
	}
	return nil
}

// directory copies a directory and all below it.
func (c *copier) directory(d pair, name string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	here := &place{d.at, name}
	if d.depth == maxNesting {
		return failed("copy", here, fmt.Errorf("more than %d directories lie within each other", maxNesting))
	}
	in := pair{at: here, depth: d.depth + 1}
	var err error
	if in.from, err = at.OpenName(d.from, name, syscall.O_RDONLY|syscall.O_DIRECTORY|c.noAtime, 0); err != nil {
		return failed("open", here, err)
	}
	if in.to, err = makeDirectory(d, name); err != nil {
		syscall.Close(in.from)
		return failed("make", here, err)
	}
	defer in.close()
	c.result.Entries++
	return c.fill(d, in)
}

// makeDirectory makes and opens a directory. At the top there may be one: lost+found.
func makeDirectory(d pair, name string) (int, error) {
	if err := at.Mkdir(d.to, name, 0o700); err != nil && (err != syscall.EEXIST || d.depth > 0) {
		return -1, err
	}
	return at.OpenName(d.to, name, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// fill copies into a directory that was just made, and finishes it.
func (c *copier) fill(outer, in pair) error {
	var stat syscall.Stat_t
	if err := at.Fstat(in.from, &stat); err != nil {
		return failed("stat", in.at, err)
	}
	left, err := c.left(in.from, &stat, outer.device)
	if err != nil {
		return failed("stat", in.at, err)
	}
	if left {
		return c.settle(in.to, &stat, in.at)
	}
	in.device = stat.Dev
	if err := c.below(in); err != nil {
		return err
	}
	return c.finish(in.from, in.to, &stat, in.at)
}

// left tells whether of what is open only the mount point is made. Device is that of the directory it lies in.
func (c *copier) left(fd int, stat *syscall.Stat_t, device uint64) (bool, error) {
	if stat.Dev == device {
		return identify(stat) == c.to, nil
	}
	if stat.Dev == c.to.device {
		return true, nil
	}
	var system syscall.Statfs_t
	_, err := at.Retry(func() (int, error) { return 0, syscall.Fstatfs(fd, &system) })
	return memory[uint32(system.Type)], err
}

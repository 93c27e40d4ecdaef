package image

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pyro.local/guest/internal/at"
)

// nasty fills a directory with all that an ordinary user can make and a copy may stumble over.
func nasty(t *testing.T, top string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(top, name) }
	write := func(name string, content []byte, mode uint32) {
		t.Helper()
		must(t, os.WriteFile(at(name), content, 0o600), syscall.Chmod(at(name), mode))
	}
	long := strings.Repeat("n", 255)
	must(t, os.MkdirAll(at("deep/"+long+"/"+long), 0o755), os.Mkdir(at("empty"), 0o700), os.Mkdir(at("shared"), 0o755))
	write("a file", []byte("hello\n"), 0o640)
	write("none", nil, 0o400)
	write("setuid", []byte("#!"), 0o4755)
	write("name\nwith\x1b[31m\xff\xfe\\", []byte("raw"), 0o666)
	write("large", bytes.Repeat([]byte("0123456789abcdef"), 3<<16+1), 0o600)
	write("deep/"+long+"/"+long+"/file", []byte("far"), 0o444)
	holes(t, at("holes"), 16<<20, 1<<20, 3<<20)
	holes(t, at("only a hole"), 5<<20+1)
	holes(t, at("ends with data"), 8<<20, 8<<20-4096)
	must(t, os.Mkdir(at("left"), 0o755), os.Mkdir(at("right"), 0o755),
		os.Link(at("a file"), at("left/a file")), os.Link(at("a file"), at("right/another")),
		os.Symlink("/etc/passwd", at("absolute")), os.Symlink("nowhere/\xff", at("dangling")), os.Symlink(".", at("loop")),
		os.Symlink("a file", at("right/link")), os.Link(at("right/link"), at("left/link")),
		os.Symlink(strings.Repeat("t", 1000), at("long target")),
		syscall.Mkfifo(at("fifo"), 0o620), os.Link(at("fifo"), at("left/fifo")),
		syscall.Chmod(at("shared"), 0o3777), attach(at("a file"), "user.note", "kept\x00raw"), attach(at("shared"), "user.empty", ""))
	for i, name := range []string{"a file", "fifo", "dangling", "right/link", "empty", "shared", "deep", "large", "left", ""} {
		changed(t, at(name), int64(1_000_000_000+i), int64(123_456_789+i))
	}
}

// nastier adds what only root can.
func nastier(t *testing.T, top string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(top, name) }
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	everyone := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x06\x00\xe8\x03\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff" +
		"\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"
	must(t, syscall.Mknod(at("null"), syscall.S_IFCHR|0o666, 1<<8|3), syscall.Mknod(at("whiteout"), syscall.S_IFCHR, 0),
		syscall.Mknod(at("block"), syscall.S_IFBLK|0o660, 0x12<<12<<8|259<<8|0x34),
		os.Lchown(at("setuid"), 1000, 1001), syscall.Chmod(at("setuid"), 0o6755), os.Lchown(at("dangling"), 7, 8),
		os.Lchown(at("null"), 5, 6), syscall.Chmod(at("none"), 0), os.Lchown(at("shared"), 1000, 2000), syscall.Chmod(at("shared"), 0o3777),
		os.Lchown(at("large"), 1<<31, 1<<31+1), attach(at("large"), "security.capability", capability),
		attach(at("dangling"), "trusted.note", "of a link"), attach(at("fifo"), "trusted.note", "of a FIFO"),
		attach(at("null"), "security.note", "of a device"), attach(at("empty"), "trusted.note", "of a directory"),
		attach(at("shared"), "system.posix_acl_default", everyone), attach(at("shared"), "system.posix_acl_access", everyone),
		os.WriteFile(at("shared/inner"), []byte("inner"), 0o600), os.Mkdir(at("shared/directory"), 0o700),
		attach(at("none"), "system.posix_acl_access", everyone))
	for i, name := range []string{"null", "whiteout", "setuid", "dangling", "shared", ""} {
		changed(t, at(name), -int64(1_000+i), int64(999_999_999-i))
	}
}

// holes makes a file of a size with a block of data at each offset.
func holes(t *testing.T, path string, size int64, offsets ...int64) {
	t.Helper()
	file, err := os.Create(path)
	must(t, err, file.Truncate(size))
	for _, offset := range offsets {
		_, err := file.WriteAt(bytes.Repeat([]byte("d"), 4096), offset)
		must(t, err)
	}
	must(t, file.Close())
}

func attach(path, name, value string) error {
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if err := setAttribute(bearer{path: p}, []byte(name+"\x00"), []byte(value)); err != nil {
		return &os.PathError{Op: "attach " + name, Path: path, Err: err}
	}
	return nil
}

func changed(t *testing.T, path string, seconds, nanoseconds int64) {
	t.Helper()
	when := syscall.NsecToTimespec(time.Unix(seconds, nanoseconds).UnixNano())
	must(t, setTimes(at.Cwd, path, &syscall.Stat_t{Atim: when, Mtim: when}))
}

// listening makes a socket.
func listening(t *testing.T, directory, name string) {
	t.Helper()
	t.Chdir(directory) // its address has room for a short path only
	socket, err := net.Listen("unix", name)
	must(t, err)
	t.Cleanup(func() { socket.Close() })
}

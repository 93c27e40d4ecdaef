package boot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// newSecrets has a place for them below a directory of its own. It needs to mount, which root may mostly do.
func newSecrets(t *testing.T) (*Secrets, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	probe := t.TempDir()
	if err := syscall.Mount("tmpfs", probe, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("mounting is refused here: ", err)
	}
	syscall.Unmount(probe, syscall.MNT_DETACH)
	secrets := NewSecrets(path)
	t.Cleanup(func() {
		if secrets.opened {
			syscall.Close(secrets.fd)
		}
		for syscall.Unmount(path, syscall.MNT_DETACH) == nil {
		}
	})
	return secrets, path
}

func TestSecretsAreFilesInMemory(t *testing.T) {
	secrets, path := newSecrets(t)
	if _, err := os.Stat(path); err == nil {
		t.Error("something is mounted before there is a secret")
	}
	for name, value := range map[string]string{"TOKEN": "sesame", "_2": "\x00\xff", "EMPTY": ""} {
		if err := secrets.Put(name, []byte(value)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(path, name)
		info, err := os.Lstat(file)
		if got, _ := os.ReadFile(file); string(got) != value || err != nil || info.Mode() != 0o400 {
			t.Errorf("%q %v %v", got, info, err)
		}
	}
	var kind syscall.Statfs_t
	if err := syscall.Statfs(path, &kind); err != nil || kind.Type != tmpfsMagic || kind.Blocks*uint64(kind.Bsize) != 16<<20 ||
		kind.Flags&noExec != noExec {
		t.Errorf("%+v, %v", kind, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
}

func TestASecretIsReplacedInOneStep(t *testing.T) {
	secrets, path := newSecrets(t)
	if err := secrets.Put("TOKEN", []byte("old")); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(path, "TOKEN"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.WriteFile(filepath.Join(path, draft), []byte("left over"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Put("TOKEN", []byte("new")); err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 10)
	if n, _ := held.Read(old); string(old[:n]) != "old" {
		t.Errorf("%q", old[:n])
	}
	if got, _ := os.ReadFile(filepath.Join(path, "TOKEN")); string(got) != "new" {
		t.Errorf("%q", got)
	}
	if left, _ := os.ReadDir(path); len(left) != 1 {
		t.Error(left)
	}
}

// TestSecretsDoNotLeaveMemory has somebody in the machine put things in their way.
func TestSecretsDoNotLeaveMemory(t *testing.T) {
	secrets, path := newSecrets(t)
	disk := t.TempDir()
	if err := os.Symlink(disk, path); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Put("TOKEN", []byte("sesame")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Unmount(path, syscall.MNT_DETACH), os.Remove(path), os.Symlink(disk, path)); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Put("TOKEN", []byte("sesame")); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(disk); len(left) != 0 {
		t.Error(left)
	}
}

func TestThereIsRoomForSomeSecretsOnly(t *testing.T) {
	secrets, path := newSecrets(t)
	if err := secrets.Put("TOKEN", []byte("sesame")); err != nil {
		t.Fatal(err)
	}
	err := secrets.Put("LARGE", bytes.Repeat([]byte("sesame"), 4<<20))
	if !errors.Is(err, syscall.ENOSPC) || bytes.Contains([]byte(err.Error()), []byte("sesame")) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(path); len(left) != 1 {
		t.Error(left)
	}
	if err := secrets.Put("MORE", []byte("sesame")); err != nil {
		t.Error(err)
	}
}

func TestWhatServicesLeaveIsOnTheScratchDiskItself(t *testing.T) {
	disk := t.TempDir()
	fd, err := syscall.Open(disk, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	for range 2 {
		path, err := (&Root{scratch: fd}).Services()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "mark"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(disk, "services"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
	if _, err := os.Stat(filepath.Join(disk, "services", "mark")); err != nil {
		t.Error(err)
	}
}

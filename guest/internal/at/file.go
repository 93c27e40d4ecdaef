package at

import "syscall"

// Fstat tells what the descriptor is of.
func Fstat(fd int, stat *syscall.Stat_t) error {
	_, err := Retry(func() (int, error) { return 0, syscall.Fstat(fd, stat) })
	return err
}

// Fchmod gives what the descriptor is of a mode.
func Fchmod(fd int, mode uint32) error {
	_, err := Retry(func() (int, error) { return 0, syscall.Fchmod(fd, mode) })
	return err
}

// Syncfs writes all that belongs to the file system of a descriptor to its disk: syncfs(2).
func Syncfs(fd int) error {
	_, err := Retry(func() (int, error) { return result(syscall.Syscall(sysSyncfs, uintptr(fd), 0, 0)) })
	return err
}

// WriteAll writes at the offset.
func WriteAll(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := Retry(func() (int, error) { return syscall.Pwrite(fd, data, offset) })
		if err != nil {
			return err
		}
		if n == 0 { // or this would go on forever
			return syscall.EIO
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

// ReadFull reads on until the buffer is full or the file ends; n is less than len(buffer) only then, or with an error.
func ReadFull(fd int, buffer []byte) (n int, err error) {
	for n < len(buffer) {
		got, err := Retry(func() (int, error) { return syscall.Read(fd, buffer[n:]) })
		if err != nil || got == 0 {
			return n, err
		}
		n += got
	}
	return n, nil
}

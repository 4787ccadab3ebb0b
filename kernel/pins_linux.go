package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockPins makes the directory of all pins, and waits until no other skep works there.
// The lock is the process's, and ends with it.
func lockPins(dir string) (unlock func(), err error) {
	bpffs := filepath.Dir(dir)
	if !isOn(bpffs, unix.BPF_FS_MAGIC) {
		return nil, fmt.Errorf("bpffs, the file system of pinned programs, is not mounted at %s: mount -t bpf bpf %s", bpffs, bpffs)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// exchange has two directories of a bpffs change places at once.
func exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchange %s and %s (Linux does since 5.17): %w", a, b, err)
	}
	return nil
}

package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
)

// lockPins makes the directory of all pins, and waits until no other skep works there.
// The lock is the process's, and ends with it.
func lockPins(dir string) (unlock func(), err error) {
	bpffs := filepath.Dir(dir)
	if !isOn(bpffs, unix.BPF_FS_MAGIC) {
		return nil, fmt.Errorf("bpffs, the file system of pinned programs, is not mounted at %s: mount -t bpf bpf %s", bpffs, bpffs)
	}
	err = os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrPermission) {
		err = cmp.Or(checkOwner(bpffs), err)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := checkOwner(dir); err != nil {
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

// checkOwner refuses a directory of pins that is another user's: they may not be used, or,
// by root, be trusted.
func checkOwner(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	if int(st.Uid) == os.Geteuid() {
		return nil
	}
	owner := fmt.Sprintf("'#%d'", st.Uid) // as sudo takes it
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		owner = u.Username
	} else if st.Uid == 0 {
		owner = "root"
	}
	return &deniedError{sentence: fmt.Sprintf("what stays attached belongs to another user (%s): run skep as that one, with sudo -u %s", dir, owner), err: fs.ErrPermission}
}

// errNoExchange says that a bpffs does not exchange, which it does since Linux 5.17.
const errNoExchange = unix.EINVAL

// exchange has two directories of a bpffs change places at once.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// openPinned opens what is pinned in a directory of links.
func openPinned(path string) (pinnedLink, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err == nil {
		return &kernelLink{l, path}, nil
	}
	table, noTable := ebpf.LoadPinnedMap(path, nil)
	if noTable != nil {
		return nil, err
	}
	if entry, err := openEntry(table, path); entry != nil || err != nil {
		return entry, err
	}
	return &pinnedStandIn{table, path}, nil
}

type kernelLink struct {
	link.Link
	path string
}

func (l *kernelLink) remove() error { return os.Remove(l.path) }

// pinnedStandIn is the table of one.
type pinnedStandIn struct {
	*ebpf.Map
	path string
}

// Update has the stand-in run another program.
func (s *pinnedStandIn) Update(prog *ebpf.Program) error {
	if err := s.Put(uint32(0), prog); err != nil {
		return fmt.Errorf("put the program behind its stand-in: %w", err)
	}
	return nil
}

// remove ends the program, and removes what stood in for it, if the table has no other pin.
func (s *pinnedStandIn) remove() error {
	var st unix.Stat_t
	if err := unix.Stat(s.path, &st); err != nil {
		return err
	}
	if st.Nlink > 1 {
		return os.Remove(s.path)
	}
	if err := s.Delete(uint32(0)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	_, name, err := linkOf(filepath.Base(s.path))
	if err != nil {
		return err
	}
	at, err := hook.Parse(name)
	if err != nil {
		return err
	}
	if sweep := sweepers[at.Kind.Name]; sweep != nil {
		if err := sweep(at); err != nil {
			return err
		}
	}
	return os.Remove(s.path)
}

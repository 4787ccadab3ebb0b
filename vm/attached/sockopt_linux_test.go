package attached

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
)

// An outcome is what a process is told of an option, and what the socket has then.
type outcome struct {
	Err            unix.Errno
	Length         int // of the value that the process is given
	Value          [8]byte
	Priority, Mark uint32
}

// optionAsks are what programs ask of the result that Linux has so far.
var optionAsks = []ask{{"retval", asm.Instructions{asm.FnGetRetval.Call()}}}

// retval is what a program sets the result to.
func retval(n int32) []ask {
	return []ask{{"set retval", asm.Instructions{asm.Mov.Imm(asm.R1, n), asm.FnSetRetval.Call()}}, optionAsks[0]}
}

// TestOptions holds what programs see of options that a process sets and gets, and what
// becomes of these where a program changes or refuses them.
func TestOptions(t *testing.T) {
	g := ownGroup(t)
	const priority, mark = 3, 0x77
	set, get := ebpf.AttachCGroupSetsockopt, ebpf.AttachCGroupGetsockopt
	for _, c := range []struct {
		name   string
		attach ebpf.AttachType
		option int
		value  []byte // of the process: what it sets, or its room
		w      watcher
	}{
		{"set", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 1}},
		{"set what does not exist", set, 9999, []byte{5, 0, 0, 0}, watcher{returns: 1}},
		{"set a longer one", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0, 6, 0, 0, 0}, watcher{returns: 1}},
		{"set another value", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 1, poke: []byte{6, 0, 0, 0}}},
		{"set another option", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 1, stores: []store{{"optname", unix.SO_MARK}}}},
		{"set none", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 1, stores: []store{{"optlen", -1}}}},
		{"set less", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 1, stores: []store{{"optlen", 2}}}},
		{"set too much", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 1, stores: []store{{"optlen", 5000}}}},
		{"set refused", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 0}},
		{"set refused otherwise", set, unix.SO_PRIORITY, []byte{5, 0, 0, 0}, watcher{returns: 0, asks: retval(-int32(unix.EBUSY))}},
		{"get", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 1, asks: optionAsks}},
		{"get with more room", get, unix.SO_PRIORITY, make([]byte, 8), watcher{returns: 1}},
		{"get what does not exist", get, 9999, make([]byte, 4), watcher{returns: 1, asks: optionAsks}},
		{"get what there is not", get, 9999, make([]byte, 4), watcher{returns: 1, poke: []byte{8, 0, 0, 0}, stores: []store{{"retval", 0}}}},
		{"get another value", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 1, poke: []byte{9, 0, 0, 0}}},
		{"get less", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 1, stores: []store{{"optlen", 2}}}},
		{"get too much", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 1, stores: []store{{"optlen", 5000}}}},
		{"get refused", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 0}},
		{"get refused otherwise", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 0, asks: retval(-int32(unix.EBUSY))}},
		{"get in spite of an error", get, 9999, make([]byte, 4), watcher{returns: 1, asks: retval(0)}},
		{"get with an error", get, unix.SO_PRIORITY, make([]byte, 4), watcher{returns: 1, asks: retval(-int32(unix.EBUSY))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.w.asks != nil {
				testenv.KernelFrom(t, 5, 18, "programs of cgroups had no results to ask for")
			}
			network(t)
			fd, s := newSocket(t, families[unix.AF_INET].any, unix.SOCK_DGRAM)
			before := outcome{Priority: priority, Mark: mark}
			for _, o := range [][2]int{{unix.SO_PRIORITY, priority}, {unix.SO_MARK, mark}} {
				if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], o[1]); err != nil {
					t.Fatal(err)
				}
			}
			s.Priority, s.Mark = priority, mark
			w, want := c.w, before
			w.prog, w.attach = ebpf.CGroupSockopt, c.attach
			linux := w.inLinux(t, g.attach(c.attach), func() { want.Err, want.Length, want.Value = optionSyscall(fd, c.attach == set, c.option, c.value) })
			if len(linux) != 1 {
				t.Fatalf("the program ran %d times", len(linux))
			}
			for name, v := range map[int]*uint32{unix.SO_PRIORITY: &want.Priority, unix.SO_MARK: &want.Mark} {
				n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, name)
				if err != nil {
					t.Fatal(err)
				}
				*v = uint32(n)
			}
			length := uint64(len(c.value))
			if c.attach == get {
				length = 4
			}
			linux[0].holds(t, map[string]uint64{"level": unix.SOL_SOCKET, "optname": uint64(c.option), "optlen": length})

			e := event{world: g.world(s), data: c.value, fields: map[string]any{"level": unix.SOL_SOCKET, "optname": c.option, "optlen": len(c.value)}}
			if c.attach == get { // the program runs behind Linux, which gives 4 bytes, or an error
				if c.option == 9999 {
					e.fields["retval"] = -int(unix.ENOPROTOOPT)
				} else {
					e.fields["optlen"] = binary.PutUvarint(e.data, priority) + 3
				}
			}
			machine, out := w.inMachine(t, &e)
			same(t, linux[0], machine)
			if diff := cmp.Diff(want, becomes(c.attach == set, len(c.value), before, out)); diff != "" {
				t.Errorf("what becomes of it: kernel - / machine +\n%s", diff)
			}
		})
	}
}

// optionSyscall sets or gets an option.
func optionSyscall(fd int, set bool, name int, value []byte) (errno unix.Errno, n int, got [8]byte) {
	if set {
		_, _, errno = unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, uintptr(name), uintptr(unsafe.Pointer(&value[0])), uintptr(len(value)), 0)
		return errno, 0, got
	}
	room := uint32(len(value))
	_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, uintptr(name), uintptr(unsafe.Pointer(&got[0])), uintptr(unsafe.Pointer(&room)), 0)
	if errno != 0 {
		return errno, 0, [8]byte{}
	}
	return 0, int(room), got
}

// becomes is what Linux makes of what a program left.
func becomes(set bool, room int, before outcome, out *vm.Output) outcome {
	after := before
	word := func(off int) int { return int(int32(binary.LittleEndian.Uint32(out.Ctx[off:]))) }
	name, length, result := word(28), word(32), word(36)
	for _, e := range out.Effects { // while an option is set, the context does not have it
		if e.What == "set_retval" {
			result = int(int32(e.Args[0]))
		}
	}
	switch {
	case result < 0:
		after.Err = unix.Errno(-result)
	case out.Ret == 0:
		after.Err = unix.EPERM
	case set && length == -1: // the program did it all
	case length < 0, length > max(room, len(out.Data)):
		after.Err = unix.EFAULT
	case !set:
		after.Length = length
		copy(after.Value[:], out.Data[:length])
	case name != unix.SO_PRIORITY && name != unix.SO_MARK:
		after.Err = unix.ENOPROTOOPT
	case length < 4:
		after.Err = unix.EINVAL
	case name == unix.SO_MARK:
		after.Mark = binary.NativeEndian.Uint32(out.Data)
	default:
		after.Priority = binary.NativeEndian.Uint32(out.Data)
	}
	return after
}

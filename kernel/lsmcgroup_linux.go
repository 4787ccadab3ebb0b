package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// progLoad is what BPF_PROG_LOAD reads of union bpf_attr for a program of a security hook.
type progLoad struct {
	typ, count      uint32
	insns, license  *byte
	logLevel, size  uint32
	log             *byte
	_, flags        uint32 // the kernel's version
	name            [unix.BPF_OBJ_NAME_LEN]byte
	_, attach       uint32    // an interface
	_               [2]uint32 // types, and functions by them
	_               uint64
	_               [2]uint32
	_               uint64
	_, attachTypeID uint32
}

// loadLSMCgroup loads a program for processes of cgroups, whose maps are loaded. cilium/ebpf
// does not tell Linux what security hook such a program is for.
func loadLSMCgroup(coll *ebpf.Collection, spec *ebpf.CollectionSpec, name string, opts *Options) (*ebpf.Program, error) {
	img, err := program.Link(spec, name, &opts.Link)
	if err != nil {
		return nil, err
	}
	if len(img.Kfuncs) > 0 {
		return nil, fmt.Errorf("program %s calls kernel functions, which skep does not load for security hooks of cgroups", name)
	}
	types, err := runningTypes.Kernel()
	if err != nil {
		return nil, err
	}
	var to *btf.Func
	if err := types.TypeByName("bpf_lsm_"+img.AttachTo, &to); err != nil {
		return nil, err
	}
	id, err := types.TypeID(to)
	if err != nil {
		return nil, err
	}
	code, err := withMaps(img, coll)
	if err != nil {
		return nil, err
	}
	license := []byte(img.License + "\x00")
	attr := &progLoad{
		typ: uint32(img.Type), count: uint32(len(img.Insns)), insns: &code[0], license: &license[0], flags: img.Flags,
		attach: uint32(img.Attach), attachTypeID: uint32(id),
	}
	copy(attr.name[:len(attr.name)-1], name)
	fd, refused := attr.load()
	if refused == nil {
		return ebpf.NewProgramFromFD(fd)
	}
	log := make([]byte, 1<<20)
	attr.logLevel, attr.size, attr.log = 1, uint32(len(log)), &log[0]
	if fd, refused = attr.load(); refused == nil {
		return ebpf.NewProgramFromFD(fd)
	}
	text, _, _ := bytes.Cut(log, []byte{0})
	said := &ebpf.VerifierError{Cause: refused}
	if len(text) > 0 {
		said.Log = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	return nil, fmt.Errorf("program %s: load program: %w", name, said)
}

// withMaps gives a program's code with the maps of a collection.
func withMaps(img *program.Image, coll *ebpf.Collection) ([]byte, error) {
	insns := append([]isa.Instruction(nil), img.Insns...)
	for i := 0; i < len(insns); i++ {
		ins := &insns[i]
		if !ins.IsWide() {
			continue
		}
		if ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapValue {
			m := coll.Maps[img.Maps[ins.Imm]]
			if m == nil {
				return nil, fmt.Errorf("program %s uses map %s, which was not loaded", img.Name, img.Maps[ins.Imm])
			}
			ins.Imm = int32(m.FD())
		}
		i++
	}
	return isa.Encode(insns), nil
}

func (a *progLoad) load() (fd int, err error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	for _, p := range []*byte{a.insns, a.license, a.log} {
		if p != nil {
			pin.Pin(p)
		}
	}
	for {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a))
		switch {
		case errno == 0:
			return int(fd), nil
		case errors.Is(errno, unix.EAGAIN): // a signal, such as the runtime's, ended the verifier early
			continue
		}
		return 0, errno
	}
}

package helper

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	register(
		&Helper{ID: 166, Name: "bpf_sys_bpf", Func: sysBPF, Args: []Arg{ArgAnything, ArgPtrToMem, ArgConstSize}},
		&Helper{ID: 167, Name: "bpf_btf_find_by_name_kind", Func: findType,
			Args: []Arg{ArgPtrToMem, ArgConstSize, ArgAnything, ArgAnything}},
		&Helper{ID: 168, Name: "bpf_sys_close", Func: sysClose, Args: []Arg{ArgAnything}},
		&Helper{ID: 179, Name: "bpf_kallsyms_lookup_name", Func: lookupSymbol, Asks: "symbols",
			Args: []Arg{ArgPtrToMem, ArgConstSizeOrZero, ArgAnything, ArgPtrToLong}},
	)
}

// enum bpf_cmd, as far as programs may.
const (
	bpfMapCreate         = 0
	bpfMapUpdateElem     = 2
	bpfMapDeleteElem     = 3
	bpfProgLoad          = 5
	bpfMapGetFDByID      = 14
	bpfRawTracepointOpen = 17
	bpfBTFLoad           = 18
	bpfMapFreeze         = 22
	bpfLinkCreate        = 28
)

func sysBPF(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	switch cmd := uint32(r1); cmd {
	case bpfMapCreate, bpfMapUpdateElem, bpfMapDeleteElem, bpfProgLoad, bpfMapGetFDByID,
		bpfRawTracepointOpen, bpfBTFLoad, bpfMapFreeze, bpfLinkCreate:
		if s.Env.Syscalls == nil {
			return errno.EPERM.Ret()
		}
		fd, err := s.Env.Syscalls.BPF(s, cmd, view(r2, uint64(uint32(r3))))
		if err != nil {
			return status(err)
		}
		return uint64(fd)
	}
	return errno.EINVAL.Ret()
}

func sysClose(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if s.Env.Syscalls == nil {
		return errno.EBADF.Ret()
	}
	return status(s.Env.Syscalls.Close(uint32(r1)))
}

// nameArg is a name that is as long as its size says.
func nameArg(addr, size uint64) (string, bool) {
	b := view(addr, uint64(uint32(size)))
	if len(b) <= 1 || b[len(b)-1] != 0 {
		return "", false
	}
	return string(cString(b)), true
}

// findType gives the number of the first of the kernel's types of a name and kind.
func findType(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	name, ok := nameArg(r1, r2)
	if !ok || r4 != 0 {
		return errno.EINVAL.Ret()
	}
	if s.Env.Types == nil {
		return errno.ENOENT.Ret()
	}
	all, err := s.Env.Types.AnyTypesByName(name)
	if err != nil {
		return errno.ENOENT.Ret()
	}
	found := uint64(0)
	for _, typ := range all {
		id, err := s.Env.Types.TypeID(typ)
		if err == nil && kindOf(typ) == uint32(r3) && (found == 0 || uint64(id) < found) {
			found = uint64(id)
		}
	}
	if found == 0 {
		return errno.ENOENT.Ret()
	}
	return found
}

// kindOf is the kind of a type that has a name, BTF_KIND_*; 0 of any other.
func kindOf(typ btf.Type) uint32 {
	switch t := typ.(type) {
	case *btf.Int:
		return 1
	case *btf.Struct:
		return 4
	case *btf.Union:
		return 5
	case *btf.Enum:
		if t.Size == 8 {
			return 19
		}
		return 6
	case *btf.Fwd:
		return 7
	case *btf.Typedef:
		return 8
	case *btf.Func:
		return 12
	case *btf.Var:
		return 14
	case *btf.Datasec:
		return 15
	case *btf.Float:
		return 16
	}
	return 0
}

func lookupSymbol(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	res := at[uint64](r4)
	*res = 0
	name, ok := nameArg(r1, r2)
	if !ok || r3 != 0 {
		return errno.EINVAL.Ret()
	}
	if *res, ok = s.Env.Symbols[name]; !ok {
		return errno.ENOENT.Ret()
	}
	return 0
}

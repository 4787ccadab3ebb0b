package helper

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
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

// sysBPF does what bpf(2) does to the elements of maps that are open. Programs
// make no maps, programs or links here (EPERM). The other commands are for no
// program.
func sysBPF(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	const (
		mapCreate, update, del, progLoad, mapByID, tracepointOpen, btfLoad, freeze, linkCreate = 0, 2, 3, 5, 14, 17, 18, 22, 28

		attrSize = 32 // map_fd u32, key, value, flags u64
	)
	attr := view(r2, uint64(uint32(r3)))
	cmd := uint32(r1)
	switch cmd {
	case update, del, freeze:
	case mapCreate, progLoad, mapByID, tracepointOpen, btfLoad, linkCreate:
		return errno.EPERM.Ret()
	default:
		return errno.EINVAL.Ret()
	}
	if len(attr) < attrSize {
		return errno.EINVAL.Ret()
	}
	m := maps.Get(maps.Handle(le.Uint32(attr)))
	if m == nil {
		return errno.EBADF.Ret()
	}
	if cmd == freeze {
		return status(m.Freeze())
	}
	key := make([]byte, m.Info().KeySize)
	if _, ok := copyMemory(s, kernelOrUser, key, le.Uint64(attr[8:])); !ok {
		return errno.EFAULT.Ret()
	}
	if cmd == del {
		return status(m.UserDelete(key))
	}
	flags := le.Uint64(attr[24:])
	value := make([]byte, m.Info().ValueSizeUnder(flags))
	if _, ok := copyMemory(s, kernelOrUser, value, le.Uint64(attr[16:])); !ok {
		return errno.EFAULT.Ret()
	}
	return status(m.UserUpdate(key, value, flags))
}

// sysClose finds no file descriptors of programs' own.
func sysClose(*exec.State, uint64, uint64, uint64, uint64, uint64) uint64 { return errno.EBADF.Ret() }

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

package helper

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Helpers that print memory as a value of one of the kernel's types, which the
// program names by its number: as it was relocated, in Env.Types.

func init() {
	register(
		&Helper{ID: 149, Name: "bpf_snprintf_btf", Func: snprintfBTF,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSize, ArgPtrToMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 150, Name: "bpf_seq_printf_btf", Func: seqPrintfBTF,
			Args: []Arg{ArgPtrToBTF, ArgPtrToMem, ArgConstSizeOrZero, ArgAnything}},
	)
}

// snprintfBTF gives the length of the whole text, of which the buffer takes what
// it has room for.
func snprintfBTF(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	text, err := showTyped(s, r3, uint32(r4), r5)
	if err != 0 {
		return err.Ret()
	}
	p := printer{buf: view(r1, uint64(uint32(r2)))}
	p.write(text)
	p.text()
	return uint64(len(text))
}

func seqPrintfBTF(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	text, err := showTyped(s, r2, uint32(r3), r4)
	if err != 0 {
		return err.Ret()
	}
	return seqWriteBytes(s, text)
}

// showTyped is the text of what a struct btf_ptr leads to.
func showTyped(s *exec.State, ptr uint64, size uint32, flags uint64) ([]byte, errno.Errno) {
	const btfPtrSize = 16 // address 8, type's number 4, flags 4
	p := view(ptr, uint64(size))
	if flags&^showAll != 0 || len(p) != btfPtrSize || s.Env.Types == nil {
		return nil, errno.EINVAL
	}
	addr, id := le.Uint64(p), le.Uint32(p[8:])
	if id == 0 {
		return nil, errno.EINVAL
	}
	typ, err := s.Env.Types.TypeByID(btf.TypeID(id))
	if err != nil {
		return nil, errno.ENOENT
	}
	b, e := typedMemory(s, addr, typ)
	if e != 0 {
		return nil, e
	}
	show := typeShow{flags: flags, data: b}
	show.value(typ, 0, 0)
	return show.text, 0
}

// typedMemory copies a value of a type; none of what has no size.
func typedMemory(s *exec.State, addr uint64, typ btf.Type) ([]byte, errno.Errno) {
	switch btf.UnderlyingType(typ).(type) {
	case *btf.Void, *btf.Var, *btf.Datasec:
		return nil, errno.EINVAL
	case *btf.Fwd, *btf.Func, *btf.FuncProto, *btf.Float:
		return nil, 0
	}
	const (
		most = 1 << 20 // bytes; the kernel's largest structures are far smaller
		user = 1 << 47 // addresses below are a process's
	)
	size, err := btf.Sizeof(typ)
	if err != nil || size > most {
		return nil, errno.EINVAL
	}
	b := make([]byte, size)
	if _, ok := copyMemory(s, kernelMemory, b, addr); !ok {
		if addr < user {
			return nil, errno.ERANGE
		}
		return nil, errno.EFAULT
	}
	return b, 0
}

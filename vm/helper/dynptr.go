package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// dynptr is a struct bpf_dynptr on a program's stack, in the kernel's layout
// (struct bpf_dynptr_kern).
type dynptr struct {
	// data is the memory's address, or for a packet the context's; 0: there is
	// none.
	data uint64
	// size is the bytes that the dynptr reaches in its lower 24 bits, and above
	// them what it is.
	size   uint32
	offset uint32 // of the first byte, from data
}

const (
	dynptrMaxSize  = 1<<24 - 1
	dynptrKind     = 7 << 28
	dynptrReadOnly = 1 << 31
)

// The kinds of dynptrs (enum bpf_dynptr_type), in their place in size.
const (
	dynptrLocal   = 1 << 28
	dynptrRingbuf = 2 << 28
	dynptrSKB     = 3 << 28
	dynptrXDP     = 4 << 28
	dynptrMeta    = 5 << 28
	dynptrFile    = 6 << 28 // data is the number of a part of a file: State.Files
)

func dynptrAt(addr uint64) *dynptr { return at[dynptr](addr) }

func (d *dynptr) kind() uint32 { return d.size & dynptrKind }

func (d *dynptr) readOnly() bool { return d.size&dynptrReadOnly != 0 }

func (d *dynptr) len() uint32 { return d.size & dynptrMaxSize }

func (d *dynptr) setLen(n uint32) { d.size = d.size&^dynptrMaxSize | n }

// has reports whether n bytes at an offset are the dynptr's. Of a file, reading tells.
func (d *dynptr) has(offset, n uint32) bool {
	return d.kind() == dynptrFile || n <= d.len() && offset <= d.len()-n
}

// NewDynptr gives the bytes of a dynptr to memory that a callback may read, for
// [exec.Record.Dynptr].
func NewDynptr(b []byte, addr uintptr, size uint32) {
	*at[dynptr](addressOf(b)) = dynptr{data: uint64(addr), size: dynptrLocal | dynptrReadOnly | size}
}

func init() {
	register(
		&Helper{ID: 197, Name: "bpf_dynptr_from_mem", Func: dynptrFromMem,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything, ArgPtrToUninitSlot}},
		&Helper{ID: 198, Name: "bpf_ringbuf_reserve_dynptr", Func: ringbufReserveDynptr, Flags: Acquire,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgAnything, ArgPtrToUninitSlot}},
		&Helper{ID: 199, Name: "bpf_ringbuf_submit_dynptr", Func: ringbufSubmitDynptr, Flags: Release,
			Args: []Arg{ArgPtrToReleasedSlot, ArgAnything}, Ret: RetVoid},
		&Helper{ID: 200, Name: "bpf_ringbuf_discard_dynptr", Func: ringbufDiscardDynptr, Flags: Release,
			Args: []Arg{ArgPtrToReleasedSlot, ArgAnything}, Ret: RetVoid},
		&Helper{ID: 201, Name: "bpf_dynptr_read", Func: dynptrReadHelper,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgPtrToSlot, ArgAnything, ArgAnything}},
		&Helper{ID: 202, Name: "bpf_dynptr_write", Func: dynptrWriteHelper,
			Args: []Arg{ArgPtrToSlot, ArgAnything, ArgPtrToMem, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 203, Name: "bpf_dynptr_data", Func: dynptrData, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToSlot, ArgAnything, ArgConstAllocSize}},
	)
	registerKfuncs("6.4",
		&Helper{Name: "bpf_dynptr_from_skb", Func: dynptrFromPacket(dynptrSKB), Types: kfuncsSKB,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitSlot}},
		&Helper{Name: "bpf_dynptr_from_xdp", Func: dynptrFromPacket(dynptrXDP), Types: kfuncsXDP,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgPtrToUninitSlot}},
		&Helper{Name: "bpf_dynptr_slice", Func: dynptrSlice, Flags: RetNull, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToSlot, ArgAnything, ArgPtrToBufferOrNull, ArgConstSizeOrZero}},
		&Helper{Name: "bpf_dynptr_slice_rdwr", Func: dynptrSliceRdwr, Flags: RetNull, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToSlot, ArgAnything, ArgPtrToBufferOrNull, ArgConstSizeOrZero}},
	)
	registerKfuncs("6.5",
		&Helper{Name: "bpf_dynptr_adjust", Func: dynptrAdjust, Args: []Arg{ArgPtrToSlot, ArgAnything, ArgAnything}},
		&Helper{Name: "bpf_dynptr_is_null", Func: dynptrIsNull, Args: []Arg{ArgPtrToSlot}},
		&Helper{Name: "bpf_dynptr_is_rdonly", Func: dynptrIsRdonly, Args: []Arg{ArgPtrToSlot}},
		&Helper{Name: "bpf_dynptr_size", Func: dynptrSize, Args: []Arg{ArgPtrToSlot}},
		&Helper{Name: "bpf_dynptr_clone", Func: dynptrClone, Args: []Arg{ArgPtrToSlot, ArgPtrToUninitSlot}},
	)
	registerKfuncs("6.16",
		&Helper{Name: "bpf_dynptr_copy", Func: dynptrCopy,
			Args: []Arg{ArgPtrToSlot, ArgAnything, ArgPtrToSlot, ArgAnything, ArgAnything}},
	)
	registerKfuncs("6.17",
		&Helper{Name: "bpf_dynptr_memset", Func: dynptrMemset,
			Args: []Arg{ArgPtrToSlot, ArgAnything, ArgAnything, ArgAnything}},
	)
}

func dynptrFromMem(_ *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	d := dynptrAt(r4)
	*d = dynptr{}
	switch {
	case uint32(r2) > dynptrMaxSize:
		return errno.E2BIG.Ret()
	case r3 != 0:
		return errno.EINVAL.Ret()
	}
	*d = dynptr{data: r1, size: dynptrLocal | uint32(r2)}
	return 0
}

func dynptrFromPacket(kind uint32) Func {
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		d := dynptrAt(r3)
		*d = dynptr{}
		if r2 != 0 {
			return errno.EINVAL.Ret()
		}
		*d = dynptr{data: r1, size: kind | uint32(s.Packet.Len())}
		if s.Packet.ReadOnly {
			d.size |= dynptrReadOnly
		}
		return 0
	}
}

func ringbufReserveDynptr(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	d := dynptrAt(r4)
	*d = dynptr{}
	m, ok := mapOf(r1).(*maps.Ringbuf)
	switch {
	case !ok || r3 != 0:
		return errno.EINVAL.Ret()
	case uint32(r2) > dynptrMaxSize:
		return errno.E2BIG.Ret()
	}
	addr := m.Reserve(uint64(uint32(r2)))
	if addr == 0 {
		return errno.EINVAL.Ret()
	}
	s.Acquire(exec.Record{Addr: addr, Size: uintptr(uint32(r2)), Map: m.Info().Handle})
	*d = dynptr{data: uint64(addr), size: dynptrRingbuf | uint32(r2)}
	return 0
}

func ringbufSubmitDynptr(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	d := dynptrAt(r1)
	if d.data != 0 {
		ringbufSubmit(s, d.data, r2, 0, 0, 0)
		*d = dynptr{}
	}
	return 0
}

func ringbufDiscardDynptr(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	d := dynptrAt(r1)
	if d.data != 0 {
		ringbufDiscard(s, d.data, r2, 0, 0, 0)
		*d = dynptr{}
	}
	return 0
}

func dynptrReadHelper(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	if r5 != 0 {
		return errno.EINVAL.Ret()
	}
	to, d := view(r1, uint64(uint32(r2))), dynptrAt(r3)
	if v := d.file(s); v != nil {
		return readFile(v, to, r4)
	}
	return dynptrRead(s, to, d, uint32(r4))
}

// dynptrRead copies bytes at an offset of a dynptr to b.
func dynptrRead(s *exec.State, b []byte, d *dynptr, offset uint32) uint64 {
	n := uint32(len(b))
	switch {
	case d.data == 0:
		return errno.EINVAL.Ret()
	case !d.has(offset, n):
		return errno.E2BIG.Ret()
	}
	if v := d.file(s); v != nil {
		return readFile(v, b, uint64(offset))
	}
	from := uint64(d.offset + offset)
	switch d.kind() {
	case dynptrSKB:
		return skbLoadBytes(s, d.data, from, addressOf(b), uint64(n), 0)
	case dynptrXDP:
		return xdpLoadBytes(s, d.data, from, addressOf(b), uint64(n), 0)
	case dynptrMeta:
		copy(b, mem.View(s.Packet.Meta+uintptr(from), int(n)))
		return 0
	}
	copy(b, view(d.data+from, uint64(n)))
	return 0
}

func dynptrWriteHelper(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	return dynptrWrite(s, dynptrAt(r1), uint32(r2), view(r3, uint64(uint32(r4))), r5)
}

// dynptrWrite copies b to an offset of a dynptr.
func dynptrWrite(s *exec.State, d *dynptr, offset uint32, b []byte, flags uint64) uint64 {
	n := uint32(len(b))
	switch {
	case d.data == 0 || d.readOnly():
		return errno.EINVAL.Ret()
	case !d.has(offset, n):
		return errno.E2BIG.Ret()
	}
	to := uint64(d.offset + offset)
	switch {
	case d.kind() == dynptrSKB:
		return skbStoreBytes(s, d.data, to, addressOf(b), uint64(n), flags)
	case flags != 0:
		return errno.EINVAL.Ret()
	case d.kind() == dynptrXDP:
		return xdpStoreBytes(s, d.data, to, addressOf(b), uint64(n), 0)
	case d.kind() == dynptrMeta:
		copy(mem.View(s.Packet.Meta+uintptr(to), int(n)), b)
		return 0
	}
	copy(view(d.data+to, uint64(n)), b)
	return 0
}

// dynptrData gives the address of bytes that lie in one piece for good.
func dynptrData(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	d := dynptrAt(r1)
	if d.data == 0 || !d.has(uint32(r2), uint32(r3)) || d.readOnly() {
		return 0
	}
	switch d.kind() {
	case dynptrLocal, dynptrRingbuf:
		return gives(s, uintptr(d.data)+uintptr(d.offset)+uintptr(uint32(r2)))
	}
	return 0
}

// dynptrSlice gives the address of n bytes at an offset, or copies them into the
// buffer where they do not lie in one piece.
func dynptrSlice(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	d, offset, n := dynptrAt(r1), uint32(r2), uint32(r4)
	if addr := d.slice(s, offset, n); addr != 0 {
		return gives(s, addr)
	}
	if r3 == 0 {
		return 0
	}
	to, read := view(r3, uint64(n)), uint64(0)
	if v := d.file(s); v != nil {
		read = readFile(v, to, r2)
	} else {
		read = dynptrRead(s, to, d, offset)
	}
	if read != 0 {
		return 0
	}
	return gives(s, uintptr(r3))
}

// slice is the address of n bytes at an offset, or 0 where there are not so many
// or they do not lie in one piece.
func (d *dynptr) slice(s *exec.State, offset, n uint32) uintptr {
	if d.data == 0 || !d.has(offset, n) {
		return 0
	}
	from := uintptr(d.offset) + uintptr(offset)
	switch d.kind() {
	case dynptrFile:
		return 0
	case dynptrSKB, dynptrXDP:
		p := &s.Packet
		if from+uintptr(n) > p.DataEnd-p.Data {
			return 0
		}
		return p.Data + from
	case dynptrMeta:
		return s.Packet.Meta + from
	}
	return uintptr(d.data) + from
}

// writable is slice for memory that may be written to.
func (d *dynptr) writable(s *exec.State, offset, n uint32) uintptr {
	if d.readOnly() {
		return 0
	}
	return d.slice(s, offset, n)
}

func dynptrSliceRdwr(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	if d := dynptrAt(r1); d.data == 0 || d.readOnly() {
		return 0
	}
	return dynptrSlice(s, r1, r2, r3, r4, r5)
}

func dynptrAdjust(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	d, start, end := dynptrAt(r1), uint32(r2), uint32(r3)
	if v := d.file(s); v != nil {
		return adjustFile(v, r2, r3)
	}
	switch {
	case d.data == 0 || start > end:
		return errno.EINVAL.Ret()
	case start > d.len() || end > d.len():
		return errno.ERANGE.Ret()
	}
	d.offset += start
	d.setLen(end - start)
	return 0
}

func dynptrIsNull(_ *exec.State, r1, _, _, _, _ uint64) uint64 { return truth(dynptrAt(r1).data == 0) }

func dynptrIsRdonly(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	d := dynptrAt(r1)
	return truth(d.data != 0 && d.readOnly())
}

func dynptrSize(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	d := dynptrAt(r1)
	if v := d.file(s); v != nil {
		return v.Size
	}
	if d.data == 0 {
		return uint64(uint32(errno.EINVAL.Ret()))
	}
	return uint64(d.len())
}

func dynptrClone(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
	d, clone := dynptrAt(r1), dynptrAt(r2)
	*clone = *d
	if d.data == 0 {
		*clone = dynptr{}
		return errno.EINVAL.Ret()
	}
	return 0
}

// dynptrCopy copies r5 bytes between dynptrs, which may share memory where both
// lie in one piece. The errors and their order are Linux's.
func dynptrCopy(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	dst, src := dynptrAt(r1), dynptrAt(r3)
	to, from, n := uint32(r2), uint32(r4), uint32(r5)
	in := src.slice(s, from, n)
	switch out := dst.writable(s, to, n); {
	case in != 0:
		return dynptrWrite(s, dst, to, view(uint64(in), uint64(n)), 0)
	case out != 0:
		return dynptrRead(s, view(uint64(out), uint64(n)), src, from)
	case !dst.has(to, n) || !src.has(from, n):
		return errno.E2BIG.Ret()
	}
	return inChunks(s, n, func(b []byte, at uint32) uint64 {
		if ret := dynptrRead(s, b, src, from+at); ret != 0 {
			return ret
		}
		return dynptrWrite(s, dst, to+at, b, 0)
	})
}

// dynptrMemset fills r3 bytes at an offset with a value.
func dynptrMemset(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	d, offset, n := dynptrAt(r1), uint32(r2), uint32(r3)
	switch {
	case d.readOnly():
		return errno.EINVAL.Ret()
	case !d.has(offset, n):
		return errno.E2BIG.Ret()
	}
	return inChunks(s, n, func(b []byte, at uint32) uint64 {
		for i := range b {
			b[i] = byte(r4)
		}
		return dynptrWrite(s, d, offset+at, b, 0)
	})
}

// inChunks calls f with a buffer for each part of n bytes, until it gives other
// than 0.
func inChunks(s *exec.State, n uint32, f func(b []byte, at uint32) uint64) uint64 {
	const chunk = 256
	buf, prov := s.Lend(chunk)
	if buf == nil {
		return errno.ENOMEM.Ret()
	}
	defer s.Return(buf, prov)
	for at := uint32(0); at < n; at += chunk {
		if ret := f(buf[:min(chunk, n-at)], at); ret != 0 {
			return ret
		}
	}
	return 0
}

package helper

import (
	"math"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Dynptrs to what files hold. Offsets and sizes have 64 bits there, so that they lie
// in the state and not in the dynptr, and a clone shares them.

func init() {
	registerKfuncs("6.19",
		&Helper{Name: "bpf_dynptr_from_file", Func: dynptrFromFile, Flags: Acquire, Asks: asksFiles,
			Args: []Arg{ArgPtrToBTF, ArgAnything, ArgPtrToUninitSlot}},
		&Helper{Name: "bpf_dynptr_file_discard", Func: dynptrFileDiscard, Flags: Release, Asks: asksFiles,
			Args: []Arg{ArgPtrToReleasedSlot}},
	)
}

func dynptrFromFile(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	d := dynptrAt(r3)
	*d = dynptr{}
	if uint32(r2) != 0 {
		return result32(negative(errno.EINVAL))
	}
	s.Files = append(s.Files, exec.FileView{File: fileAt(s, r1), Size: math.MaxUint64})
	*d = dynptr{data: uint64(len(s.Files)), size: dynptrFile | dynptrReadOnly}
	return 0
}

func dynptrFileDiscard(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	*dynptrAt(r1) = dynptr{}
	return 0
}

// file is the part of a file that a dynptr shows; nil where it is to something else.
func (d *dynptr) file(s *exec.State) *exec.FileView {
	if d.kind() != dynptrFile || d.data == 0 || d.data > uint64(len(s.Files)) {
		return nil
	}
	return &s.Files[d.data-1]
}

// readFile copies what a file holds at an offset of a view to b, as for programs that may
// sleep: for others Linux reads pages that are in memory, the last one to its end.
func readFile(v *exec.FileView, b []byte, offset uint64) uint64 {
	n := uint64(len(b))
	if n > v.Size || offset > v.Size-n {
		return errno.E2BIG.Ret()
	}
	at, size := v.Offset+offset, uint64(len(v.File.Data))
	switch {
	case at+n < at:
		return errno.EOVERFLOW.Ret()
	case n > 0 && (at > size || n > size-at):
		return errno.EIO.Ret()
	}
	copy(b, v.File.Data[min(at, size):])
	return 0
}

// adjustFile makes a view the part from start to end of itself.
func adjustFile(v *exec.FileView, start, end uint64) uint64 {
	switch {
	case start > end:
		return errno.EINVAL.Ret()
	case start > v.Size || end > v.Size:
		return errno.ERANGE.Ret()
	}
	v.Offset, v.Size = v.Offset+start, end-start
	return 0
}

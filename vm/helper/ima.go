package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	const asks = "measurements"
	register(
		&Helper{ID: 161, Name: "bpf_ima_inode_hash", Func: imaHash, Asks: asks,
			Args: []Arg{ArgPtrToBTF, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 193, Name: "bpf_ima_file_hash", Func: imaHash, Asks: asks,
			Args: []Arg{ArgPtrToBTF, ArgPtrToUninitMem, ArgConstSize}},
	)
}

// imaHash writes as much of a file's hash as there is room for, and gives its algorithm.
func imaHash(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if r1 == 0 {
		return errno.EINVAL.Ret()
	}
	m, ok := s.Env.Measurements[r1]
	if !ok {
		return errno.EOPNOTSUPP.Ret()
	}
	copy(view(r2, uint64(uint32(r3))), m.Digest)
	return uint64(m.Algorithm)
}

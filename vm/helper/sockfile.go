package helper

import (
	"sync"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	register(&Helper{ID: 162, Name: "bpf_sock_from_file", Func: sockFromFile, Args: []Arg{ArgPtrToBTF}, Ret: RetPtrToBTF})
}

// fileLayout is where the kernel's types have what tells a socket's file.
type fileLayout struct {
	inode, private, mode uint32
	known                bool
}

var fileLayouts sync.Map // *btf.Spec to fileLayout

func fileLayoutOf(types *btf.Spec) fileLayout {
	if l, ok := fileLayouts.Load(types); ok {
		return l.(fileLayout)
	}
	var l fileLayout
	var file, inode *btf.Struct
	if types != nil && types.TypeByName("file", &file) == nil && types.TypeByName("inode", &inode) == nil {
		var a, b, c bool
		l.inode, a = offsetIn(file, "f_inode")
		l.private, b = offsetIn(file, "private_data")
		l.mode, c = offsetIn(inode, "i_mode")
		l.known = a && b && c
	}
	fileLayouts.Store(types, l)
	return l
}

// sockFromFile gives the struct socket of a struct file that is a socket's, which its
// inode says: no other file with such an inode can be open.
func sockFromFile(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	const format, socket = 0o170000, 0o140000 // S_IFMT, S_IFSOCK
	l := fileLayoutOf(s.Env.Types)
	if !l.known {
		return 0
	}
	word := func(addr uint64) uint64 {
		var b [8]byte
		if !s.Env.Objects.Read(addr, b[:], false) {
			return 0
		}
		return le.Uint64(b[:])
	}
	if word(word(r1+uint64(l.inode))+uint64(l.mode))&format != socket {
		return 0
	}
	return word(r1 + uint64(l.private))
}

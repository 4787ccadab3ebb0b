package helper

import (
	"bytes"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// What programs of TCP's events do with a header's options. The packet is the
// segment from its TCP header on.

func init() {
	register(
		&Helper{ID: 59, Name: "bpf_sock_ops_cb_flags_set", Func: setCallbacks, Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 142, Name: "bpf_load_hdr_opt", Func: loadOption,
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 143, Name: "bpf_store_hdr_opt", Func: storeOption,
			Args: []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything}},
		&Helper{ID: 144, Name: "bpf_reserve_hdr_opt", Func: reserveOption,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
		&Helper{ID: 116, Name: "bpf_tcp_send_ack", Func: sendAck, Args: []Arg{ArgPtrToBTF, ArgAnything}},
	)
}

// Places in struct bpf_sock_ops.
const (
	opsOp         = 0
	opsIsFullsock = 72
	opsFlags      = 84
)

// Operations that concern options, and TCP's own kinds of them.
const (
	opHeaderLen, opWriteHeader        = 14, 15 // BPF_SOCK_OPS_HDR_OPT_LEN_CB, _WRITE_HDR_OPT_CB
	optEnd, optNoop, optExp, optOther = 0, 1, 254, 253
	maxOptions                        = 40 // bytes
)

func setCallbacks(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	const known = 0x7f
	ctx := progtype.Seen(s)
	if le.Uint32(ctx[opsIsFullsock:]) == 0 {
		return errno.EINVAL.Ret()
	}
	le.PutUint32(ctx[opsFlags:], uint32(r2)&known)
	return uint64(uint32(r2) &^ known)
}

// magicOf is what an experimental option begins with.
func magicOf(opt []byte) ([]byte, bool) {
	switch opt[0] {
	case optEnd, optNoop:
		return nil, false
	case optExp, optOther:
		if n := int(opt[1]); (n == 4 || n == 6) && n <= len(opt) {
			return opt[2:n], true
		}
		return nil, false
	}
	return nil, opt[1] == 0
}

// findOption looks for an option: EFAULT in a header that is broken, ENOMSG where
// there is none.
func findOption(s *exec.State, kind byte, magic []byte) ([]byte, errno.Errno) {
	p := &s.Packet
	if p.Len() < tcpHeader {
		return nil, errno.ENOMSG
	}
	opts := mem.View(p.Data, p.Len())[tcpHeader:]
	for len(opts) > 0 {
		switch {
		case opts[0] == optEnd:
			return nil, errno.ENOMSG
		case opts[0] == optNoop:
			opts = opts[1:]
			continue
		case len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts):
			return nil, errno.EFAULT
		case opts[0] == kind && bytes.HasPrefix(opts[2:opts[1]], magic):
			return opts[:opts[1]], 0
		}
		opts = opts[opts[1]:]
	}
	return nil, errno.ENOMSG
}

func loadOption(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const ofSYN = 1 // BPF_LOAD_HDR_OPT_TCP_SYN
	search := view(r2, uint64(uint32(r3)))
	if len(search) < 2 || r4&^ofSYN != 0 {
		return errno.EINVAL.Ret()
	}
	magic, ok := magicOf(search)
	switch {
	case !ok:
		return errno.EINVAL.Ret()
	case r4 == ofSYN:
		return errno.ENOENT.Ret() // none was saved
	case s.Packet.Len() == 0 || le.Uint32(progtype.Seen(s)[opsOp:]) == opHeaderLen:
		return errno.EPERM.Ret()
	}
	opt, err := findOption(s, search[0], magic)
	if err != 0 {
		return err.Ret()
	}
	if copy(search, opt) < len(opt) {
		return errno.ENOSPC.Ret()
	}
	return uint64(len(opt))
}

// storeOption notes an option that the program puts into a segment that is being
// made: the segment itself is not here.
func storeOption(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	opt := view(r2, uint64(uint32(r3)))
	switch {
	case le.Uint32(progtype.Seen(s)[opsOp:]) != opWriteHeader:
		return errno.EPERM.Ret()
	case len(opt) < 2 || r4 != 0:
		return errno.EINVAL.Ret()
	}
	kind, n := opt[0], int(opt[1])
	switch {
	case n < 2 || n > len(opt) || kind == optNoop || kind == optEnd, (kind == optExp || kind == optOther) && n < 4:
		return errno.EINVAL.Ret()
	case n > maxOptions:
		return errno.ENOSPC.Ret()
	}
	var magic []byte
	if kind == optExp || kind == optOther {
		magic = opt[2:4]
	}
	if _, err := findOption(s, kind, magic); err == 0 {
		return errno.EEXIST.Ret()
	}
	s.Act("store_hdr_opt", uint64(kind), uint64(n))
	return 0
}

func reserveOption(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	n := uint32(r2)
	switch {
	case le.Uint32(progtype.Seen(s)[opsOp:]) != opHeaderLen:
		return errno.EPERM.Ret()
	case r3 != 0 || n < 2:
		return errno.EINVAL.Ret()
	case n > maxOptions:
		return errno.ENOSPC.Ret()
	}
	s.Act("reserve_hdr_opt", uint64(n))
	return 0
}

func sendAck(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	s.Act("tcp_send_ack", uint64(uint32(r2)))
	return 0
}

package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// The machine has no sockets, so that every search for one ends in NULL, as it
// may in Linux, and what a program does with one is not reached.

func init() {
	lookup := []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything, ArgAnything}
	socket := []Arg{ArgAnything}
	register(
		&Helper{ID: 84, Name: "bpf_sk_lookup_tcp", Func: noop, Args: lookup, Ret: RetPtrToMemOrNull},
		&Helper{ID: 85, Name: "bpf_sk_lookup_udp", Func: noop, Args: lookup, Ret: RetPtrToMemOrNull},
		&Helper{ID: 86, Name: "bpf_sk_release", Func: noop, Args: socket},
		&Helper{ID: 95, Name: "bpf_sk_fullsock", Func: noop, Args: socket, Ret: RetPtrToMemOrNull},
		&Helper{ID: 96, Name: "bpf_tcp_sock", Func: noop, Args: socket, Ret: RetPtrToMemOrNull},
		&Helper{ID: 98, Name: "bpf_get_listener_sock", Func: noop, Args: socket, Ret: RetPtrToMemOrNull},
		&Helper{ID: 99, Name: "bpf_skc_lookup_tcp", Func: noop, Args: lookup, Ret: RetPtrToMemOrNull},
		&Helper{ID: 100, Name: "bpf_tcp_check_syncookie", Func: noSocket,
			Args: []Arg{ArgAnything, ArgPtrToMem, ArgConstSize, ArgPtrToMem, ArgConstSize}},
		&Helper{ID: 110, Name: "bpf_tcp_gen_syncookie", Func: noSocket,
			Args: []Arg{ArgAnything, ArgPtrToMem, ArgConstSize, ArgPtrToMem, ArgConstSize}},
		&Helper{ID: 124, Name: "bpf_sk_assign", Func: noSocket,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything}},
	)
}

func noSocket(*exec.State, uint64, uint64, uint64, uint64, uint64) uint64 { return errno.EINVAL.Ret() }

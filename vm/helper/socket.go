package helper

// The machine has no sockets, so that every search for one ends in NULL, as it
// may in Linux. What programs then do not get to call need not be here.

func init() {
	lookup := []Arg{ArgPtrToCtx, ArgPtrToMem, ArgConstSize, ArgAnything, ArgAnything}
	socket := []Arg{ArgAnything}
	register(
		&Helper{ID: 84, Name: "bpf_sk_lookup_tcp", Func: noop, Args: lookup, Ret: RetPtrToMemOrNull, Types: typesWithSockets},
		&Helper{ID: 85, Name: "bpf_sk_lookup_udp", Func: noop, Args: lookup, Ret: RetPtrToMemOrNull, Types: typesWithSockets},
		&Helper{ID: 86, Name: "bpf_sk_release", Func: noop, Args: socket, Types: typesWithSockets},
		&Helper{ID: 95, Name: "bpf_sk_fullsock", Func: noop, Args: socket, Ret: RetPtrToMemOrNull, Types: typesTCCgroup},
		&Helper{ID: 96, Name: "bpf_tcp_sock", Func: noop, Args: socket, Ret: RetPtrToMemOrNull, Types: typesTCCgroup},
		&Helper{ID: 98, Name: "bpf_get_listener_sock", Func: noop, Args: socket, Ret: RetPtrToMemOrNull, Types: typesTCCgroup},
		&Helper{ID: 99, Name: "bpf_skc_lookup_tcp", Func: noop, Args: lookup, Ret: RetPtrToMemOrNull, Types: typesWithSockets},
	)
}

package verifier

import "strings"

// typeNames are the kinds of registers as Linux's log writes them.
var typeNames = [...]string{
	NotInit: "?", Scalar: "scalar", PtrToCtx: "ctx", ConstPtrToMap: "map_ptr", PtrToMapValue: "map_value",
	PtrToMapKey: "map_key", PtrToStack: "fp", PtrToPacketMeta: "pkt_meta", PtrToPacket: "pkt",
	PtrToPacketEnd: "pkt_end", PtrToFlowKeys: "flow_keys", PtrToSocket: "sock", PtrToSockCommon: "sock_common",
	PtrToTCPSock: "tcp_sock", PtrToTPBuffer: "tp_buffer", PtrToXDPSock: "xdp_sock", PtrToBTF: "ptr_",
	PtrToMem: "mem", PtrToArena: "arena", PtrToBuf: "buf", PtrToFunc: "func", ConstPtrToDynptr: "dynptr_ptr",
	PtrToInsn: "insn",
}

// typePrefixes are the flags that the log writes before a kind, in its order.
var typePrefixes = []struct {
	flag RegFlags
	name string
}{
	{Readonly, "rdonly_"}, {Ringbuf, "ringbuf_"}, {UserMem, "user_"}, {PerCPU, "percpu_"}, {RCU, "rcu_"},
	{Untrusted, "untrusted_"}, {Trusted, "trusted_"},
}

// typeName is a kind of register with its flags as Linux's log writes it:
// "rdonly_mem_or_null".
func typeName(t RegType, flags RegFlags) string {
	var b strings.Builder
	for _, p := range typePrefixes {
		if flags&p.flag != 0 {
			b.WriteString(p.name)
		}
	}
	b.WriteString(typeNames[t])
	switch {
	case flags&MaybeNull == 0:
	case t == PtrToBTF:
		b.WriteString("or_null_")
	default:
		b.WriteString("_or_null")
	}
	return b.String()
}

// typeName is what the register holds, as Linux's log writes it.
func (r *Reg) typeName() string { return typeName(r.Type, r.Flags) }

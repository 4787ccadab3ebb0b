package kernctx

import (
	"encoding/binary"
	"fmt"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

const noQueue = 0xffff // NO_QUEUE_MAPPING, of a socket

// sock is a pointer to the struct sock of a socket whose struct bpf_sock is at an
// address: the one that a person described, or else a part.
func sock(name string, at number) number {
	return func(v *view) uint64 {
		addr := at(v)
		if addr == 0 {
			return 0
		}
		if k := v.SocketAt(addr); k != nil && k.Addr != 0 {
			return k.Addr
		}
		return v.address(name)
	}
}

// sockPart is the struct sock of the socket whose struct bpf_sock is at an address.
func sockPart(name string, at number) part {
	of := func(f func(k *exec.SockFields) uint64) number {
		return func(v *view) uint64 {
			addr := at(v)
			if addr == 0 {
				return 0
			}
			return f((*exec.SockFields)(mem.At(uintptr(addr))))
		}
	}
	bytes := func(f func(k *exec.SockFields) []byte) text {
		return func(v *view) []byte {
			addr := at(v)
			if addr == 0 {
				return nil
			}
			return f((*exec.SockFields)(mem.At(uintptr(addr))))
		}
	}
	return part{
		name: name, typ: "sock",
		fields: map[string]number{
			"__sk_common.skc_family":              of(func(k *exec.SockFields) uint64 { return uint64(k.Family) }),
			"__sk_common.skc_state":               of(func(k *exec.SockFields) uint64 { return uint64(k.State) }),
			"__sk_common.skc_bound_dev_if":        of(func(k *exec.SockFields) uint64 { return uint64(k.BoundDevIf) }),
			"__sk_common.skc_num":                 of(func(k *exec.SockFields) uint64 { return uint64(k.SrcPort) }),
			"__sk_common.skc_refcnt.refs.counter": constant(1),
			"__sk_common.skc_cookie.counter": func(v *view) uint64 {
				if k := v.SocketAt(at(v)); k != nil {
					return k.Cookie
				}
				return 0
			},
			"__sk_common.skc_rx_queue_mapping": of(func(k *exec.SockFields) uint64 {
				if k.RxQueue < 0 {
					return noQueue
				}
				return uint64(k.RxQueue)
			}),
			"__sk_common.skc_net.net": to("net"),
			"sk_type":                 of(func(k *exec.SockFields) uint64 { return uint64(k.Type) }),
			"sk_protocol":             of(func(k *exec.SockFields) uint64 { return uint64(k.Protocol) }),
			"sk_mark":                 of(func(k *exec.SockFields) uint64 { return uint64(k.Mark) }),
			"sk_priority":             of(func(k *exec.SockFields) uint64 { return uint64(k.Priority) }),
		},
		texts: map[string]text{
			"__sk_common.skc_daddr":        bytes(func(k *exec.SockFields) []byte { return k.DstIP4[:] }),
			"__sk_common.skc_rcv_saddr":    bytes(func(k *exec.SockFields) []byte { return k.SrcIP4[:] }),
			"__sk_common.skc_dport":        bytes(func(k *exec.SockFields) []byte { return k.DstPort[:] }),
			"__sk_common.skc_v6_daddr":     bytes(func(k *exec.SockFields) []byte { return k.DstIP6[:] }),
			"__sk_common.skc_v6_rcv_saddr": bytes(func(k *exec.SockFields) []byte { return k.SrcIP6[:] }),
		},
	}
}

// cgroupSockParts are the structures behind a struct bpf_sock that is the context: the
// socket itself.
func cgroupSockParts(t *progtype.Type) []part {
	own := part{name: "sk", typ: "sock", fields: map[string]number{
		"__sk_common.skc_refcnt.refs.counter": constant(1),
		"__sk_common.skc_net.net":             to("net"),
	}, texts: map[string]text{}}
	for path, name := range map[string]string{
		"__sk_common.skc_bound_dev_if": "bound_dev_if", "__sk_common.skc_family": "family",
		"__sk_common.skc_state": "state", "__sk_common.skc_num": "src_port", "__sk_common.skc_daddr": "dst_ip4",
		"__sk_common.skc_rcv_saddr": "src_ip4", "__sk_common.skc_rx_queue_mapping": "rx_queue_mapping",
		"sk_type": "type", "sk_protocol": "protocol", "sk_mark": "mark", "sk_priority": "priority",
		"__sk_common.skc_dport": "dst_port",
	} {
		own.fields[path] = field(t, name)
	}
	own.texts["__sk_common.skc_v6_daddr"] = words(t, "dst_ip6")
	own.texts["__sk_common.skc_v6_rcv_saddr"] = words(t, "src_ip6")
	return []part{own, network()}
}

// words are the four words of the context that an array is.
func words(t *progtype.Type, name string) text {
	var all [4]number
	for i := range all {
		all[i] = field(t, fmt.Sprintf("%s[%d]", name, i))
	}
	return func(v *view) []byte {
		b := make([]byte, 0, 16)
		for _, n := range all {
			b = binary.LittleEndian.AppendUint32(b, uint32(n(v)))
		}
		return b
	}
}

package kernctx

import (
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// The loopback interface, where no network is known.
const (
	loopback    = 1 // its index
	loopbackMTU = 65536
)

// The kinds of devices (linux/if_arp.h) and their flags (linux/if.h).
const (
	typeEthernet, typeLoopback = 1, 772

	// hardwareAddr is the field that has the device's address, beside the one that
	// points to it.
	hardwareAddr = "dev_addr_shadow"

	flagUp, flagBroadcast, flagLoopback, flagMulticast = 1 << 0, 1 << 1, 1 << 3, 1 << 12
)

// device is the struct net_device of an interface, with its network namespace.
func device(name string, ifindex number) []part {
	of := func(v *view) exec.Interface { return iface(v, uint32(ifindex(v))) }
	isLoopback := func(v *view) bool { return of(v).Index == loopback }
	return []part{
		{
			name: name, typ: "net_device",
			fields: map[string]number{
				"ifindex":            ifindex,
				"mtu":                func(v *view) uint64 { return uint64(of(v).MTU) },
				"nd_net.net":         to("net"),
				"addr_len":           constant(6),
				"hard_header_len":    constant(14),
				"real_num_rx_queues": constant(1),
				"real_num_tx_queues": constant(1),
				"num_rx_queues":      constant(1),
				"num_tx_queues":      constant(1),
				"dev_addr":           inside(name, hardwareAddr),
				"type": func(v *view) uint64 {
					if isLoopback(v) {
						return typeLoopback
					}
					return typeEthernet
				},
				"flags": func(v *view) uint64 {
					if isLoopback(v) {
						return flagUp | flagLoopback
					}
					return flagUp | flagBroadcast | flagMulticast
				},
			},
			texts: map[string]text{
				"name":       func(v *view) []byte { return []byte(of(v).Name) },
				hardwareAddr: func(v *view) []byte { mac := of(v).MAC; return mac[:] },
			},
		},
		network(),
	}
}

// network is the struct net that the program runs in.
func network() part {
	return part{name: "net", typ: "net", fields: map[string]number{
		"net_cookie": func(v *view) uint64 {
			return max(progtype.NetNS(v.State), 1) // the first one's is 1
		},
	}}
}

// iface is what is known of an interface.
func iface(v *view, index uint32) exec.Interface {
	if known, ok := v.Env.Net.(exec.Interfaces); ok {
		if i, ok := known.Interface(index); ok {
			return i
		}
	}
	if index == loopback {
		return exec.Interface{Index: loopback, Name: "lo", MTU: loopbackMTU}
	}
	return exec.Interface{Index: index}
}

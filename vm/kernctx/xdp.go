package kernctx

import "github.com/skep-ebpf/skep/vm/progtype"

const (
	xdpHasFrags  = 1 // XDP_FLAGS_HAS_FRAGS
	rxRegistered = 1 // REG_STATE_REGISTERED
)

// xdpParts are the structures behind a struct xdp_md.
func xdpParts() []part {
	rx := func(v *view) uint64 { return uint64(progtype.XDP(v.State).Ingress) }
	tx := func(v *view) uint64 { return uint64(progtype.XDP(v.State).Egress) }
	shared := sharedInfoPart()
	shared.at = func(v *view) uintptr { return v.Packet.HardStart + progtype.PageSize - sharedInfo }
	shared.fields["xdp_frags_size"] = func(v *view) uint64 { return uint64(v.Packet.Paged) }
	own := part{name: "xdp", typ: "xdp_buff", fields: map[string]number{
		"data":            func(v *view) uint64 { return uint64(v.Packet.Data) },
		"data_end":        func(v *view) uint64 { return uint64(v.Packet.DataEnd) },
		"data_meta":       func(v *view) uint64 { return uint64(v.Packet.Meta) },
		"data_hard_start": func(v *view) uint64 { return uint64(v.Packet.HardStart) },
		"rxq":             to("rxq"),
		"frame_sz":        constant(progtype.PageSize),
		"txq": func(v *view) uint64 {
			if tx(v) == 0 {
				return 0
			}
			return v.address("txq")
		},
		"flags": func(v *view) uint64 {
			if v.Packet.Paged > 0 {
				return xdpHasFrags
			}
			return 0
		},
	}}
	rxq := part{name: "rxq", typ: "xdp_rxq_info", fields: map[string]number{
		"dev":         to("rx"),
		"queue_index": func(v *view) uint64 { return uint64(progtype.XDP(v.State).Queue) },
		"reg_state":   constant(rxRegistered),
		"frag_size":   constant(progtype.PageSize),
	}}
	txq := part{name: "txq", typ: "xdp_txq_info", fields: map[string]number{"dev": to("tx")}}
	return concat([]part{own, rxq, txq, shared}, device("rx", rx), device("tx", tx))
}

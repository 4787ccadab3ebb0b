package kernctx

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// The room that Linux has in front of a packet (NET_SKB_PAD), and how much it adds when
// there is not enough, in bytes.
const skbPad = 64

const (
	unset        = 0xffff // of a header's offset
	sharedInfo   = 320    // struct skb_shared_info as the buffer's size counts it, in bytes
	skbTrueSize  = 256    // struct sk_buff likewise
	unnecessary  = 1      // CHECKSUM_UNNECESSARY
	pageFragment = progtype.PageSize
)

// skbParts are the structures behind a struct __sk_buff.
func skbParts(t *progtype.Type) []part {
	skb := func(f func(c *progtype.SKBContext) uint64) number {
		return func(v *view) uint64 { return f(progtype.SKB(v.State)) }
	}
	own := packetPart("skb", func(v *view) uint64 { return progtype.SKB(v.State).Socket })
	for name, n := range map[string]number{
		"dev":              to("dev"),
		"tstamp":           skb(func(c *progtype.SKBContext) uint64 { return c.Tstamp }),
		"tstamp_type":      skb(func(c *progtype.SKBContext) uint64 { return uint64(c.TstampType) }),
		"mac_len":          skb(func(c *progtype.SKBContext) uint64 { return uint64(c.MacLen) }),
		"queue_mapping":    skb(func(c *progtype.SKBContext) uint64 { return uint64(c.QueueMapping) }),
		"pkt_type":         skb(func(c *progtype.SKBContext) uint64 { return uint64(c.PktType) }),
		"ip_summed":        skb(func(c *progtype.SKBContext) uint64 { return uint64(c.ChecksumValidated) * unnecessary }),
		"csum_level":       skb(func(c *progtype.SKBContext) uint64 { return uint64(c.ChecksumLevel) }),
		"l4_hash":          skb(func(c *progtype.SKBContext) uint64 { return uint64(c.HashSet / progtype.HashOfPorts) }),
		"sw_hash":          skb(func(c *progtype.SKBContext) uint64 { return uint64(min(c.HashSet, 1)) }),
		"hash":             skb(func(c *progtype.SKBContext) uint64 { return uint64(c.Hash) }),
		"encapsulation":    skb(func(c *progtype.SKBContext) uint64 { return uint64(c.Encapsulation) }),
		"tc_at_ingress":    skb(func(c *progtype.SKBContext) uint64 { return uint64(c.AtIngress) }),
		"tc_index":         skb(func(c *progtype.SKBContext) uint64 { return uint64(c.TCIndex) }),
		"priority":         skb(func(c *progtype.SKBContext) uint64 { return uint64(c.Priority) }),
		"skb_iif":          skb(func(c *progtype.SKBContext) uint64 { return uint64(c.Ingress) }),
		"vlan_proto":       skb(func(c *progtype.SKBContext) uint64 { return uint64(c.VLANProto) }),
		"vlan_tci":         skb(func(c *progtype.SKBContext) uint64 { return uint64(c.VLANTCI) }),
		"napi_id":          skb(func(c *progtype.SKBContext) uint64 { return uint64(c.NAPI) }),
		"mark":             skb(func(c *progtype.SKBContext) uint64 { return uint64(c.Mark) }),
		"protocol":         skb(func(c *progtype.SKBContext) uint64 { return uint64(c.Protocol) }),
		"mac_header":       header(func(c *progtype.SKBContext) uint64 { return c.Mac }, unset),
		"network_header":   header(func(c *progtype.SKBContext) uint64 { return c.Network }, 0),
		"transport_header": header(func(c *progtype.SKBContext) uint64 { return c.Transport }, unset),
	} {
		own.fields[name] = n
	}
	own.texts = map[string]text{"cb": controlBlock}
	shared := sharedInfoPart()
	for name, n := range map[string]number{
		"gso_size":           skb(func(c *progtype.SKBContext) uint64 { return uint64(c.GSOSize) }),
		"gso_segs":           skb(func(c *progtype.SKBContext) uint64 { return uint64(c.GSOSegs) }),
		"gso_type":           skb(func(c *progtype.SKBContext) uint64 { return uint64(c.GSOType) }),
		"hwtstamps.hwtstamp": skb(func(c *progtype.SKBContext) uint64 { return c.HWTstamp }),
		"dataref.counter":    constant(1),
		"xdp_frags_truesize": constant(0),
		"meta_len":           func(v *view) uint64 { return uint64(metaLen(&v.Packet)) },
	} {
		shared.fields[name] = n
	}
	ifindex := func(v *view) uint64 { return uint64(progtype.SKB(v.State).Ifindex) }
	return concat([]part{own, shared}, device("dev", ifindex), []part{sockPart("sk", func(v *view) uint64 {
		return progtype.SKB(v.State).Socket
	})})
}

// packetPart is a struct sk_buff with the run's packet and with a socket.
func packetPart(name string, socket number) part {
	return part{name: name, typ: "sk_buff", fields: map[string]number{
		"sk":                 sock("sk", socket),
		"len":                func(v *view) uint64 { return uint64(v.Packet.Len()) },
		"data_len":           func(v *view) uint64 { return uint64(v.Packet.Paged) },
		"head":               func(v *view) uint64 { return uint64(head(v)) },
		"data":               func(v *view) uint64 { return uint64(v.Packet.Data) },
		"tail":               func(v *view) uint64 { return uint64(v.Packet.DataEnd - head(v)) },
		"end":                func(v *view) uint64 { return uint64(v.Packet.HardEnd - head(v)) },
		"truesize":           func(v *view) uint64 { return uint64(v.Packet.HardEnd-head(v)) + sharedInfo + skbTrueSize },
		"users.refs.counter": constant(1),
	}}
}

// head is where the room in front of the packet begins: as much as in a test run of
// Linux, and where a program took more, as much as Linux allocates then.
func head(v *view) uintptr {
	p := &v.Packet
	first := max(p.HardStart+exec.Headroom-skbPad, p.HardStart)
	if p.Data < first {
		first -= (first - p.Data + skbPad - 1) / skbPad * skbPad
	}
	return first
}

// header is the offset of a header from the buffer's beginning.
func header(of func(c *progtype.SKBContext) uint64, none uint64) number {
	return func(v *view) uint64 {
		addr := of(progtype.SKB(v.State))
		if addr == 0 {
			return none
		}
		return addr - uint64(head(v))
	}
}

func metaLen(p *exec.Packet) uintptr {
	if p.Meta == 0 {
		return 0
	}
	return p.Data - p.Meta
}

// controlBlock is skb->cb: a struct qdisc_skb_cb, whose data programs see as cb, and
// behind it where the packet's metadata begins and where the packet ends, for programs
// that access it directly (struct bpf_skb_data_end).
func controlBlock(v *view) []byte {
	const (
		pktLen, classID, data = 0, 6, 8
		dataMeta, dataEnd     = 32, 40
	)
	c, le := progtype.SKB(v.State), binary.LittleEndian
	b := make([]byte, 48)
	le.PutUint32(b[pktLen:], c.WireLen)
	le.PutUint16(b[classID:], c.TCClassID)
	copy(b[data:], c.CB[:])
	if v.Packet.Type != ebpf.SocketFilter {
		le.PutUint64(b[dataMeta:], uint64(v.Packet.Data-metaLen(&v.Packet)))
		le.PutUint64(b[dataEnd:], uint64(v.Packet.DataEnd))
	}
	return b
}

// sharedInfoPart is a struct skb_shared_info, which programs see behind the packet's
// room.
func sharedInfoPart() part {
	return part{
		name: "shared", typ: "skb_shared_info",
		at: func(v *view) uintptr { return v.Packet.HardEnd },
		fields: map[string]number{
			"nr_frags": func(v *view) uint64 {
				p := &v.Packet
				return uint64((p.Pulled+p.Paged+pageFragment-1)/pageFragment - p.Pulled/pageFragment)
			},
		},
	}
}

// concat is one list of parts from several.
func concat(lists ...[]part) []part {
	var all []part
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

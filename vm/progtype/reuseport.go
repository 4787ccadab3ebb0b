package progtype

import "github.com/cilium/ebpf"

func init() {
	register(uapi(&Type{
		Prog: ebpf.SkReuseport, Name: "sk_reuseport",
		CtxName: "struct sk_reuseport_md", CtxSize: 56,
		Fields: concat(
			packetPointers("data", "data_end", 0, 8),
			[]Field{
				length("len", 16),
				// The protocol is the first half; what lies behind is 0.
				word("eth_protocol", 20).whole().network(2), field("eth_protocol", 20, 2).whole(), field("eth_protocol", 22, 2).whole(),
				word("ip_protocol", 24), word("bind_inany", 28), word("hash", 32).whole(),
				socket(40), socket(48).named("migrating_sk"),
			}),
		Verdicts: passes,
	}))
}

func (f Field) named(name string) Field { f.Name = name; return f }

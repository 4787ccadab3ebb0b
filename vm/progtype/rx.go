package progtype

// RX is what the driver of an interface knows of a packet that came in, beside its bytes.
// XDP programs ask for it with the kernel functions bpf_xdp_metadata_rx_*.
type RX struct {
	// Nothing says that the driver has it of other packets, and not of this one.
	Nothing bool
	// Timestamp is when the packet came, in ns.
	Timestamp uint64
	// Hash and HashType (XDP_RSS_*) are the flow's. Both 0: the stack's own hash.
	Hash, HashType uint32
	// VLAN is the tag that lies beside the packet, as [SKBContext.VLAN] gives it. All
	// zero: there is none.
	VLAN [4]byte
}

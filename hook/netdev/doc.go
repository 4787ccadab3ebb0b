// Package netdev is a small virtual network, for programs that send packets to
// one another: interfaces, veth pairs between them, and the hooks at which
// programs see a packet, in Linux's order.
//
//	          ┌── XDP_DROP, XDP_TX, XDP_REDIRECT ──► devmap program ──► transmit
//	receive ──┤ xdp
//	          └── XDP_PASS ──► tcx/ingress ──► the stack: delivered, or forwarded
//	                              │                                      │
//	                              └── TCX_REDIRECT ──► tcx/egress ◄──────┘
//	                                                      │
//	                       the peer receives ◄── transmit ┘
//
// One packet is followed to its end, with all copies that were made of it,
// before [Network.Receive] takes the next: the same packets give the same result.
// There is no queueing, no loss and no time. How often a packet may go from
// interface to interface is bounded, so loops end, and are counted.
package netdev

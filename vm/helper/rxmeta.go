package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// What the driver knows of an XDP program's packet: EOPNOTSUPP where there is no driver,
// ENODATA where it does not know. The answers are those of Linux's veth.

const asksDriver = "what the interface's driver knows of the packet"

func init() {
	registerKfuncs("6.3",
		&Helper{Name: "bpf_xdp_metadata_rx_timestamp", Func: ofDriver(rxTimestamp), Types: kfuncsXDP, Asks: asksDriver,
			Args: []Arg{ArgPtrToCtx, ArgPtrToLong}},
		&Helper{Name: "bpf_xdp_metadata_rx_hash", Func: ofDriver(rxHash), Types: kfuncsXDP, Asks: asksDriver,
			Args: []Arg{ArgPtrToCtx, ArgPtrToInt, ArgPtrToInt}},
	)
	registerKfuncs("6.8",
		&Helper{Name: "bpf_xdp_metadata_rx_vlan_tag", Func: ofDriver(rxVLAN), Types: kfuncsXDP, Asks: asksDriver, FixedSize: 2,
			Args: []Arg{ArgPtrToCtx, ArgPtrToFixedMem, ArgPtrToFixedMem}},
	)
}

// ofDriver makes a kernel function of a question that a driver answers.
func ofDriver(answer func(s *exec.State, rx *progtype.RX, a, b uint64) errno.Errno) Func {
	return func(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
		c := progtype.XDP(s)
		err := errno.EOPNOTSUPP
		if c.HasRX {
			if err = errno.ENODATA; !c.RX.Nothing {
				err = answer(s, &c.RX, r2, r3)
			}
		}
		return result32(negative(err))
	}
}

func rxTimestamp(_ *exec.State, rx *progtype.RX, to, _ uint64) errno.Errno {
	*at[uint64](to) = rx.Timestamp
	return 0
}

func rxHash(s *exec.State, rx *progtype.RX, hash, typ uint64) errno.Errno {
	const l4 = 1 << 3 // XDP_RSS_L4
	value, kind := rx.Hash, rx.HashType
	if value == 0 && kind == 0 {
		packet := mem.View(s.Packet.Data, int(s.Packet.DataEnd-s.Packet.Data))
		b, ports := flowOf(binary.NativeEndian.Uint16(packet[12:]), packet[ethHeader:])
		value = max(fnv(b), 1)
		if ports {
			kind = l4
		}
	}
	*at[uint32](hash), *at[uint32](typ) = value, kind
	return 0
}

func rxVLAN(_ *exec.State, rx *progtype.RX, proto, tci uint64) errno.Errno {
	if rx.VLAN == [4]byte{} {
		*at[uint16](tci) = 0
		return errno.ENODATA
	}
	copy(view(proto, 2), rx.VLAN[:2])
	*at[uint16](tci) = binary.BigEndian.Uint16(rx.VLAN[2:])
	return 0
}

package helper

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Flags of bpf_l3_csum_replace and bpf_l4_csum_replace.
const (
	fieldMask    = 0xf    // the size of what changed, in bytes; 0: a difference
	pseudoHeader = 1 << 4 // it is part of the pseudo header
	markMangled0 = 1 << 5 // 0 means no checksum, as in UDP
	markEnforce  = 1 << 6
	ipv6Update   = 1 << 7 // it is an IPv6 address
)

func init() {
	register(
		&Helper{ID: 10, Name: "bpf_l3_csum_replace", Func: l3CsumReplace, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{ID: 11, Name: "bpf_l4_csum_replace", Func: l4CsumReplace, MovesPacket: true,
			Args: []Arg{ArgPtrToCtx, ArgAnything, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{ID: 28, Name: "bpf_csum_diff", Func: csumDiff,
			Args: []Arg{ArgPtrToMemOrNull, ArgConstSizeOrZero, ArgPtrToMemOrNull, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 40, Name: "bpf_csum_update", Func: csumUpdate,
			Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 135, Name: "bpf_csum_level", Func: csumLevel,
			Args: []Arg{ArgPtrToCtx, ArgAnything}},
	)
}

// l3CsumReplace changes a checksum in the packet for a field that goes from one
// value to another.
func l3CsumReplace(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	if r5&^uint64(fieldMask) != 0 {
		return errno.EINVAL.Ret()
	}
	sum, err := checksumAt(s, uint32(r2))
	if err != 0 {
		return err.Ret()
	}
	return status(replaceChecksum(sum, r3, r4, r5))
}

// l4CsumReplace does the same for checksums that a packet may lack.
func l4CsumReplace(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	if r5&^uint64(fieldMask|pseudoHeader|markMangled0|markEnforce|ipv6Update) != 0 {
		return errno.EINVAL.Ret()
	}
	sum, err := checksumAt(s, uint32(r2))
	if err != 0 {
		return err.Ret()
	}
	if r5&markMangled0 != 0 && r5&markEnforce == 0 && le.Uint16(sum) == 0 {
		return 0
	}
	field := r5 & fieldMask
	if field == 2 { // unlike bpf_l3_csum_replace, Linux adds in 32 bits here, too
		r3, r4, field = uint64(uint16(r3)), uint64(uint16(r4)), 4
	}
	if err := replaceChecksum(sum, r3, r4, field); err != 0 {
		return err.Ret()
	}
	if r5&markMangled0 != 0 && le.Uint16(sum) == 0 {
		le.PutUint16(sum, 0xffff)
	}
	return 0
}

// Sums are kept as they lie in memory; one's complement sums do not mind the
// order of bytes.
var le = binary.LittleEndian

func checksumAt(s *exec.State, offset uint32) ([]byte, errno.Errno) {
	packet := s.Packet.Bytes()
	if offset > 0xffff || offset&1 != 0 || int(offset)+2 > len(packet) {
		return nil, errno.EFAULT
	}
	return packet[offset : offset+2], 0
}

func replaceChecksum(sum []byte, from, to, flags uint64) errno.Errno {
	old := ^uint32(le.Uint16(sum)) & 0xffff
	switch flags & fieldMask {
	case 0:
		if from != 0 {
			return errno.EINVAL
		}
		old = add32(uint32(to), ^uint32(le.Uint16(sum)))
	case 2:
		old = add32(add32(old, ^uint32(uint16(from))&0xffff), uint32(uint16(to)))
	case 4:
		old = add32(add32(^uint32(le.Uint16(sum)), ^uint32(from)), uint32(to))
	default:
		return errno.EINVAL
	}
	le.PutUint16(sum, ^fold(old))
	return 0
}

// add32 is one's complement addition.
func add32(a, b uint32) uint32 {
	sum := uint64(a) + uint64(b)
	return uint32(sum) + uint32(sum>>32)
}

// fold makes 16 bits of a sum of 32.
func fold(sum uint32) uint16 {
	sum = sum&0xffff + sum>>16
	return uint16(sum + sum>>16)
}

// sumBytes adds b, as if it ended with zeros, to a sum.
func sumBytes(b []byte, sum uint32) uint32 {
	wide := uint64(sum)
	for ; len(b) >= 4; b = b[4:] {
		wide += uint64(le.Uint32(b))
	}
	var rest [4]byte
	copy(rest[:], b)
	wide += uint64(le.Uint32(rest[:]))
	wide = wide&0xffffffff + wide>>32
	return uint32(wide) + uint32(wide>>32)
}

// csumDiff is what a sum changes by where one piece of data takes another's
// place.
func csumDiff(_ *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	from, to := view(r1, uint64(uint32(r2))), view(r3, uint64(uint32(r4)))
	sum := uint32(r5)
	if len(to) > 0 {
		sum = sumBytes(to, sum)
	}
	if len(from) > 0 {
		if len(to) > 0 {
			sum = add32(sum, ^sumBytes(from, 0))
		} else {
			sum = ^sumBytes(from, ^sum)
		}
	}
	return uint64(fold(sum))
}

// csumUpdate is for packets whose device summed them whole; none here is.
func csumUpdate(*exec.State, uint64, uint64, uint64, uint64, uint64) uint64 {
	return errno.ENOTSUPP.Ret()
}

// csumLevel changes or gives how many checksums of the packet are known to be
// right.
func csumLevel(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	const query, inc, dec, reset = 0, 1, 2, 3
	const maxLevel = 3
	c := progtype.SKB(s)
	switch r2 {
	case query:
		if c.ChecksumValidated == 0 {
			return errno.EACCES.Ret()
		}
		return uint64(c.ChecksumLevel)
	case inc:
		if c.ChecksumValidated == 0 {
			c.ChecksumValidated = 1
		} else {
			c.ChecksumLevel = min(c.ChecksumLevel+1, maxLevel)
		}
	case dec:
		if c.ChecksumLevel == 0 {
			c.ChecksumValidated = 0
		} else {
			c.ChecksumLevel--
		}
	case reset:
		resetChecksum(c)
	default:
		return errno.EINVAL.Ret()
	}
	return 0
}

func resetChecksum(c *progtype.SKBContext) { c.ChecksumValidated, c.ChecksumLevel = 0, 0 }

package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// blocks passes on the blocks of a pcapng file that pcapgo needs, each checked
// first: pcapgo believes the lengths in a file, and a hostile one would make it
// read past the block or hold gigabytes. All other blocks are dropped.
//
// It implements io.Reader and gives at most one block a Read.
type blocks struct {
	in    *bufio.Reader
	order binary.ByteOrder
	snap  []uint32 // the section's interfaces' snap lengths
	block []byte   // reused
	rest  []byte   // of block, not yet passed on
}

// Types of blocks.
const (
	blockSection   = magicNg
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// Sizes in bytes: of the type and length that a block starts with, of the
// length that it ends with, and of the longest block worth keeping.
const (
	blockHead = 8
	blockTail = 4
	maxBlock  = MaxPacket + 256<<10
)

// maxInterfaces is the most that one section may have.
const maxInterfaces = 1 << 16

// fixed is the size of a block's part before its options or packet.
var fixed = map[uint32]int{
	blockSection:   24,
	blockInterface: 16,
	blockPacket:    28,
	blockSimple:    12,
	blockEnhanced:  28,
}

// Read implements io.Reader.
func (b *blocks) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next reads one block, and leaves nothing in rest where it is not needed.
func (b *blocks) next() error {
	head, err := b.in.Peek(blockHead + 4)
	if len(head) < blockHead+4 {
		if len(head) == 0 && err == io.EOF {
			return io.EOF
		}
		return cut(err)
	}
	if binary.LittleEndian.Uint32(head) == blockSection {
		if err := b.startSection(head[blockHead:]); err != nil {
			return err
		}
	}
	typ, size := b.order.Uint32(head), b.order.Uint32(head[4:])
	if size < blockHead+blockTail || size%4 != 0 {
		return fmt.Errorf("corrupt pcapng: a block says that it is %d bytes long", size)
	}
	min, needed := fixed[typ]
	if !needed {
		return b.skip(int64(size))
	}
	if int(size) < min+blockTail || size > maxBlock {
		return fmt.Errorf("corrupt pcapng: a block of type %d says that it is %d bytes long", typ, size)
	}
	if cap(b.block) < int(size) {
		b.block = make([]byte, size)
	}
	b.block = b.block[:size]
	if _, err := io.ReadFull(b.in, b.block); err != nil {
		return cut(err)
	}
	if err := b.check(typ, min); err != nil {
		return fmt.Errorf("corrupt pcapng: %w", err)
	}
	b.rest = b.block
	return nil
}

// startSection takes the byte order of what follows from a section header.
func (b *blocks) startSection(magic []byte) error {
	const byteOrder = 0x1a2b3c4d
	switch uint32(byteOrder) {
	case binary.LittleEndian.Uint32(magic):
		b.order = binary.LittleEndian
	case binary.BigEndian.Uint32(magic):
		b.order = binary.BigEndian
	default:
		return errors.New("corrupt pcapng: a section header without byte order")
	}
	b.snap = b.snap[:0]
	return nil
}

func (b *blocks) skip(n int64) error {
	if _, err := io.CopyN(io.Discard, b.in, n); err != nil {
		return cut(err)
	}
	return nil
}

// cut tells the end of the file within a block. pcapgo would take a bare
// io.ErrUnexpectedEOF at the start of a block for the end of the capture.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("the file ends within a block: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// check holds the lengths within the block against its own.
func (b *blocks) check(typ uint32, min int) error {
	body := b.block[min : len(b.block)-blockTail]
	switch typ {
	case blockInterface:
		if len(b.snap) == maxInterfaces {
			return fmt.Errorf("more than %d interfaces", maxInterfaces)
		}
		b.snap = append(b.snap, b.order.Uint32(b.block[12:]))
	case blockSimple:
		return b.checkSimple(body)
	case blockPacket, blockEnhanced:
		captured := b.order.Uint32(b.block[20:])
		if captured > MaxPacket {
			return fmt.Errorf("a packet of %d bytes, over the limit of %d", captured, MaxPacket)
		}
		padded := (int(captured) + 3) &^ 3
		if padded > len(body) {
			return fmt.Errorf("a packet of %d bytes in a block that has room for %d", captured, len(body))
		}
		body = body[padded:]
	}
	return b.checkOptions(body)
}

// checkSimple checks a packet that has no length of its own but the original's,
// which the first interface's snap length bounds.
func (b *blocks) checkSimple(body []byte) error {
	if len(b.snap) == 0 {
		return errors.New("a packet before any interface")
	}
	captured := b.order.Uint32(b.block[8:])
	if snap := b.snap[0]; snap != 0 && captured > snap {
		captured = snap
	}
	if uint64(captured) > uint64(len(body)) {
		return fmt.Errorf("a packet of %d bytes in a block that has room for %d", captured, len(body))
	}
	return nil
}

// checkOptions checks that each option lies within the block.
func (b *blocks) checkOptions(body []byte) error {
	const head = 4
	for len(body) > 0 {
		if len(body) < head {
			return errors.New("an option that its block has no room for")
		}
		size := head + (int(b.order.Uint16(body[2:]))+3)&^3
		if size > len(body) {
			return errors.New("an option that its block has no room for")
		}
		if b.order.Uint16(body) == 0 { // opt_endofopt
			return nil
		}
		body = body[size:]
	}
	return nil
}

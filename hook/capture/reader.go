package capture

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// MaxPacket is the longest packet that is read or written, in bytes: libpcap's
// MAXIMUM_SNAPLEN. A longer one is taken for a corrupt length.
const MaxPacket = 256 << 10

// readAhead is how much is read from the file at a time, in bytes.
const readAhead = 256 << 10

// Packet is one packet of a capture.
type Packet struct {
	// Data is an Ethernet frame. From a Reader it is valid until the next call
	// of Next, and may be changed until then.
	Data []byte
	// Time is when the packet was seen, zero where the capture does not say.
	Time time.Time
	// OrigLen is the length of the frame on the wire in bytes. It is more than
	// len(Data) where the capture was made with a snap length.
	OrigLen int
	// LinkType is what the capture holds the packet as, before it was made an
	// Ethernet frame: a number of tcpdump.org's list of link types.
	LinkType uint16
	// Interface numbers the interfaces of a capture from 0, IfName is the
	// interface's name where the capture gives one.
	Interface int
	IfName    string
}

// Stats are a Reader's counts so far.
type Stats struct {
	Packets   uint64 // delivered
	Truncated uint64 // delivered, but cut short by the capture's snap length
	Skipped   uint64 // not delivered: no packet that Ethernet carries
	// Notes are sentences about the capture that its reader should know.
	Notes []string
}

// source is what pcapgo's two readers have in common.
type source interface {
	ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
}

// Reader reads the packets of one capture. It is not safe for concurrent use.
type Reader struct {
	name  string
	file  io.Closer
	src   source
	ng    *pcapgo.NgReader // nil for pcap
	base  int              // interfaces of pcapng sections before this one
	known []iface          // interfaces met so far, by number
	frame []byte           // a converted packet, reused
	stats Stats
	err   error // what ended the capture
}

// iface is what is known about one interface.
type iface struct {
	name string
	link uint16
	wrap wrapper // nil: packets are Ethernet frames already
	err  error   // why its packets cannot be read
}

// Open opens the capture at path; "-" is standard input. The error says what
// the file looks like where it is no capture.
func Open(path string) (*Reader, error) {
	if path == "-" {
		return NewReader("standard input", os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	r, err := NewReader(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.file = f
	return r, nil
}

// NewReader reads a capture from a stream. The name is for messages.
func NewReader(name string, in io.Reader) (*Reader, error) {
	buf := bufio.NewReaderSize(in, readAhead)
	head, err := peek(name, buf)
	if err != nil {
		return nil, err
	}
	if isGzip(head) {
		z, err := gzip.NewReader(buf)
		if err != nil {
			return nil, fmt.Errorf("read capture %s: uncompress: %w", name, err)
		}
		buf = bufio.NewReaderSize(z, readAhead)
		if head, err = peek(name, buf); err != nil {
			return nil, err
		}
	}
	r := &Reader{name: name}
	switch {
	case isPcap(head):
		err = r.openPcap(buf)
	case isPcapng(head):
		err = r.openPcapng(buf)
	default:
		return nil, fmt.Errorf("read capture %s: this is %s, not a packet capture; captures in pcap or pcapng format can be read", name, looksLike(head))
	}
	if err != nil {
		return nil, fmt.Errorf("read capture %s: %w", name, whole(err))
	}
	return r, nil
}

// peek gives the first bytes of a stream, as many as there are.
func peek(name string, r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(16)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read capture %s: %w", name, err)
	}
	return head, nil
}

// whole turns the end of a file inside a header into one that is unexpected.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file ends within its header: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func (r *Reader) openPcap(in io.Reader) error {
	src, err := pcapgo.NewReader(in)
	if err != nil {
		return err
	}
	if src.Snaplen() > MaxPacket {
		src.SetSnaplen(MaxPacket)
	}
	r.src = src
	r.addInterface("", src.LinkType())
	return r.known[0].err
}

func (r *Reader) openPcapng(in *bufio.Reader) error {
	ng, err := pcapgo.NewNgReader(&blocks{in: in}, pcapgo.NgReaderOptions{
		WantMixedLinkType: true,
		SectionEndCallback: func(ifaces []pcapgo.NgInterface, _ pcapgo.NgSectionInfo) {
			r.base += len(ifaces)
		},
	})
	if err != nil {
		return err
	}
	r.src, r.ng = ng, ng
	return nil
}

// Next gives the next packet, or io.EOF behind the last. After any error the
// same error comes again. A capture that ends within a packet gives an error
// that wraps io.ErrUnexpectedEOF; the packets before it have been delivered.
func (r *Reader) Next() (Packet, error) {
	for r.err == nil {
		p, ok, err := r.next()
		if ok {
			r.stats.Packets++
			if p.OrigLen > len(p.Data) {
				r.stats.Truncated++
			}
			return p, nil
		}
		r.err = err
	}
	return Packet{}, r.err
}

// next reads one record of the capture, and reports whether it is a packet for
// the caller.
func (r *Reader) next() (p Packet, ok bool, err error) {
	data, ci, err := r.src.ZeroCopyReadPacketData()
	if err != nil {
		return Packet{}, false, r.explain(ci, err)
	}
	number := r.base + ci.InterfaceIndex
	if err := r.learn(number); err != nil {
		return Packet{}, false, r.at(err)
	}
	ifc := &r.known[number]
	if ifc.err != nil {
		return Packet{}, false, r.at(ifc.err)
	}
	p = Packet{
		Data:      data,
		Time:      ci.Timestamp,
		OrigLen:   max(ci.Length, len(data)),
		LinkType:  ifc.link,
		Interface: number,
		IfName:    ifc.name,
	}
	if ifc.wrap == nil {
		return p, true, nil
	}
	if r.frame, ok = ifc.wrap(r.frame[:0], data); !ok {
		r.stats.Skipped++
		return Packet{}, false, nil
	}
	p.OrigLen += len(r.frame) - len(data)
	p.Data = r.frame
	return p, true, nil
}

// learn makes known the interfaces up to a number. pcapng has them anywhere
// before their first packet.
func (r *Reader) learn(number int) error {
	for len(r.known) <= number {
		if len(r.known) < r.base { // of a section before, never used
			r.known = append(r.known, iface{})
			continue
		}
		ng, err := r.ng.Interface(len(r.known) - r.base)
		if err != nil {
			return err
		}
		r.addInterface(ng.Name, ng.LinkType)
		if ng.TimestampResolution.Binary() {
			// pcapgo scales to nanoseconds by whole numbers only.
			r.note(fmt.Sprintf("interface %d counts time in units of 2^-%d s, so its times are not exact",
				len(r.known)-1, ng.TimestampResolution.Exponent()))
		}
	}
	return nil
}

func (r *Reader) addInterface(name string, link layers.LinkType) {
	wrap, note, err := linkWrapper(link)
	if note != "" {
		r.note(note)
	}
	r.known = append(r.known, iface{name: name, link: uint16(link), wrap: wrap, err: err})
}

// note keeps a sentence, once.
func (r *Reader) note(s string) {
	if !slices.Contains(r.stats.Notes, s) {
		r.stats.Notes = append(r.stats.Notes, s)
	}
}

// explain turns what pcapgo says into an error for the caller. Only the end of
// the file where a packet would start is io.EOF.
func (r *Reader) explain(ci gopacket.CaptureInfo, err error) error {
	// pcapgo gives io.EOF also where the file ends right behind a packet's
	// header.
	if err == io.EOF && ci.CaptureLength == 0 {
		return io.EOF
	}
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file ends within it: %w", io.ErrUnexpectedEOF)
	}
	return r.at(err)
}

// at says where in the capture an error is.
func (r *Reader) at(err error) error {
	return fmt.Errorf("read capture %s: packet %d: %w", r.name, r.stats.Packets+r.stats.Skipped+1, err)
}

// Stats gives the counts so far.
func (r *Reader) Stats() Stats { return r.stats }

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

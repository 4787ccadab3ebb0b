package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readAll reads a capture to its end.
func readAll(t testing.TB, capture []byte) ([]Packet, Stats, error) {
	t.Helper()
	r, err := NewReader("test", bytes.NewReader(capture))
	if err != nil {
		return nil, Stats{}, err
	}
	var all []Packet
	for {
		p, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("Next after an error: %v, then %v", err, again)
			}
			if err == io.EOF {
				err = nil
			}
			return all, r.Stats(), err
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

func TestFormats(t *testing.T) {
	micro := someTime.Truncate(time.Microsecond)
	one, two := frame("one"), frame("the second")
	tests := []struct {
		name    string
		capture []byte
		time    time.Time
		ifName  string
	}{
		{"pcap, µs, little-endian", pcapFile(binary.LittleEndian, false, 1, one, two), micro, ""},
		{"pcap, µs, big-endian", pcapFile(binary.BigEndian, false, 1, one, two), micro, ""},
		{"pcap, ns, little-endian", pcapFile(binary.LittleEndian, true, 1, one, two), someTime, ""},
		{"pcap, ns, big-endian", pcapFile(binary.BigEndian, true, 1, one, two), someTime, ""},
		{"pcapng, little-endian", ngFile(binary.LittleEndian, 1, one, two), someTime, "eth0"},
		{"pcapng, big-endian", ngFile(binary.BigEndian, 1, one, two), someTime, "eth0"},
		{"pcap, gzip", gzipped(t, pcapFile(binary.LittleEndian, true, 1, one, two)), someTime, ""},
		{"pcapng, gzip", gzipped(t, ngFile(binary.LittleEndian, 1, one, two)), someTime, "eth0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, stats, err := readAll(t, tt.capture)
			if err != nil {
				t.Fatal(err)
			}
			want := []Packet{
				{Data: one, Time: tt.time, OrigLen: len(one) + 10, LinkType: 1, IfName: tt.ifName},
				{Data: two, Time: tt.time, OrigLen: len(two) + 10, LinkType: 1, IfName: tt.ifName},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(Stats{Packets: 2, Truncated: 2}, stats); diff != "" {
				t.Errorf("stats (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSections(t *testing.T) {
	b := &builder{order: binary.LittleEndian}
	b.section()
	b.ifc("usb0", 220, 0, 6) // refused only if it had packets
	b.ifc("eth0", 1, 0, 6)
	b.block(4, "name resolution.")
	b.enhanced(1, 1_000_002, frame("a"), 15, 15)
	b.order = binary.BigEndian
	b.section()
	b.block(0x40000bad, "somebody's own..")
	b.ifc("wan", 1, 20, 9)
	b.simple(frame("cut by sn"), 99) // 23 bytes there, 20 of them the packet's
	got, stats, err := readAll(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := []Packet{
		{Data: frame("a"), Time: time.Unix(1, 2000).UTC(), OrigLen: 15, LinkType: 1, Interface: 1, IfName: "eth0"},
		{Data: frame("cut by"), OrigLen: 99, LinkType: 1, Interface: 2, IfName: "wan"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Stats{Packets: 2, Truncated: 1}, stats); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestLinkTypes(t *testing.T) {
	const v4, v6 = "\x45 an IPv4 packet", "\x60 an IPv6 packet"
	header := func(src byte, etherType uint16) string {
		h := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, src}
		return string(binary.BigEndian.AppendUint16(h, etherType))
	}
	tests := []struct {
		name   string
		link   uint32
		packet string
		want   string // empty: skipped
	}{
		{"raw 12", 12, v4, header(1, 0x0800) + v4},
		{"raw 101", 101, v6, header(1, 0x86dd) + v6},
		{"IPv4", 228, v4, header(1, 0x0800) + v4},
		{"IPv6", 229, v6, header(1, 0x86dd) + v6},
		{"raw, not IP", 101, "\x00", ""},
		{"raw, empty", 101, "", ""},
		{"null, little-endian", 0, "\x02\x00\x00\x00" + v4, header(1, 0x0800) + v4},
		{"null, big-endian", 0, "\x00\x00\x00\x1e" + v6, header(1, 0x86dd) + v6},
		{"null, AppleTalk", 0, "\x10\x00\x00\x00" + v4, ""},
		{"null, short", 0, "\x02\x00", ""},
		{"loop", 108, "\x00\x00\x00\x18" + v6, header(1, 0x86dd) + v6},
		{"cooked", 113, "\x00\x00\x00\x01\x00\x06\x02\x00\x00\x00\x00\x07\xaa\xaa\x08\x00" + v4, header(7, 0x0800) + v4},
		{"cooked, no address", 113, "\x00\x00\x03\x04\x00\x00\x02\x00\x00\x00\x00\x07\xaa\xaa\x86\xdd" + v6, header(1, 0x86dd) + v6},
		{"cooked, short", 113, "\x00\x00\x00\x01\x00\x06", ""},
		{"cooked 2", 276, "\x08\x00\x00\x00\x00\x00\x00\x05\x00\x01\x00\x06\x02\x00\x00\x00\x00\x07\xaa\xaa" + v4, header(7, 0x0800) + v4},
		{"cooked 2, short", 276, "\x08\x00", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, stats, err := readAll(t, pcapFile(binary.LittleEndian, true, tt.link, []byte(tt.packet)))
			if err != nil {
				t.Fatal(err)
			}
			if len(stats.Notes) != 1 || !strings.Contains(stats.Notes[0], "made-up addresses") {
				t.Errorf("notes: %q", stats.Notes)
			}
			if tt.want == "" {
				if len(got) != 0 || stats.Skipped != 1 {
					t.Errorf("%d packets, %d skipped; want it skipped", len(got), stats.Skipped)
				}
				return
			}
			want := []Packet{{Data: []byte(tt.want), Time: someTime, OrigLen: len(tt.want) + 10, LinkType: uint16(tt.link)}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
		})
	}
}

// ng builds a pcapng of one section.
func ng(build func(b *builder)) []byte {
	b := &builder{order: binary.LittleEndian}
	b.section()
	build(b)
	return b.Bytes()
}

func TestNotACapture(t *testing.T) {
	tests := []struct {
		name    string
		capture string
		want    string
	}{
		{"empty", "", "this is an empty file, not a packet capture"},
		{"ELF", "\x7fELF\x02\x01\x01", "an ELF object"},
		{"text", "hello, world\n", "a text file"},
		{"UTF-8, cut", "ääääääää", "a text file"},
		{"bytes", "\x00\x01\x02\x03\x04", "data of an unknown format"},
		{"modified pcap", "\x34\xcd\xb2\xa1", "modified pcap format"},
		{"zstd in gzip", string(gzipped(t, []byte("\x28\xb5\x2f\xfd"))), "zstd"},
		{"gzip, cut", "\x1f\x8b\x08", "uncompress"},
		{"header, cut", "\xd4\xc3\xb2\xa1\x02\x00", "ends within its header"},
		{"section, cut", "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00", "ends within its header"},
		{"section without byte order", "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x00\x00\x00\x00", "without byte order"},
		{"pcap version", "\xd4\xc3\xb2\xa1\x09\x00\x04\x00" + strings.Repeat("\x00", 16), "version 9"},
		{"802.11", string(pcapFile(binary.LittleEndian, true, 127)), "IEEE 802.11 with radiotap header (127)"},
		{"unknown link type", string(pcapFile(binary.LittleEndian, true, 147)), "link type is 147"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := readAll(t, []byte(tt.capture))
			checkError(t, err, tt.want)
		})
	}
}

func TestCorrupt(t *testing.T) {
	good := frame("good")
	tests := []struct {
		name    string
		capture []byte
		packets int
		want    string
	}{
		{"pcap, huge packet", append(pcapFile(binary.LittleEndian, true, 1, good),
			"\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\x7f\xff\xff\xff\x7f"...), 1, "packet 2: capture length exceeds"},
		{"pcapng, another link type", ng(func(b *builder) { b.ifc("can0", 227, 0, 9); b.enhanced(0, 0, good, 18, 18) }), 0, "CAN bus (227)"},
		{"pcapng, no interface", ng(func(b *builder) { b.enhanced(0, 0, good, 18, 18) }), 0, "Interface id 0 not present"},
		{"pcapng, simple, no interface", ng(func(b *builder) { b.simple(good, 18) }), 0, "before any interface"},
		{"pcapng, simple, longer than its block", ng(func(b *builder) { b.ifc("", 1, 0, 9); b.simple(good, 99) }), 0, "room for 20"},
		{"pcapng, longer than its block", ng(func(b *builder) { b.ifc("", 1, 0, 9); b.enhanced(0, 0, good, 40, 40) }), 0, "a packet of 40 bytes in a block that has room for 20"},
		{"pcapng, huge packet", ng(func(b *builder) { b.ifc("", 1, 0, 9); b.enhanced(0, 0, good, 1<<31, 1<<31) }), 0, "over the limit"},
		{"pcapng, huge block", ng(func(b *builder) { b.u32(6, 0xfffffffc, 0) }), 0, "says that it is 4294967292 bytes long"},
		{"pcapng, tiny block", ng(func(b *builder) { b.u32(6, 16, 0, 16) }), 0, "says that it is 16 bytes long"},
		{"pcapng, odd block", ng(func(b *builder) { b.u32(77, 13, 0, 13) }), 0, "says that it is 13 bytes long"},
		{"pcapng, unneeded block, cut", ng(func(b *builder) { b.u32(77, 1<<30, 0) }), 0, "ends within it"},
		{"pcapng, option over the end", ng(func(b *builder) { b.block(1, "\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\xff\xff") }), 0, "an option that its block has no room for"},
		{"pcapng, resolution", ng(func(b *builder) { b.ifc("", 1, 0, 64) }), 0, "resolution"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := readAll(t, tt.capture)
			checkError(t, err, tt.want)
			if len(got) != tt.packets {
				t.Errorf("%d packets before the error, want %d", len(got), tt.packets)
			}
		})
	}
}

// TestCut cuts a capture at every byte: whole packets are delivered, and
// anything but the end of a packet is an error that says so.
func TestCut(t *testing.T) {
	for name, capture := range map[string][]byte{
		"pcap":   pcapFile(binary.LittleEndian, true, 1, frame("one"), frame("two")),
		"pcapng": ngFile(binary.LittleEndian, 1, frame("one"), frame("two")),
	} {
		t.Run(name, func(t *testing.T) {
			clean := 0
			for n := 1; n < len(capture); n++ {
				_, _, err := readAll(t, capture[:n])
				switch {
				case err == nil:
					clean++
				case n >= 4 && !errors.Is(err, io.ErrUnexpectedEOF):
					t.Errorf("cut at %d: %v", n, err)
				}
			}
			// Behind the header and the first packet; pcapng's header is two blocks.
			if want := map[string]int{"pcap": 2, "pcapng": 3}[name]; clean != want {
				t.Errorf("%d cuts give a valid capture, want %d", clean, want)
			}
		})
	}
}

// checkError checks that an error is one sentence with a text in it.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want one with %q", err, want)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has several lines: %q", err)
	}
}

// TestNoAllocation reads without garbage: gigabytes go through.
func TestNoAllocation(t *testing.T) {
	packets := make([][]byte, 2000)
	for i := range packets {
		packets[i] = frame("a packet")
	}
	for name, capture := range map[string][]byte{
		"pcap":   pcapFile(binary.LittleEndian, true, 101, packets...),
		"pcapng": ngFile(binary.LittleEndian, 1, packets...),
	} {
		r, err := NewReader(name, bytes.NewReader(capture))
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1000, func() { r.Next() }); n > 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(pcapFile(binary.LittleEndian, false, 113, frame("one"), frame("two")))
	f.Add(ngFile(binary.BigEndian, 1, frame("one"), frame("two")))
	f.Add(ng(func(b *builder) { b.ifc("a", 1, 20, 0x9e); b.simple(frame("cut"), 99); b.block(5, "stat") }))
	f.Add(gzipped(f, pcapFile(binary.LittleEndian, true, 1, frame("one"))))
	f.Fuzz(func(t *testing.T, capture []byte) {
		packets, stats, _ := readAll(t, capture)
		if int(stats.Packets) != len(packets) {
			t.Errorf("%d packets delivered, %d counted", len(packets), stats.Packets)
		}
		for _, p := range packets {
			if len(p.Data) > p.OrigLen || len(p.Data) > MaxPacket+len(frame("")) {
				t.Errorf("packet of %d bytes, %d on the wire", len(p.Data), p.OrigLen)
			}
		}
	})
}

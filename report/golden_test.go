package report

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

var update = flag.Bool("update", false, "write the files in testdata instead of comparing with them")

// golden compares output with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// both writes records in both forms and compares each with its file.
func both(t *testing.T, name string, write func(w *Writer) error) {
	t.Helper()
	for ext, form := range map[string]Form{".txt": Text, ".json": JSON} {
		var out bytes.Buffer
		if err := write(NewWriter(&out, form)); err != nil {
			t.Fatal(err)
		}
		if form == JSON {
			checkLines(t, out.String())
		}
		golden(t, name+ext, out.Bytes())
	}
}

// checkLines checks that each line is a JSON object with a type.
func checkLines(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		var record struct{ Type string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Type == "" {
			t.Errorf("no record: %q: %v", line, err)
		}
	}
}

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func TestPackets(t *testing.T) {
	tcp := tcpFrame()
	edit := func(f []byte, edits ...func([]byte)) []byte {
		f = bytes.Clone(f)
		for _, e := range edits {
			e(f)
		}
		return f
	}
	set := func(off int, b ...byte) func([]byte) { return func(f []byte) { copy(f[off:], b) } }
	insert := func(f []byte, off int, b ...byte) []byte {
		return append(append(bytes.Clone(f[:off]), b...), f[off:]...)
	}
	tagged := insert(tcp, 12, 0x81, 0x00, 0x20, 100)
	packets := []Packet{
		{Before: tcp, Verdict: "XDP_PASS"},
		{Before: tcp, After: tcp, Verdict: "XDP_DROP"},
		{Before: tcp, After: edit(tcp, set(0, tcp[6:12]...), set(6, tcp[0:6]...), set(22, 63), set(24, 0xab, 0xcd)), Verdict: "XDP_TX"},
		{Before: tcp, After: tagged, Verdict: "XDP_REDIRECT", Redirect: "ifindex 4"},
		{Before: tagged, After: tcp, Verdict: "XDP_PASS"},
		{Before: tagged, After: edit(tagged, set(14, 0x00)), Verdict: "XDP_PASS"},
		{Before: tcp, After: edit(tcp, set(47, 0x12), set(56, 'X'), set(62, 'Y', 'Z')), Verdict: "XDP_PASS"},
		{Before: tcp, After: tcp[:60], Verdict: "TC_ACT_OK"},
		{Before: tcp, After: encapsulated(tcp), Verdict: "XDP_TX"},
		{Before: tcp[:38], OrigLen: 1500, Verdict: "XDP_PASS"},
		{Before: tcp[:16], Verdict: "XDP_PASS"},
		{Before: nil, Err: errors.New("instruction 3: packet of 0 bytes\nis too short")},
		{Before: udp6Frame(), After: edit(udp6Frame(), set(21, 62)), Verdict: "7"},
		{Before: icmpFrame(), After: edit(icmpFrame(), set(34, 0)), Verdict: "XDP_TX"},
		{Before: arpFrame(), Verdict: "XDP_PASS"},
		{Before: edit(tcp, set(20, 0x00, 0x10)), Verdict: "XDP_PASS"},
		{Before: edit(tcp, set(12, 0x88, 0xcc)), After: bytes.Repeat([]byte{0xff}, len(tcp)), Verdict: "XDP_PASS"},
	}
	both(t, "packets", func(w *Writer) error {
		for i, p := range packets {
			p.Number = i + 1
			if i != 3 {
				p.Time = start.Add(time.Duration(i) * 1500 * time.Microsecond)
			}
			if err := w.Packet(&p); err != nil {
				return err
			}
		}
		return nil
	})
}

// ethernetFrame puts an Ethernet header before a body.
func ethernetFrame(etherType uint16, body ...byte) []byte {
	f := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	return append(binary.BigEndian.AppendUint16(f, etherType), body...)
}

func ipv4(proto byte, body ...byte) []byte {
	return append([]byte{
		0x45, 0, 0, byte(20 + len(body)), 0, 7, 0x40, 0, 64, proto, 0x12, 0x34, 10, 0, 0, 1, 10, 0, 0, 2,
	}, body...)
}

func tcpFrame() []byte {
	tcp := []byte{0x04, 0xd2, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0xbe, 0xef, 0, 0}
	return ethernetFrame(0x0800, ipv4(6, append(tcp, "0123456789abcdefghij"...)...)...)
}

// encapsulated puts another IPv4 header before the packet's own.
func encapsulated(frame []byte) []byte {
	outer := ipv4(4)
	outer[15], outer[19] = 101, 102
	return append(append(bytes.Clone(frame[:14]), outer...), frame[14:]...)
}

func udp6Frame() []byte {
	body := []byte{0x60, 0, 0, 0, 0, 9, 17, 64}
	body = append(body, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"...)
	body = append(body, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"...)
	return ethernetFrame(0x86dd, append(body, 0, 53, 0x30, 0x39, 0, 9, 0, 0, 'x')...)
}

func icmpFrame() []byte { return ethernetFrame(0x0800, ipv4(1, 8, 0, 0, 0, 0, 1, 0, 2)...) }

func arpFrame() []byte {
	return ethernetFrame(0x0806, 0, 1, 8, 0, 6, 4, 0, 1,
		2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2)
}

func TestColor(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, Text)
	w.Color = true
	s := &Summary{}
	for _, v := range []string{"XDP_DROP", "XDP_PASS", "XDP_PASS", "XDP_TX"} {
		s.Verdicts.Add(v)
		if err := w.Packet(&Packet{Before: arpFrame(), Verdict: v}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Summary(s); err != nil {
		t.Fatal(err)
	}
	golden(t, "color.txt", out.Bytes())
}

func TestSummary(t *testing.T) {
	both(t, "summary", func(w *Writer) error {
		s := &Summary{
			Truncated: 3, Skipped: 1, Failed: 2,
			Lost:  []Lost{{"events", 12}, {"drops", 1}},
			Notes: []string{"the capture holds raw IP packets"},
		}
		if err := w.Summary(&Summary{}); err != nil {
			return err
		}
		for i := range 1970 {
			switch {
			case i < 812:
				s.Verdicts.Add("XDP_DROP")
			case i < 820:
				s.Verdicts.Add("7")
			default:
				s.Verdicts.Add("XDP_PASS")
			}
		}
		return w.Summary(s)
	})
}

func TestRun(t *testing.T) {
	both(t, "run", func(w *Writer) error {
		return errors.Join(
			w.Run(&Run{Program: "filter", Return: 7, Repeat: 1, Took: 120}),
			w.Run(&Run{Program: "xdp", Return: 2, Verdict: "XDP_PASS", Repeat: 1000000, Took: 12345678, Data: arpFrame()}),
		)
	})
}

func TestEvents(t *testing.T) {
	event := structOf("event", member("pid", u32, 0), member("comm", array(char, 8), 4))
	data := append(le(uint32(42)), "sshd\x00\x00\x00\x00"...)
	both(t, "events", func(w *Writer) error {
		return errors.Join(
			w.Event(&Event{Map: "events", CPU: -1, Value: Value{event, data}}),
			w.Event(&Event{Map: "events", CPU: 2, Packet: 9, Value: Value{event, append(data, 0, 0, 0, 0)}}),
			w.Event(&Event{Map: "events", CPU: -1, Packet: 9, Value: Value{event, append(data, "tail of it"...)}}),
			w.Event(&Event{Map: "events", CPU: -1, Value: Value{event, data[:6]}}),
			w.Event(&Event{Map: "raw", CPU: 0, Value: Value{nil, data}}),
			w.Printk(&Printk{CPU: 1, Packet: 3, Text: "hello, world\n"}),
			w.Printk(&Printk{CPU: -1, Stream: "stderr", Program: "count", Text: "a line"}),
			w.Printk(&Printk{CPU: -1, Text: "two\nlines \x1b[31m"}),
			w.Lost(&Lost{"events", 1}),
			w.Note("something\nto know"),
		)
	})
}

func TestMaps(t *testing.T) {
	key := structOf("flow_key", member("saddr", inAddr, 0), member("dport", be16, 4), member("vlan", u16, 6))
	counter := structOf("counter", member("packets", u64, 0), member("bytes", u64, 8))
	nested := structOf("nested", member("c", counter, 0), member("pad", array(u32, 12), 16))
	flow := func(addr, port byte) []byte { return []byte{10, 0, 0, addr, 0, port, 0, 0} }
	index := func(n int, value func(i int) [][]byte) []Entry {
		var all []Entry
		for i := n - 1; i >= 0; i-- { // the writer sorts
			all = append(all, Entry{le(uint32(i)), value(i)})
		}
		return all
	}
	one := func(b []byte) [][]byte { return [][]byte{b} }
	maps := []Map{
		{
			Name: "flows", Kind: "Hash", MaxEntries: 1024, KeyType: key, ValueType: counter,
			Entries: []Entry{
				{flow(2, 80), one(le(uint64(3), uint64(180)))},
				{flow(1, 53), one(le(uint64(1000), uint64(123456)))},
			},
		},
		{Name: "empty", Kind: "LRUHash", MaxEntries: 1, KeyType: key, ValueType: counter},
		{
			Name: "untyped", Kind: "Hash", MaxEntries: 8,
			Entries: []Entry{{[]byte{2, 1}, one([]byte{1, 2, 3})}, {[]byte{1, 2}, one([]byte{4, 5, 6})}},
		},
		{
			Name: "signed", Kind: "Hash", MaxEntries: 8, KeyType: s32, ValueType: nested,
			Entries: []Entry{
				{le(int32(5)), one(make([]byte, 64))},
				{le(int32(-5)), one(le(uint64(1), uint64(2), [12]uint32{11: 9}))},
			},
		},
		{
			Name: "array", Kind: "Array", MaxEntries: 300, KeyType: u32, ValueType: s64, Indexed: true,
			Entries: index(300, func(i int) [][]byte {
				if i == 3 || i == 5 {
					return one(le(int64(-i)))
				}
				return one(make([]byte, 8))
			}),
		},
		{
			Name: "states", Kind: "Array", MaxEntries: 2, KeyType: state, ValueType: counter, Indexed: true,
			Entries: index(2, func(i int) [][]byte { return one(le(uint64(i), uint64(100*i))) }),
		},
		{
			Name: "counts", Kind: "PerCPUArray", MaxEntries: 3, KeyType: u32, ValueType: u64, Indexed: true, PerCPU: true,
			Entries: index(3, func(i int) [][]byte { return [][]byte{le(uint64(i)), make([]byte, 8), le(uint64(10 * i))} }),
		},
		{
			Name: "percpu", Kind: "PerCPUHash", MaxEntries: 8, KeyType: u32, ValueType: counter, PerCPU: true,
			Entries: []Entry{
				{le(uint32(1)), [][]byte{le(uint64(1), uint64(2)), make([]byte, 16), le(uint64(10), uint64(20))}},
				{le(uint32(2)), [][]byte{make([]byte, 16), make([]byte, 16), make([]byte, 16)}},
			},
		},
		{
			Name: "size_hist", Kind: "Array", MaxEntries: 17, KeyType: u32, ValueType: u64, Indexed: true,
			Entries: index(17, func(i int) [][]byte {
				counts := map[int]uint64{0: 1, 6: 40, 7: 100, 9: 1, 12: 33}
				return one(le(counts[i]))
			}),
		},
		{Name: "no_hist", Kind: "Array", MaxEntries: 2, ValueType: u64, Indexed: true,
			Entries: index(2, func(int) [][]byte { return one(make([]byte, 8)) })},
		{
			Name: ".bss", Kind: "Array", MaxEntries: 1, KeyType: &btf.Void{}, Indexed: true,
			ValueType: &btf.Datasec{Name: ".bss", Size: 12, Vars: []btf.VarSecinfo{
				{Type: &btf.Var{Name: "dropped", Type: u64}, Offset: 0, Size: 8},
				{Type: &btf.Var{Name: "ready", Type: boolT}, Offset: 8, Size: 1},
			}},
			Entries: []Entry{{le(uint32(0)), one(le(uint64(812), uint32(1)))}},
		},
		{Name: "events", Kind: "RingBuf", MaxEntries: 4096, Note: "events are shown as they come"},
	}
	both(t, "maps", func(w *Writer) error {
		for i := range maps {
			if err := w.Map(&maps[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestMapErrors(t *testing.T) {
	tests := []struct {
		m    Map
		want string
	}{
		{Map{Name: "m", KeyType: u32, Entries: []Entry{{[]byte{1}, [][]byte{{1}}}}}, "map m: print value: 1 bytes are no unsigned int"},
		{Map{Name: "m", ValueType: u32, Entries: []Entry{{[]byte{1}, [][]byte{{1}}}}}, "map m: print value: 1 bytes"},
		{Map{Name: "m", ValueType: u32, PerCPU: true, Entries: []Entry{{[]byte{1}, [][]byte{{1}}}}}, "map m: print value: 1 bytes"},
		{Map{Name: "m", Entries: []Entry{{Key: []byte{1}}}}, "map m: an entry has no value"},
		{Map{Name: "m", Entries: []Entry{{[]byte{1}, [][]byte{{1}, {2}}}}}, "not per CPU"},
	}
	for _, tt := range tests {
		for _, form := range []Form{Text, JSON} {
			var out bytes.Buffer
			err := NewWriter(&out, form).Map(&tt.m)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if out.Len() > 0 {
				t.Errorf("written in spite of an error: %s", &out)
			}
		}
	}
}

func TestListing(t *testing.T) {
	insns, err := isa.Decode([]byte{
		0xb7, 0x06, 0, 0, 0, 0, 0, 0, // r6 = 0
		0x18, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // r1 = map 0
		0x85, 0x10, 0, 0, 1, 0, 0, 0, // call helper
		0x95, 0, 0, 0, 0, 0, 0, 0, // exit
		0xb7, 0x00, 0, 0, 2, 0, 0, 0, // helper: r0 = 2
		0x95, 0, 0, 0, 0, 0, 0, 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	counter := structOf("counter", member("packets", u64, 0), member("comm", array(char, 8), 8))
	listing := &Listing{
		Name: "firewall.bpf.o", License: "GPL",
		Programs: []*program.Image{{
			Name: "fw", Type: ebpf.XDP, Section: "xdp", Insns: insns, Maps: []string{"counts"},
			Funcs: []program.Function{{Name: "fw", Start: 0}, {Name: "pass", Start: 5}},
			Lines: []program.Line{
				{Start: 0, File: "/src/fw.c", Number: 10, Text: "\tint i = 0;"},
				{Start: 1, File: "/src/fw.c", Number: 12, Text: "\treturn pass(&counts);"},
				{Start: 3, File: "/src/fw.c", Number: 12, Column: 9, Text: "\treturn pass(&counts);"},
				{Start: 5, File: "/src/fw.c", Number: 3, Text: "\treturn XDP_PASS;"},
			},
			Poisoned: map[int]string{5: "struct net has no member gone"},
		}},
		Maps: []*ebpf.MapSpec{
			{Name: "counts", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: 3, Key: u32, Value: counter, Flags: 1},
			{Name: "drops", Type: ebpf.RingBuf, MaxEntries: 4096},
			{Name: "plain", Type: ebpf.Hash, KeySize: 8, ValueSize: 2, MaxEntries: 10},
		},
		Types: []btf.Type{
			counter, state, wideEnum, be32,
			&btf.Union{Name: "u", Size: 4, Members: []btf.Member{bits("flag", u32, 1, 1), member("all", u32, 0)}},
			structOf("nested", member("a", u32, 0), member("", &btf.Union{Size: 4, Members: []btf.Member{
				member("b", u32, 0), member("", structOf("", member("c", u16, 0), member("d", u16, 2)), 0),
			}}, 4)),
			&btf.Fwd{Name: "later"},
		},
	}
	both(t, "listing", func(w *Writer) error {
		return errors.Join(w.Listing(&Listing{Name: "empty.o"}), w.Listing(listing))
	})
}

func TestSlotName(t *testing.T) {
	for slot, want := range map[int]string{0: "[0, 2)", 9: "[512, 1K)", 63: "[8E, 16E)", 69: "[512E, 2^70)"} {
		if got := slotName(slot); got != want {
			t.Errorf("slot %d: %s, want %s", slot, got, want)
		}
	}
}

// TestObject lists a real object.
func TestObject(t *testing.T) {
	prog, err := program.Open("../examples/firewall/firewall.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	listing := &Listing{Name: prog.Name}
	for name := range prog.Spec.Programs {
		img, err := program.Link(prog.Spec, name, &program.LinkOptions{NoHostTypes: true})
		if err != nil {
			t.Fatal(err)
		}
		listing.Programs = append(listing.Programs, img)
	}
	for _, m := range prog.Spec.Maps {
		listing.Maps = append(listing.Maps, m)
	}
	var out bytes.Buffer
	if err := NewWriter(&out, Text).Listing(listing); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"blocked_ipv4", "LPM trie", "struct ipv4_prefix, 8 bytes", "; firewall.bpf.c:", "Exit"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the listing", want)
		}
	}
}

func TestParseForm(t *testing.T) {
	for name, want := range map[string]Form{"text": Text, "json": JSON} {
		if got, err := ParseForm(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseForm("xml"); err == nil {
		t.Error("xml is a form")
	}
}

// FuzzPacket compares any two packets.
func FuzzPacket(f *testing.F) {
	f.Add(tcpFrame(), encapsulated(tcpFrame()))
	f.Add(udp6Frame(), arpFrame())
	f.Add(icmpFrame(), icmpFrame()[:30])
	f.Fuzz(func(t *testing.T, before, after []byte) {
		for _, frame := range [][]byte{before, after} {
			if got := joined(dissect(frame)); !bytes.Equal(got, frame) {
				t.Errorf("dissecting loses bytes: %x, then %x", frame, got)
			}
		}
		var out bytes.Buffer
		if err := NewWriter(&out, Text).Packet(&Packet{Before: before, After: after}); err != nil {
			t.Error(err)
		}
		if strings.Count(out.String(), "\n") != 1 {
			t.Errorf("not one line: %q", &out)
		}
		if err := NewWriter(&out, JSON).Packet(&Packet{Before: before, After: after}); err != nil {
			t.Error(err)
		}
		all := changes(dissect(before), dissect(after))
		if bytes.Equal(before, after) != (len(all) == 0 && len(before) == len(after)) {
			t.Errorf("changes %q between\n%x and\n%x", describe(all), before, after)
		}
	})
}

func joined(headers []header) []byte {
	var all []byte
	for _, h := range headers {
		all = append(all, h.bytes...)
	}
	return all
}

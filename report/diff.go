package report

import (
	"bytes"
	"fmt"
	"strings"
)

// change is one difference between a packet before and after a program.
type change struct {
	// Field is a header's field, such as ip.ttl, with what it was and is. From
	// or To is empty where the header is new or gone.
	Field string `json:"field,omitempty"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	// Bytes are what has no name: where the packet differs afterwards.
	Bytes *span `json:"bytes,omitempty"`
}

// span is a range of bytes.
type span struct {
	Offset int `json:"offset"`
	Length int `json:"length"`
}

// gap is how many equal bytes between two that differ do not end a span.
const gap = 3

// changes compares a packet before and after a program.
func changes(before, after []header) []change {
	// What programs add and take off are outer headers, so headers are matched
	// from the inside, and from the outside up to the first that does not match.
	inner := common(before, after, true)
	outer := common(before[:len(before)-inner], after[:len(after)-inner], false)
	var all []change
	for i := range outer {
		all = append(all, compare(before[i], after[i])...)
	}
	for _, h := range before[outer : len(before)-inner] {
		all = append(all, change{Field: h.proto.name, From: summary(&h)})
	}
	for _, h := range after[outer : len(after)-inner] {
		all = append(all, change{Field: h.proto.name, To: summary(&h)})
	}
	for i := range inner {
		all = append(all, compare(before[len(before)-inner+i], after[len(after)-inner+i])...)
	}
	return all
}

// common counts the headers of the same protocol at the front or the back.
func common(a, b []header, back bool) int {
	n := 0
	for n < len(a) && n < len(b) {
		i, j := n, n
		if back {
			i, j = len(a)-1-n, len(b)-1-n
		}
		if a[i].proto != b[j].proto {
			break
		}
		n++
	}
	return n
}

// compare compares two headers of one protocol, field by field and then what
// has no name.
func compare(a, b header) []change {
	if bytes.Equal(a.bytes, b.bytes) {
		return nil
	}
	var all []change
	for _, f := range a.proto.fields {
		end := f.off + f.size
		if end > len(a.bytes) || end > len(b.bytes) {
			return append(all, ranges(a.bytes, b.bytes, f.off, b.off)...)
		}
		old, now := a.bytes[f.off:end], b.bytes[f.off:end]
		if bytes.Equal(old, now) {
			continue
		}
		from, to := f.show(old), f.show(now)
		if from == to { // bits that the text leaves out
			from, to = hexNumber(old), hexNumber(now)
		}
		all = append(all, change{Field: a.proto.name + "." + f.name, From: from, To: to})
	}
	return append(all, ranges(a.bytes, b.bytes, a.proto.end(), b.off)...)
}

// ranges finds where two byte strings differ from start on, as far as both
// reach. Ranges are offset by where the second one lies in its packet.
func ranges(a, b []byte, start, off int) []change {
	var all []change
	n := min(len(a), len(b))
	last := -1 // byte that differed
	for i := start; i < n; i++ {
		if a[i] == b[i] {
			continue
		}
		if last < 0 || i-last > gap+1 {
			all = append(all, change{Bytes: &span{Offset: off + i}})
		}
		last = i
		s := all[len(all)-1].Bytes
		s.Length = off + i + 1 - s.Offset
	}
	return all
}

// summary is what a header says in few words.
func summary(h *header) string {
	switch h.proto {
	case protoVLAN:
		return h.get("id")
	case protoIPv4, protoIPv6:
		return h.get("src") + " > " + h.get("dst")
	case protoTCP, protoUDP:
		return h.get("sport") + " > " + h.get("dport")
	}
	return fmt.Sprintf("%d bytes", len(h.bytes))
}

// maxShown is how many changes a line for people has.
const maxShown = 8

// describe is the changes as text: "ip.ttl 64→63, +vlan 100, bytes 60-63".
func describe(all []change) string {
	var words []string
	for i, c := range all {
		if i == maxShown {
			words = append(words, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		words = append(words, c.String())
	}
	return strings.Join(words, ", ")
}

// String is one change as text.
func (c change) String() string {
	switch {
	case c.Bytes != nil && c.Bytes.Length == 1:
		return fmt.Sprintf("byte %d", c.Bytes.Offset)
	case c.Bytes != nil:
		return fmt.Sprintf("bytes %d-%d", c.Bytes.Offset, c.Bytes.Offset+c.Bytes.Length-1)
	case c.From == "":
		return "+" + c.Field + " " + c.To
	case c.To == "":
		return "-" + c.Field + " " + c.From
	}
	return c.Field + " " + c.From + "→" + c.To
}

package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Map is a map and what is in it.
type Map struct {
	Name       string
	Kind       string // its type, as ebpf.MapType names it
	MaxEntries uint32
	// KeyType and ValueType may be nil or void: not known. ValueType is that of
	// one CPU's value.
	KeyType, ValueType btf.Type
	// Indexed says that keys are 0 to MaxEntries-1 and all there, as in arrays.
	Indexed bool
	// PerCPU says that each entry has a value for each CPU.
	PerCPU  bool
	Entries []Entry // in any order
	// Note says in a sentence why there are no entries to show, or what else
	// there is to say.
	Note string
}

// Entry is one entry of a map: a key and a value, or a value for each CPU.
type Entry struct {
	Key    []byte
	Values [][]byte
}

// Map writes a map's entries, in the order of their keys. A map with "hist" in
// its name whose values are counters is drawn as a histogram in text, slot n
// standing for 2^n to 2^(n+1)-1; a section of global variables as their list.
func (w *Writer) Map(m *Map) error {
	if err := w.writeMap(m); err != nil {
		return fmt.Errorf("map %s: %w", m.Name, err)
	}
	return nil
}

func (w *Writer) writeMap(m *Map) error {
	if err := m.check(); err != nil {
		return err
	}
	entries := m.sorted()
	if w.form == JSON {
		return w.object(m.json(entries))
	}
	var err error
	w.buf = w.buf[:0]
	if sec, ok := m.ValueType.(*btf.Datasec); ok && len(entries) == 1 {
		w.buf, err = m.appendVariables(w.buf, sec, entries[0].Values[0])
	} else {
		w.buf, err = m.appendEntries(w.buf, entries)
	}
	if err != nil {
		return err
	}
	return w.flush()
}

// appendEntries appends a title and the entries below it.
func (m *Map) appendEntries(dst []byte, entries []Entry) ([]byte, error) {
	dst = append(dst, m.title(entries)...)
	switch {
	case m.isHistogram():
		return appendHistogram(dst, m.totals(entries)), nil
	case len(entries) > 0:
		return m.appendTable(dst, entries)
	}
	return dst, nil
}

// appendVariables appends the global variables that a section's map holds.
func (m *Map) appendVariables(dst []byte, sec *btf.Datasec, data []byte) ([]byte, error) {
	if _, err := (Value{sec, data}).Text(); err != nil { // checks the size, too
		return nil, err
	}
	var t table
	for _, v := range variables(sec) {
		p := printer{nodes: maxNodes + 64*len(data)}
		if err := p.member(v, data, 0); err != nil {
			return nil, err
		}
		t.add(v.Name, string(p.buf))
	}
	n := len(t.rows)
	dst = fmt.Appendf(dst, "map %s: %d %s\n", harmless(m.Name), n, plural(n, "variable", "variables"))
	return t.append(dst, "  "), nil
}

// keyType is the keys' type: a number where they are indexes.
func (m *Map) keyType() btf.Type {
	if unknown(m.KeyType) && m.Indexed {
		return &btf.Int{Name: "unsigned int", Size: 4}
	}
	return m.KeyType
}

// check looks at what the rest relies on.
func (m *Map) check() error {
	for _, e := range m.Entries {
		if len(e.Values) == 0 {
			return errors.New("an entry has no value")
		}
		if !m.PerCPU && len(e.Values) != 1 {
			return fmt.Errorf("an entry has %d values, but the map is not per CPU", len(e.Values))
		}
	}
	return nil
}

// sorted gives the entries by key: as numbers where keys are integers.
func (m *Map) sorted() []Entry {
	signed, numeric := integerType(m.KeyType)
	numeric = numeric || m.Indexed // maybe by an enum
	return slices.SortedFunc(slices.Values(m.Entries), func(a, b Entry) int {
		if !numeric || len(a.Key) > 8 || len(b.Key) > 8 {
			return bytes.Compare(a.Key, b.Key)
		}
		x, y := littleEndian(a.Key), littleEndian(b.Key)
		if signed {
			return cmp.Compare(signExtend(x, 8*len(a.Key)), signExtend(y, 8*len(b.Key)))
		}
		return cmp.Compare(x, y)
	})
}

// title is the line above the entries.
func (m *Map) title(entries []Entry) string {
	text := fmt.Sprintf("map %s: %s, ", harmless(m.Name), kindName(m.Kind))
	switch {
	case m.Note != "" && len(entries) == 0:
		return text + m.Note + "\n"
	case m.Indexed:
		used := 0
		for _, e := range entries {
			if !e.zero() {
				used++
			}
		}
		text += fmt.Sprintf("%d %s, %d not zero", m.MaxEntries, plural(int(m.MaxEntries), "entry", "entries"), used)
	default:
		text += fmt.Sprintf("%d of %d %s", len(entries), m.MaxEntries, plural(int(m.MaxEntries), "entry", "entries"))
	}
	if m.Note != "" {
		text += ", " + m.Note
	}
	return text + "\n"
}

// kindName separates the words of ebpf.MapType's names: "PerCPUHash" is
// "per-CPU hash".
func kindName(kind string) string {
	words := map[string]string{
		"PerCPUHash": "per-CPU hash", "PerCPUArray": "per-CPU array", "LRUHash": "LRU hash",
		"LRUCPUHash": "per-CPU LRU hash", "LPMTrie": "LPM trie", "ProgramArray": "program array",
		"PerfEventArray": "perf event array", "RingBuf": "ring buffer", "ArrayOfMaps": "array of maps",
		"HashOfMaps": "hash of maps", "DevMap": "device map", "DevMapHash": "device hash", "CPUMap": "CPU map",
		"XSKMap": "XSK map", "SockMap": "socket map", "SockHash": "socket hash",
		"MapType(34)": "instruction array", // which cilium/ebpf has no name for yet
	}
	if w, ok := words[kind]; ok {
		return w
	}
	return strings.ToLower(kind)
}

// zero reports whether all values of an entry are zero.
func (e *Entry) zero() bool {
	for _, v := range e.Values {
		if zeroes(v) < len(v) {
			return false
		}
	}
	return true
}

// integers reports whether values are plain integers, which have a sum.
func (m *Map) integers() bool {
	_, ok := integerType(m.ValueType)
	return ok
}

// sum adds up an entry's values, wrapping as the program's counters do.
func (m *Map) sum(e *Entry) (total uint64, signed bool) {
	signed, _ = integerType(m.ValueType)
	for _, v := range e.Values {
		n := littleEndian(v)
		if signed {
			n = uint64(signExtend(n, 8*len(v)))
		}
		total += n
	}
	return total, signed
}

// sumText is an entry's sum as a number.
func (m *Map) sumText(e *Entry) string {
	n, signed := m.sum(e)
	if signed {
		return fmt.Sprint(int64(n))
	}
	return fmt.Sprint(n)
}

// isHistogram reports whether the map is drawn as one.
func (m *Map) isHistogram() bool {
	signed, ok := integerType(m.ValueType)
	return m.Indexed && ok && !signed && strings.Contains(m.Name, "hist")
}

// totals are the counters of a histogram's slots.
func (m *Map) totals(entries []Entry) []uint64 {
	slots := make([]uint64, len(entries))
	for i := range entries {
		slots[i], _ = m.sum(&entries[i])
	}
	return slots
}

func (m *Map) json(entries []Entry) any {
	type entry struct {
		Key    Value    `json:"key"`
		Value  *Value   `json:"value,omitempty"`
		Values []Value  `json:"values,omitempty"`
		Sum    *jsonInt `json:"sum,omitempty"`
	}
	out := struct {
		Type       string  `json:"type"`
		Name       string  `json:"name"`
		Kind       string  `json:"kind"`
		MaxEntries uint32  `json:"max_entries"`
		Note       string  `json:"note,omitempty"`
		Entries    []entry `json:"entries"`
	}{"map", m.Name, m.Kind, m.MaxEntries, m.Note, []entry{}}
	for _, e := range entries {
		one := entry{Key: Value{m.keyType(), e.Key}}
		if !m.PerCPU {
			one.Value = &Value{m.ValueType, e.Values[0]}
			out.Entries = append(out.Entries, one)
			continue
		}
		for _, v := range e.Values {
			one.Values = append(one.Values, Value{m.ValueType, v})
		}
		if m.integers() {
			sum := jsonInt(m.sumText(&e))
			one.Sum = &sum
		}
		out.Entries = append(out.Entries, one)
	}
	return out
}

// jsonInt is a number that is already text.
type jsonInt string

// MarshalJSON implements json.Marshaler.
func (n jsonInt) MarshalJSON() ([]byte, error) { return []byte(n), nil }

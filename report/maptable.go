package report

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// Limits of what a table shows as columns.
const (
	maxColumns = 8  // members of a struct
	maxCPUs    = 16 // of a map with integers
	elideRows  = 3  // rows of zeroes in an array beyond which they are elided
)

// column is one column of a key or value: a member of its struct, or all of it.
type column struct {
	name   string
	member *btf.Member // nil: all
}

// columns are those of a type: its members where it is a struct of a few
// simple ones, one column otherwise.
func columns(t btf.Type, name string) []column {
	whole := []column{{name: name}}
	t, _, err := strip(t)
	s, ok := t.(*btf.Struct)
	if err != nil || !ok || len(s.Members) == 0 || len(s.Members) > maxColumns || s.Name == "in_addr" || s.Name == "in6_addr" {
		return whole
	}
	var all []column
	for i := range s.Members {
		m := &s.Members[i]
		if m.Name == "" || !simple(m.Type) {
			return whole
		}
		all = append(all, column{m.Name, m})
	}
	return all
}

// simple reports whether values of a type take a few words: no struct but an
// address, no array but a string.
func simple(t btf.Type) bool {
	t, _, err := strip(t)
	if err != nil {
		return false
	}
	switch t := t.(type) {
	case *btf.Int, *btf.Enum, *btf.Pointer, *btf.Float:
		return true
	case *btf.Struct:
		return t.Name == "in_addr" || t.Name == "in6_addr"
	case *btf.Array:
		elem, _, err := strip(t.Type)
		i, ok := elem.(*btf.Int)
		return err == nil && ok && i.Size == 1 && t.Nelems <= 64
	}
	return false
}

// appendCells appends a value's columns to a row.
func appendCells(cells []string, cols []column, v Value) ([]string, error) {
	text, err := v.Text() // checks the size, too
	if err != nil {
		return nil, err
	}
	for _, c := range cols {
		if c.member == nil {
			return append(cells, text), nil
		}
		p := printer{nodes: maxNodes}
		if err := p.member(*c.member, v.Data, 0); err != nil {
			return nil, err
		}
		cells = append(cells, string(p.buf))
	}
	return cells, nil
}

// rows is a map's table while it is made.
type rows struct {
	table
	m          *Map
	keys, vals []column
	cpus       []int // that have a column of their own: of integers only
}

// appendTable appends the entries as a table. Runs of zeroes in an array are
// elided.
func (m *Map) appendTable(dst []byte, entries []Entry) ([]byte, error) {
	r := &rows{m: m, keys: columns(m.keyType(), "key"), vals: columns(m.ValueType, "value")}
	r.header(entries)
	for i := 0; i < len(entries); i++ {
		if n := zeroEntries(entries[i:]); m.Indexed && n > elideRows {
			r.across(fmt.Sprintf("… %d zero entries", n))
			i += n - 1
			continue
		}
		if err := r.entry(&entries[i]); err != nil {
			return nil, err
		}
	}
	return r.append(dst, "  "), nil
}

// zeroEntries counts the entries of zeroes at the front.
func zeroEntries(entries []Entry) int {
	n := 0
	for n < len(entries) && entries[n].zero() {
		n++
	}
	return n
}

// header names the columns.
func (r *rows) header(entries []Entry) {
	for _, c := range r.keys {
		r.head = append(r.head, c.name)
	}
	switch {
	case !r.m.PerCPU:
	case r.m.integers():
		r.cpus = activeCPUs(entries)
		for _, cpu := range r.cpus {
			r.head = append(r.head, fmt.Sprintf("cpu%d", cpu))
		}
		r.head = append(r.head, "sum")
		return
	default:
		r.head = append(r.head, "cpu")
	}
	for _, c := range r.vals {
		r.head = append(r.head, c.name)
	}
}

// activeCPUs are the first few CPUs that have a value other than zero anywhere.
func activeCPUs(entries []Entry) []int {
	var active []int
	for cpu := 0; len(active) < maxCPUs; cpu++ {
		some, used := false, false
		for _, e := range entries {
			if cpu < len(e.Values) {
				some = true
				used = used || zeroes(e.Values[cpu]) < len(e.Values[cpu])
			}
		}
		if !some {
			break
		}
		if used {
			active = append(active, cpu)
		}
	}
	return active
}

// entry adds the rows of one entry.
func (r *rows) entry(e *Entry) error {
	key, err := appendCells(nil, r.keys, Value{r.m.keyType(), e.Key})
	if err != nil {
		return err
	}
	switch {
	case !r.m.PerCPU:
		return r.row(key, e.Values[0])
	case r.m.integers():
		return r.integers(key, e)
	}
	return r.perCPU(key, e)
}

// row adds a row of some cells and a value's.
func (r *rows) row(cells []string, value []byte) error {
	cells, err := appendCells(cells, r.vals, Value{r.m.ValueType, value})
	if err != nil {
		return err
	}
	r.add(cells...)
	return nil
}

// integers adds one row with a column for each CPU and the sum of all.
func (r *rows) integers(cells []string, e *Entry) error {
	for _, v := range e.Values { // also of those without a column
		if _, err := (Value{r.m.ValueType, v}).Text(); err != nil {
			return err
		}
	}
	for _, cpu := range r.cpus {
		text := ""
		if cpu < len(e.Values) {
			text, _ = Value{r.m.ValueType, e.Values[cpu]}.Text()
		}
		cells = append(cells, text)
	}
	r.add(append(cells, r.m.sumText(e))...)
	return nil
}

// perCPU adds a row for each CPU whose value is not zero, and one with sums
// where those are several and integers.
func (r *rows) perCPU(key []string, e *Entry) error {
	if e.zero() {
		return r.row(append(key, "-"), e.Values[0])
	}
	shown := 0
	for cpu, v := range e.Values {
		if zeroes(v) == len(v) {
			continue
		}
		if err := r.row(append(key[:len(key):len(key)], fmt.Sprint(cpu)), v); err != nil {
			return err
		}
		shown++
		key = make([]string, len(key)) // only in the first row
	}
	if sums, ok := r.sums(e); ok && shown > 1 {
		r.add(append(append(key, "sum"), sums...)...)
	}
	return nil
}

// sums adds up the members of an entry's values, if all are integers.
func (r *rows) sums(e *Entry) ([]string, bool) {
	var cells []string
	for _, c := range r.vals {
		if c.member == nil || c.member.BitfieldSize != 0 {
			return nil, false
		}
		if _, ok := integerType(c.member.Type); !ok {
			return nil, false
		}
		one := Map{ValueType: c.member.Type}
		var part Entry
		for _, v := range e.Values {
			b, err := slice(v, *c.member)
			if err != nil {
				return nil, false
			}
			part.Values = append(part.Values, b)
		}
		cells = append(cells, one.sumText(&part))
	}
	return cells, true
}

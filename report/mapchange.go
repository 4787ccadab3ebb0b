package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MapChange is what became of an entry of a map between two looks at it.
type MapChange struct {
	Map      *Map // its name and types
	Time     time.Time
	Key      []byte
	Old, New [][]byte // values; nil: there was none, there is none any more
}

// Changes are the entries that are others than in an earlier look at the same map, in the
// order of their keys.
func (m *Map) Changes(before *Map, now time.Time) (all []*MapChange) {
	old := make(map[string][][]byte, len(before.Entries))
	for _, e := range before.Entries {
		old[string(e.Key)] = e.Values
	}
	for _, e := range m.sorted() {
		was := old[string(e.Key)]
		delete(old, string(e.Key))
		if !slices.EqualFunc(was, e.Values, bytes.Equal) {
			all = append(all, &MapChange{m, now, e.Key, was, e.Values})
		}
	}
	for _, e := range before.sorted() {
		if was, gone := old[string(e.Key)]; gone {
			all = append(all, &MapChange{m, now, e.Key, was, nil})
		}
	}
	return all
}

// MapChange writes what became of an entry: the parts of its value that are others, and
// numbers with their difference.
func (w *Writer) MapChange(c *MapChange) error {
	key := Value{c.Map.keyType(), c.Key}
	parts, err := c.parts()
	if err != nil {
		return fmt.Errorf("map %s: %w", c.Map.Name, err)
	}
	if c.New != nil && len(parts) == 0 {
		return nil // only what nobody sees has changed
	}
	if w.form == JSON {
		return w.object(c.json(key, parts))
	}
	name, err := key.Text()
	if err != nil {
		return fmt.Errorf("map %s: %w", c.Map.Name, err)
	}
	var texts []string
	for _, p := range parts {
		texts = append(texts, p.String())
	}
	text := strings.Join(texts, ", ")
	switch {
	case c.New == nil:
		text = "gone"
	case c.Old == nil:
		text += " (new)"
	}
	return w.line("%s  %s: %s", c.Time.Format(time.TimeOnly), name, harmless(text))
}

// part is a part of a value that has changed: a member, or all of it.
type part struct {
	name       string // "value" where it is all
	text       string
	number     bool
	difference int64 // of numbers
	old        bool  // there was one before
}

func (p part) String() string {
	text := p.name + " = " + p.text
	if p.number && p.old {
		text += fmt.Sprintf(" (%+d)", p.difference)
	}
	return text
}

// parts are those that have changed. Numbers of several CPUs are added up, other values
// are shown of the CPUs where they have changed.
func (c *MapChange) parts() (all []part, err error) {
	if c.New == nil {
		return nil, nil
	}
	for _, col := range columns(c.Map.ValueType, "value") {
		cells, err := c.column(col)
		if err != nil {
			return nil, err
		}
		all = append(all, cells...)
	}
	return all, nil
}

// column gives what has changed in a column.
func (c *MapChange) column(col column) ([]part, error) {
	typ := c.Map.ValueType
	if col.member != nil {
		typ = col.member.Type
	}
	if _, number := integerType(typ); number && (col.member == nil || col.member.BitfieldSize == 0) {
		return c.sumPart(col, &Map{ValueType: typ})
	}
	return c.cpuParts(col)
}

// sumPart is a number, of all CPUs together; of is a map of such numbers.
func (c *MapChange) sumPart(col column, of *Map) ([]part, error) {
	was, err := cut(c.Old, col)
	if err != nil {
		return nil, err
	}
	now, err := cut(c.New, col)
	if err != nil {
		return nil, err
	}
	a, _ := of.sum(&was)
	b, _ := of.sum(&now)
	if c.Old != nil && a == b {
		return nil, nil
	}
	return []part{{name: col.name, text: of.sumText(&now), number: true, difference: int64(b - a), old: c.Old != nil}}, nil
}

// cpuParts are the values that have changed, each of its CPU.
func (c *MapChange) cpuParts(col column) (all []part, err error) {
	for cpu, value := range c.New {
		if c.Old == nil && cpu > 0 && zeroes(value) == len(value) {
			continue
		}
		now, err := appendCells(nil, []column{col}, Value{c.Map.ValueType, value})
		if err != nil {
			return nil, err
		}
		p := part{name: col.name, text: now[0], old: c.Old != nil}
		if p.old {
			was, err := appendCells(nil, []column{col}, Value{c.Map.ValueType, c.Old[cpu]})
			if err != nil {
				return nil, err
			}
			if was[0] == now[0] {
				continue
			}
		}
		if c.Map.PerCPU {
			p.name += fmt.Sprintf("[cpu %d]", cpu)
		}
		all = append(all, p)
	}
	return all, nil
}

// cut gives an entry of one column's values.
func cut(values [][]byte, col column) (e Entry, err error) {
	for _, v := range values {
		if col.member != nil {
			if v, err = slice(v, *col.member); err != nil {
				return e, err
			}
		}
		e.Values = append(e.Values, v)
	}
	return e, nil
}

func (c *MapChange) json(key Value, parts []part) any {
	out := struct {
		Type       string           `json:"type"`
		Map        string           `json:"map"`
		Time       time.Time        `json:"time"`
		Change     string           `json:"change"`
		Key        Value            `json:"key"`
		Value      *Value           `json:"value,omitempty"`
		Values     []Value          `json:"values,omitempty"`
		Difference map[string]int64 `json:"difference,omitempty"`
	}{Type: "change", Map: c.Map.Name, Time: c.Time, Change: "changed", Key: key, Difference: map[string]int64{}}
	switch {
	case c.New == nil:
		out.Change = "gone"
	case c.Old == nil:
		out.Change = "new"
	}
	for _, v := range c.New {
		out.Values = append(out.Values, Value{c.Map.ValueType, v})
	}
	if !c.Map.PerCPU && len(out.Values) == 1 {
		out.Value, out.Values = &out.Values[0], nil
	}
	for _, p := range parts {
		if p.number && p.old {
			out.Difference[p.name] = p.difference
		}
	}
	return out
}

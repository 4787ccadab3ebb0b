package kernel

import (
	"cmp"
	"slices"
)

// merger puts the records of several CPUs into the order of their times.
//
// What CPUs had written when one looked at all of them, a round, is not yet all that was
// sent up to the last time in it: a CPU may have taken the time of a record and not have
// written it. So a record is given after the round behind its own, and with those of that
// round that are older.
type merger struct {
	records []stamped
	next    int // the first that was not given
	ready   int // end of those that may be given
	limit   int64
	data    []byte // of the records
	spare   []byte // what data was before
}

// stamped is a record with its time, in ns.
type stamped struct {
	time     int64
	cpu      int
	from, to int // in data
}

// begin begins a round. Everything that may be given has been.
func (m *merger) begin() {
	left := m.records[m.next:]
	m.limit = -1
	if len(left) > 0 {
		m.limit = left[len(left)-1].time
	}
	m.data, m.spare = m.spare[:0], m.data
	for i := range left {
		r := &left[i]
		from := len(m.data)
		m.data = append(m.data, m.spare[r.from:r.to]...)
		r.from, r.to = from, len(m.data)
	}
	m.records = append(m.records[:0], left...)
	m.next, m.ready = 0, 0
}

// room adds a record of n bytes to the round, which the caller fills. It is the caller's
// until the next call.
func (m *merger) room(time int64, cpu, n int) []byte {
	from := len(m.data)
	m.data = slices.Grow(m.data, n)[:from+n]
	m.records = append(m.records, stamped{time, cpu, from, from + n})
	return m.data[from:]
}

// end ends a round. With last no other one follows.
func (m *merger) end(last bool) {
	slices.SortStableFunc(m.records, func(a, b stamped) int { return cmp.Compare(a.time, b.time) })
	for m.ready < len(m.records) && (last || m.records[m.ready].time <= m.limit) {
		m.ready++
	}
}

// waits reports whether there are records that wait for the next round.
func (m *merger) waits() bool { return m.ready < len(m.records) }

// take gives the next record; false where none may be given yet. Its data is valid until
// the next round begins.
func (m *merger) take(out *Record) bool {
	if m.next == m.ready {
		return false
	}
	r := m.records[m.next]
	m.next++
	out.Data, out.CPU, out.Program = m.data[r.from:r.to], r.cpu, ""
	return true
}

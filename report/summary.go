package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verdicts counts packets by verdict. The zero value is ready to use.
type Verdicts struct{ counts map[string]uint64 }

// Add counts one packet. The verdict is the return code's name, or its number
// where it has none.
func (v *Verdicts) Add(verdict string) { v.AddN(verdict, 1) }

// AddN counts n packets.
func (v *Verdicts) AddN(verdict string, n uint64) {
	if v.counts == nil {
		v.counts = make(map[string]uint64)
	}
	v.counts[verdict] += n
}

// Total is the number of packets counted.
func (v *Verdicts) Total() uint64 {
	var n uint64
	for c := range maps.Values(v.counts) {
		n += c
	}
	return n
}

// sorted gives the verdicts, the most frequent first.
func (v *Verdicts) sorted() []string {
	return slices.SortedFunc(maps.Keys(v.counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(v.counts[b], v.counts[a]), cmp.Compare(a, b))
	})
}

// Summary is what a run over packets comes to.
type Summary struct {
	Verdicts  Verdicts
	Failed    uint64 // runs that ended in an error
	Truncated uint64 // packets that the capture had cut short
	Skipped   uint64 // records of the capture that were no packets
	Lost      []Lost // what was lost in all, by map
	Notes     []string
}

// Summary writes totals.
func (w *Writer) Summary(s *Summary) error {
	if w.form == JSON {
		return w.object(s.json())
	}
	total := s.Verdicts.Total()
	var t table
	for _, name := range s.Verdicts.sorted() {
		n := s.Verdicts.counts[name]
		t.add(name, strconv.FormatUint(n, 10), fmt.Sprintf("%.1f %%", 100*float64(n)/float64(total)))
	}
	t.add("total", strconv.FormatUint(total, 10), "")
	lines := strings.SplitAfter(string(t.append(nil, "")), "\n")
	w.buf = w.buf[:0]
	for i, name := range s.Verdicts.sorted() {
		w.buf = append(w.buf, w.paint(name, name)+lines[i][len(name):]...)
	}
	w.buf = append(w.buf, lines[len(s.Verdicts.counts)]...)
	for _, c := range []struct {
		n         uint64
		one, many string
	}{
		{s.Failed, "run failed", "runs failed"},
		{s.Truncated, "packet was cut short by the capture's snap length", "packets were cut short by the capture's snap length"},
		{s.Skipped, "record of the capture was no packet that Ethernet carries", "records of the capture were no packets that Ethernet carries"},
	} {
		if c.n > 0 {
			w.buf = fmt.Appendf(w.buf, "%d %s\n", c.n, plural(c.n, c.one, c.many))
		}
	}
	for _, l := range s.Lost {
		w.buf = append(w.buf, l.text()+"\n"...)
	}
	for _, n := range s.Notes {
		w.buf = append(w.buf, "note: "+n+"\n"...)
	}
	return w.flush()
}

// verdictCount is one verdict in JSON.
type verdictCount struct {
	Verdict string `json:"verdict"`
	Packets uint64 `json:"packets"`
}

func (v *Verdicts) json() []verdictCount {
	all := []verdictCount{}
	for _, name := range v.sorted() {
		all = append(all, verdictCount{name, v.counts[name]})
	}
	return all
}

func (s *Summary) json() any {
	out := struct {
		Type      string         `json:"type"`
		Packets   uint64         `json:"packets"`
		Verdicts  []verdictCount `json:"verdicts"`
		Failed    uint64         `json:"failed"`
		Truncated uint64         `json:"truncated"`
		Skipped   uint64         `json:"skipped"`
		Lost      []Lost         `json:"lost,omitempty"`
		Notes     []string       `json:"notes,omitempty"`
	}{"summary", s.Verdicts.Total(), s.Verdicts.json(), s.Failed, s.Truncated, s.Skipped, s.Lost, s.Notes}
	return out
}

// What becomes of a packet.
const (
	elsewhere = iota
	passed
	stopped
)

// fate tells from a verdict's name what becomes of the packet, for its colour.
func fate(verdict string) int {
	switch {
	case strings.HasSuffix(verdict, "_PASS"), strings.HasSuffix(verdict, "_OK"), strings.HasSuffix(verdict, "_NEXT"):
		return passed
	case strings.HasSuffix(verdict, "_DROP"), strings.HasSuffix(verdict, "_ABORTED"), strings.HasSuffix(verdict, "_SHOT"):
		return stopped
	}
	return elsewhere
}

// Run is one context run once or many times.
type Run struct {
	Program string
	Return  uint32
	Verdict string // the return code's name; empty if it has none
	Repeat  int    // runs
	Took    time.Duration
	Data    []byte // what the program left in the packet; nil: none
	// Wrote is what an iterator wrote, Effects what the program did to the world
	// around it: "send_signal(9, 1200)".
	Wrote   string
	Effects []string
	// Changes are the fields that it changed of the kernel's memory.
	Changes []string
}

// Run writes a return code and what a run took.
func (w *Writer) Run(r *Run) error {
	perRun := float64(r.Took.Nanoseconds()) / float64(max(r.Repeat, 1))
	if w.form == JSON {
		return w.object(struct {
			Type    string  `json:"type"`
			Program string  `json:"program"`
			Return  uint32  `json:"return"`
			Verdict string  `json:"verdict,omitempty"`
			Repeat  int     `json:"repeat"`
			PerRun  float64 `json:"ns_per_run"`
			Data    *Value  `json:"data,omitempty"`

			Wrote   string   `json:"wrote,omitempty"`
			Effects []string `json:"effects,omitempty"`
			Changes []string `json:"changes,omitempty"`
		}{"run", r.Program, r.Return, r.Verdict, r.Repeat, perRun, optional(r.Data), r.Wrote, r.Effects, r.Changes})
	}
	verdict := r.Verdict
	if verdict == "" {
		verdict = strconv.Itoa(int(int32(r.Return)))
	} else {
		verdict = fmt.Sprintf("%s (%d)", w.paint(verdict, verdict), int32(r.Return))
	}
	w.buf = fmt.Appendf(w.buf[:0], "%s returned %s: %d %s, %.1f ns a run\n",
		r.Program, verdict, r.Repeat, plural(r.Repeat, "run", "runs"), perRun)
	if r.Data != nil {
		w.buf = appendDump(w.buf, r.Data)
	}
	for _, e := range r.Effects {
		w.buf = fmt.Appendf(w.buf, "did %s\n", e)
	}
	for _, c := range r.Changes {
		w.buf = fmt.Appendf(w.buf, "changed %s\n", c)
	}
	if r.Wrote != "" {
		w.buf = fmt.Appendf(w.buf, "wrote:\n%s\n", strings.TrimSuffix(r.Wrote, "\n"))
	}
	return w.flush()
}

// optional is bytes as an untyped value, nil where there are none.
func optional(data []byte) *Value {
	if data == nil {
		return nil
	}
	return &Value{Data: data}
}

// appendDump appends bytes in lines of 16, each with its offset.
func appendDump(dst, data []byte) []byte {
	const width = 16
	for off := 0; off < len(data); off += width {
		dst = fmt.Appendf(dst, "  %04x  ", off)
		dst = appendGrouped(dst, data[off:min(off+width, len(data))])
		dst = append(dst, '\n')
	}
	return dst
}

func plural[T int | uint64](n T, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

package report

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Event is one record of a ring buffer or perf event array.
type Event struct {
	Map    string
	Packet int // number of the packet at which it was sent; 0: not known
	CPU    int // -1: not known
	// Value is the record. Where it is shorter than its type it is shown in
	// hex; bytes behind the type are shown in hex unless they are the few zero
	// bytes that perf pads a record with.
	Value Value
}

// perfPadding is how many bytes perf may append to a record.
const perfPadding = 7

// Event writes one record.
func (w *Writer) Event(e *Event) error {
	v, rest, err := e.split()
	if err != nil {
		return fmt.Errorf("event of %s: %w", e.Map, err)
	}
	if w.form == JSON {
		err := w.object(struct {
			Type   string `json:"type"`
			Map    string `json:"map"`
			Packet int    `json:"packet,omitempty"`
			CPU    *int   `json:"cpu,omitempty"`
			Value  Value  `json:"value"`
			Rest   string `json:"rest,omitempty"`
		}{"event", e.Map, e.Packet, cpu(e.CPU), v, hex.EncodeToString(rest)})
		if err != nil {
			return fmt.Errorf("event of %s: %w", e.Map, err)
		}
		return nil
	}
	w.buf = append(append(w.buf[:0], harmless(e.Map)...), origin(e.Packet, "", e.CPU)...)
	w.buf = append(w.buf, ": "...)
	if w.buf, err = v.AppendText(w.buf); err != nil {
		return fmt.Errorf("event of %s: %w", e.Map, err)
	}
	if len(rest) > 0 {
		w.buf = fmt.Appendf(w.buf, " and %d bytes: ", len(rest))
		w.buf = appendGrouped(w.buf, rest)
	}
	w.buf = append(w.buf, '\n')
	return w.flush()
}

// split divides the record into what is of its type and what follows.
func (e *Event) split() (v Value, rest []byte, err error) {
	v = e.Value
	if v.Type == nil {
		return v, nil, nil
	}
	size, err := btf.Sizeof(v.Type)
	if err != nil {
		return v, nil, err
	}
	if size > len(v.Data) {
		return Value{Data: v.Data}, nil, nil
	}
	v.Data, rest = v.Data[:size], v.Data[size:]
	if len(rest) <= perfPadding && zeroes(rest) == len(rest) {
		rest = nil
	}
	return v, rest, nil
}

// origin says where a record came from, as far as that is known.
func origin(packet int, program string, cpu int) string {
	var known []string
	if packet > 0 {
		known = append(known, "packet "+strconv.Itoa(packet))
	}
	if program != "" {
		known = append(known, harmless(program))
	}
	if cpu >= 0 {
		known = append(known, "cpu "+strconv.Itoa(cpu))
	}
	if known == nil {
		return ""
	}
	return " (" + strings.Join(known, ", ") + ")"
}

func cpu(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

// Printk is one message of bpf_trace_printk, or a line that was written to a program's
// stream.
type Printk struct {
	Packet  int    // number of the packet at which it was printed; 0: not known
	Program string // "": not known
	CPU     int    // -1: not known
	Stream  string // "stdout" or "stderr"; "": bpf_trace_printk
	Text    string
}

// Printk writes one message. Control characters are shown as escapes, so that
// a message stays one line and does nothing to a terminal.
func (w *Writer) Printk(p *Printk) error {
	text, what := strings.TrimRight(p.Text, "\n"), cmp.Or(p.Stream, "printk")
	if w.form == JSON {
		return w.object(struct {
			Type    string `json:"type"`
			Packet  int    `json:"packet,omitempty"`
			Program string `json:"program,omitempty"`
			CPU     *int   `json:"cpu,omitempty"`
			Text    string `json:"text"`
		}{what, p.Packet, p.Program, cpu(p.CPU), text})
	}
	return w.line("%s%s: %s", what, origin(p.Packet, p.Program, p.CPU), harmless(text))
}

// List is what an iterator wrote.
type List struct {
	At   string // the iterator: "iter/task"
	Text string
}

// List writes what an iterator wrote, line by line.
func (w *Writer) List(l *List) error {
	if w.form == JSON {
		return w.object(struct {
			Type string `json:"type"`
			At   string `json:"at"`
			Text string `json:"text"`
		}{"list", l.At, l.Text})
	}
	w.buf = fmt.Appendf(w.buf[:0], "%s:\n", harmless(l.At))
	for line := range strings.Lines(l.Text) {
		w.buf = append(append(w.buf, harmless(strings.TrimSuffix(line, "\n"))...), '\n')
	}
	return w.flush()
}

// Lost says how many records a map had no room for.
type Lost struct {
	Map   string `json:"map"`
	Count uint64 `json:"count"`
}

// Lost writes that records were lost.
func (w *Writer) Lost(l *Lost) error {
	if w.form == JSON {
		return w.object(struct {
			Type string `json:"type"`
			Lost
		}{"lost", *l})
	}
	return w.line("%s", l.text())
}

func (l *Lost) text() string {
	return fmt.Sprintf("%s: lost %d %s", harmless(l.Map), l.Count, plural(l.Count, "record", "records"))
}

// Note writes a sentence that the reader of the results should know.
func (w *Writer) Note(text string) error {
	if w.form == JSON {
		return w.object(struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}{"note", text})
	}
	return w.line("note: %s", harmless(strings.ReplaceAll(text, "\n", " ")))
}

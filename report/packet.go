package report

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Packet is what a program made of one packet.
type Packet struct {
	Number  int       // in the capture, from 1
	Time    time.Time // zero: not known
	Before  []byte    // the Ethernet frame that went in
	After   []byte    // and that came out; nil: the same
	OrigLen int       // length on the wire in bytes; more than len(Before) where the capture cut it
	Verdict string    // the return code's name, or its number
	// Redirect is where the packet was sent: "ifindex 4", "cpu 2"; empty: nowhere.
	Redirect string
	Err      error // why the run failed; there is no verdict then
}

// Widths of the columns of a line, which is written before the next is known.
const (
	widthNumber  = 6
	widthTime    = 12
	widthFlow    = 48
	widthLength  = 6
	widthVerdict = 12
)

// Packet writes a line for one packet: number, seconds since the first packet,
// flow, length, verdict, and what the program changed.
func (w *Writer) Packet(p *Packet) error {
	before := dissect(p.Before)
	var diff []change
	if p.After != nil {
		diff = changes(before, dissect(p.After))
	}
	if w.form == JSON {
		return w.object(p.json(flowOf(before), diff))
	}
	w.buf = fmt.Appendf(w.buf[:0], "%*d  %*s  ", widthNumber, p.Number, widthTime, w.since(p.Time))
	w.buf = append(w.buf, pad(flowOf(before).String(), widthFlow)...)
	w.buf = fmt.Appendf(w.buf, "  %*d  ", widthLength, max(p.OrigLen, len(p.Before)))
	if p.Err != nil {
		w.buf = append(w.buf, "error: "+harmless(p.Err.Error())+"\n"...)
		return w.flush()
	}
	rest := p.effects(diff)
	if rest == "" {
		w.buf = append(w.buf, w.paint(p.Verdict, p.Verdict)+"\n"...)
		return w.flush()
	}
	w.buf = append(w.buf, w.paint(pad(p.Verdict, widthVerdict), p.Verdict)+"  "+rest+"\n"...)
	return w.flush()
}

// effects is what else the program did, as text.
func (p *Packet) effects(diff []change) string {
	text := ""
	add := func(s string) {
		if text != "" && s != "" {
			text += ", "
		}
		text += s
	}
	if p.Redirect != "" {
		add("to " + harmless(p.Redirect))
	}
	if p.After != nil && len(p.After) != len(p.Before) {
		add(fmt.Sprintf("length %d→%d", len(p.Before), len(p.After)))
	}
	add(describe(diff))
	return text
}

// since is a packet's time as seconds since the first.
func (w *Writer) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if w.start.IsZero() {
		w.start = t
	}
	return fmt.Sprintf("%.6f", t.Sub(w.start).Seconds())
}

func (p *Packet) json(f flow, diff []change) any {
	out := struct {
		Type     string `json:"type"`
		Number   int    `json:"number"`
		Time     string `json:"time,omitempty"`
		Length   int    `json:"length"`
		Captured int    `json:"captured"`
		flow
		Verdict  string   `json:"verdict,omitempty"`
		Redirect string   `json:"redirect,omitempty"`
		After    *int     `json:"length_after,omitempty"`
		Changes  []change `json:"changes,omitempty"`
		Error    string   `json:"error,omitempty"`
	}{
		Type:     "packet",
		Number:   p.Number,
		Length:   max(p.OrigLen, len(p.Before)),
		Captured: len(p.Before),
		flow:     f,
		Verdict:  p.Verdict,
		Redirect: p.Redirect,
		Changes:  diff,
	}
	if !p.Time.IsZero() {
		out.Time = p.Time.UTC().Format(time.RFC3339Nano)
	}
	if p.After != nil && len(p.After) != len(p.Before) {
		n := len(p.After)
		out.After = &n
	}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	return out
}

// pad makes a text at least so many characters wide.
func pad(s string, width int) string {
	return fmt.Sprintf("%s%*s", s, max(0, width-utf8.RuneCountInString(s)), "")
}

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Form is how records are written.
type Form uint8

// The forms.
const (
	Text Form = iota // for people
	JSON             // for programs: one object a line
)

// ParseForm finds a form by its name, text or json.
func ParseForm(name string) (Form, error) {
	switch name {
	case "text":
		return Text, nil
	case "json":
		return JSON, nil
	}
	return 0, fmt.Errorf("unknown output format %q; the formats are text and json", name)
}

// Writer writes records, each with one call of the underlying Write. It is not
// safe for concurrent use. A record that cannot be shown, because its bytes are
// not of its type, gives an error and writes nothing.
type Writer struct {
	// Color says that text may be coloured: that it goes to a terminal.
	Color bool

	out   io.Writer
	form  Form
	buf   []byte    // of one record, reused
	start time.Time // of the first packet
}

// NewWriter makes a Writer for one of the forms.
func NewWriter(out io.Writer, form Form) *Writer {
	return &Writer{out: out, form: form}
}

// flush writes what is in the buffer.
func (w *Writer) flush() error {
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// object writes one JSON object on a line of its own.
func (w *Writer) object(v any) error {
	out := bytes.NewBuffer(w.buf[:0])
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		var inner *json.MarshalerError
		if errors.As(err, &inner) { // its own text names Go types
			err = inner.Err
		}
		return err
	}
	w.buf = out.Bytes()
	return w.flush()
}

// line writes one line of text.
func (w *Writer) line(format string, args ...any) error {
	w.buf = fmt.Appendf(w.buf[:0], format+"\n", args...)
	return w.flush()
}

// Colours of a terminal.
const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

// paint colours a verdict by what it means for the packet.
func (w *Writer) paint(text, verdict string) string {
	if !w.Color {
		return text
	}
	switch fate(verdict) {
	case passed:
		return green + text + plain
	case stopped:
		return red + text + plain
	}
	return text
}

// harmless replaces what is not printable. Names and texts come from objects and
// programs, and must neither break a line nor reach a terminal as a command.
func harmless(text string) string {
	if strings.IndexFunc(text, isHarmful) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isHarmful(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isHarmful(r rune) bool { return !strconv.IsPrint(r) && r != '\t' }

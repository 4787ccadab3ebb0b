package machine

import (
	"bytes"
	"context"
	"slices"
)

// lines reads texts that come in parts, and makes a record of each of their lines.
type lines struct {
	Events
	whole []Record // lines
	begun []Record // of lines whose ends are still to come, one for each stream
}

// Read implements [Events]. When ctx ends, what has come of a line is one.
func (l *lines) Read(ctx context.Context, r *Record) error {
	for len(l.whole) == 0 {
		var part Record
		if err := l.Events.Read(ctx, &part); err != nil {
			if ctx.Err() == nil || len(l.begun) == 0 {
				return err
			}
			l.whole, l.begun = l.begun, nil
			break
		}
		l.add(part)
	}
	*r, l.whole = l.whole[0], l.whole[1:]
	return nil
}

func (l *lines) add(part Record) {
	at := slices.IndexFunc(l.begun, func(r Record) bool { return r.Stream == part.Stream && r.Program == part.Program })
	if at >= 0 {
		part.Data = append(l.begun[at].Data, part.Data...)
		l.begun = slices.Delete(l.begun, at, at+1)
	}
	for line := range bytes.Lines(part.Data) {
		r := part
		text, ended := bytes.CutSuffix(line, []byte{'\n'})
		r.Data = bytes.Clone(text)
		if ended {
			l.whole = append(l.whole, r)
		} else {
			l.begun = append(l.begun, r)
		}
	}
}

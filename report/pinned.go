package report

import (
	"fmt"
	"strings"
	"time"
)

// Pinned is an object that stays attached in the kernel.
type Pinned struct {
	Name  string
	Since time.Time
	Links []PinnedLink
	Maps  []string // their names
}

// PinnedLink is where one of its programs is attached.
type PinnedLink struct {
	Program, At string
	Runs        uint64 // 0: the kernel did not count
	Time        time.Duration
}

// Pinned writes a row for each program and point.
func (w *Writer) Pinned(all []*Pinned) error {
	if w.form == JSON {
		for _, p := range all {
			if err := w.object(jsonOfPinned(p)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		return w.line("nothing is pinned")
	}
	t := table{head: []string{"name", "program", "at", "since", "runs", "ns a run", "maps"}}
	for _, p := range all {
		since, maps := p.Since.Format(time.DateTime), strings.Join(p.Maps, ", ")
		for _, l := range p.Links {
			runs, each := "", ""
			if l.Runs > 0 {
				runs, each = fmt.Sprint(l.Runs), fmt.Sprintf("%.1f", float64(l.Time.Nanoseconds())/float64(l.Runs))
			}
			t.add(p.Name, l.Program, l.At, since, runs, each, maps)
		}
	}
	w.buf = t.append(w.buf[:0], "")
	return w.flush()
}

type jsonPinned struct {
	Type  string           `json:"type"`
	Name  string           `json:"name"`
	Since time.Time        `json:"since"`
	Links []jsonPinnedLink `json:"links"`
	Maps  []string         `json:"maps"`
}

type jsonPinnedLink struct {
	Program string `json:"program"`
	At      string `json:"at"`
	Runs    uint64 `json:"runs,omitempty"`
	Ns      int64  `json:"ns,omitempty"`
}

func jsonOfPinned(p *Pinned) jsonPinned {
	out := jsonPinned{"pinned", p.Name, p.Since.UTC(), []jsonPinnedLink{}, append([]string{}, p.Maps...)}
	for _, l := range p.Links {
		out.Links = append(out.Links, jsonPinnedLink{l.Program, l.At, l.Runs, l.Time.Nanoseconds()})
	}
	return out
}

package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Interface is what became of packets at an interface of a network.
type Interface struct {
	Name  string
	Index uint32
	// Packets, by what became of them.
	RX, TX, Drop, Redirect, Stack, Forward, Err, Loop uint64
	Hooks                                             []HookRuns
	// Reasons counts packets that were dropped although no program wanted it.
	Reasons map[string]uint64
}

// HookRuns is what a program returned at a hook of an interface.
type HookRuns struct {
	Hook     string
	Program  string
	Verdicts Verdicts
}

// Network writes what became of packets: a line an interface, and below what the
// programs returned.
func (w *Writer) Network(interfaces []Interface) error {
	if w.form == JSON {
		for i := range interfaces {
			if err := w.object(interfaces[i].json()); err != nil {
				return err
			}
		}
		return nil
	}
	counts := table{head: []string{"interface", "rx", "tx", "drop", "redirect", "stack", "forward", "err", "loop"}}
	runs := table{head: []string{"interface", "hook", "program", "verdict", "packets"}}
	for _, i := range interfaces {
		cells := []string{i.Name}
		for _, n := range []uint64{i.RX, i.TX, i.Drop, i.Redirect, i.Stack, i.Forward, i.Err, i.Loop} {
			cells = append(cells, strconv.FormatUint(n, 10))
		}
		counts.add(cells...)
		for _, h := range i.Hooks {
			if h.Verdicts.Total() == 0 {
				runs.add(i.Name, h.Hook, h.Program, "-", "0")
			}
			for _, v := range h.Verdicts.sorted() {
				runs.add(i.Name, h.Hook, h.Program, v, strconv.FormatUint(h.Verdicts.counts[v], 10))
			}
		}
	}
	w.buf = counts.append(w.buf[:0], "")
	if runs.rows != nil {
		w.buf = runs.append(append(w.buf, '\n'), "")
	}
	for _, i := range interfaces {
		for _, why := range slices.Sorted(maps.Keys(i.Reasons)) {
			n := i.Reasons[why]
			w.buf = fmt.Appendf(w.buf, "%s dropped %d %s: %s\n", harmless(i.Name), n, plural(n, "packet", "packets"), harmless(why))
		}
	}
	return w.flush()
}

func (i *Interface) json() any {
	type hook struct {
		Hook     string         `json:"hook"`
		Program  string         `json:"program"`
		Verdicts []verdictCount `json:"verdicts"`
	}
	out := struct {
		Type     string `json:"type"`
		Name     string `json:"name"`
		Index    uint32 `json:"ifindex"`
		RX       uint64 `json:"rx"`
		TX       uint64 `json:"tx"`
		Drop     uint64 `json:"drop"`
		Redirect uint64 `json:"redirect"`
		Stack    uint64 `json:"stack"`
		Forward  uint64 `json:"forward"`
		Err      uint64 `json:"err"`
		Loop     uint64 `json:"loop"`
		Hooks    []hook `json:"hooks"`

		Reasons map[string]uint64 `json:"reasons,omitempty"`
	}{"interface", i.Name, i.Index, i.RX, i.TX, i.Drop, i.Redirect, i.Stack, i.Forward, i.Err, i.Loop, []hook{}, i.Reasons}
	for _, h := range i.Hooks {
		out.Hooks = append(out.Hooks, hook{h.Hook, h.Program, h.Verdicts.json()})
	}
	return out
}

// Step is one run of a program on a packet's way through a network.
type Step struct {
	Packet    int // in the capture, from 1
	Interface string
	Hook      string
	Program   string
	Verdict   string
	Redirect  string // where to, as the program said; empty: nowhere
}

// Step writes a line for one run.
func (w *Writer) Step(s *Step) error {
	if w.form == JSON {
		return w.object(struct {
			Type      string `json:"type"`
			Packet    int    `json:"packet"`
			Interface string `json:"interface"`
			Hook      string `json:"hook"`
			Program   string `json:"program"`
			Verdict   string `json:"verdict"`
			Redirect  string `json:"redirect,omitempty"`
		}{"step", s.Packet, s.Interface, s.Hook, s.Program, s.Verdict, s.Redirect})
	}
	to := ""
	if s.Redirect != "" {
		to = "  to " + harmless(s.Redirect)
	}
	w.buf = fmt.Appendf(w.buf[:0], "%*d  %s  %s  %s  %s%s\n", widthNumber, s.Packet,
		pad(harmless(s.Interface), 8), pad(s.Hook, 11), pad(harmless(s.Program), 12), w.paint(s.Verdict, s.Verdict), to)
	return w.flush()
}

package report

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/inspect"
	"github.com/skep-ebpf/skep/program"
)

// Inspected writes what programs could do, each with a table of its abilities.
func (w *Writer) Inspected(all []*inspect.Program) error {
	if w.form == JSON {
		for _, p := range all {
			if err := w.object(jsonOfInspected(p)); err != nil {
				return err
			}
		}
		return nil
	}
	w.buf = w.buf[:0]
	for i, p := range all {
		if i > 0 {
			w.buf = append(w.buf, '\n')
		}
		w.buf = appendInspected(w.buf, p)
	}
	return w.flush()
}

func appendInspected(dst []byte, p *inspect.Program) []byte {
	dst = fmt.Appendf(dst, "program %s: %s in section %s, %d %s\n", harmless(p.Name), p.Type, harmless(p.Section), p.Insns, plural(p.Insns, "instruction", "instructions"))
	if len(p.Could) > 0 {
		t := table{head: []string{"could", "by", "first at"}}
		for _, c := range p.Could {
			t.add(c.Ability.String(), strings.Join(c.By, ", "), placeText(c.Line))
		}
		dst = t.append(dst, "  ")
	} else {
		dst = append(dst, "  could change nothing but its maps\n"...)
	}
	var t table
	if len(p.Calls) > 0 {
		t.add("calls", strings.Join(p.Calls, ", "))
	}
	if len(p.Maps) > 0 {
		t.add("maps", mapsText(p.Maps))
	}
	if text := sharesText(p.Maps); text != "" {
		t.add("shares", text)
	}
	t.add("needs", needsText(p))
	if p.Refused != nil {
		t.add("refused", fmt.Sprintf("what it could do is told from its instructions alone: %s ('skep check' explains it)", firstLine(p.Refused)))
	}
	return t.append(dst, "  ")
}

// placeText is a line of the source.
func placeText(l *program.Line) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d: %s", path.Base(l.File), l.Number, strings.TrimSpace(l.Text))
}

func mapsText(maps []inspect.Map) string {
	var texts []string
	for _, m := range maps {
		texts = append(texts, fmt.Sprintf("%s (%s)", m.Name, kindName(m.Type.String())))
	}
	return strings.Join(texts, ", ")
}

// fewPrograms is how many are still named where maps are shared.
const fewPrograms = 6

// sharesText says which maps are shared with which programs: "a, b with other; c with one".
func sharesText(maps []inspect.Map) string {
	type group struct{ maps, with []string }
	var groups []*group
	for _, m := range maps {
		if len(m.SharedBy) == 0 {
			continue
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return slices.Equal(g.with, m.SharedBy) })
		if i < 0 {
			i, groups = len(groups), append(groups, &group{with: m.SharedBy})
		}
		groups[i].maps = append(groups[i].maps, m.Name)
	}
	var texts []string
	for _, g := range groups {
		with := strings.Join(g.with, ", ")
		if n := len(g.with); n > fewPrograms {
			with = fmt.Sprintf("%s and %d more", strings.Join(g.with[:fewPrograms-1], ", "), n-fewPrograms+1)
		}
		texts = append(texts, strings.Join(g.maps, ", ")+" with "+with)
	}
	return strings.Join(texts, "; ")
}

// needsText says what a program takes: "Linux 5.12 (atomic operations); CAP_BPF".
func needsText(p *inspect.Program) string {
	text := fmt.Sprintf("Linux %s", p.Linux)
	if p.Linux == 0 {
		text = "a Linux that skep does not know"
	}
	if p.Newest != "" {
		text += " (" + p.Newest + ")"
	}
	return text + "; " + p.Caps.String()
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

type (
	jsonInspected struct {
		Type         string      `json:"type"`
		Program      string      `json:"program"`
		ProgramType  string      `json:"program_type"`
		Section      string      `json:"section"`
		Instructions int         `json:"instructions"`
		Could        []jsonCould `json:"could"`
		Calls        []string    `json:"calls,omitempty"`
		Maps         []jsonUse   `json:"maps,omitempty"`
		Capabilities []string    `json:"capabilities"`
		Needs        []jsonNeed  `json:"needs"`
		Linux        string      `json:"linux,omitempty"`
		Newest       string      `json:"newest,omitempty"`
		Refused      string      `json:"refused,omitempty"`
	}
	jsonCould struct {
		What        string   `json:"what"`
		Text        string   `json:"text"`
		By          []string `json:"by"`
		Instruction int      `json:"instruction"`
		File        string   `json:"file,omitempty"`
		Line        int      `json:"line,omitempty"`
	}
	jsonNeed struct {
		For          string   `json:"for"`
		Capabilities []string `json:"capabilities"`
	}
	jsonUse struct {
		Name       string   `json:"name"`
		Kind       string   `json:"kind"`
		SharedWith []string `json:"shared_with,omitempty"`
	}
)

func jsonOfInspected(p *inspect.Program) jsonInspected {
	out := jsonInspected{
		Type: "inspected", Program: p.Name, ProgramType: p.Type.String(), Section: p.Section, Instructions: p.Insns,
		Could: []jsonCould{}, Calls: p.Calls, Capabilities: append([]string{}, p.Caps.Names()...), Newest: p.Newest,
	}
	for _, c := range p.Could {
		one := jsonCould{What: c.Ability.ID(), Text: c.Ability.String(), By: c.By, Instruction: c.Insn}
		if c.Line != nil {
			one.File, one.Line = c.Line.File, c.Line.Number
		}
		out.Could = append(out.Could, one)
	}
	for _, n := range p.Needs {
		out.Needs = append(out.Needs, jsonNeed{n.For, n.Caps.Names()})
	}
	for _, m := range p.Maps {
		out.Maps = append(out.Maps, jsonUse{m.Name, m.Type.String(), m.SharedBy})
	}
	if p.Linux != 0 {
		out.Linux = p.Linux.String()
	}
	if p.Refused != nil {
		out.Refused = p.Refused.Error()
	}
	return out
}

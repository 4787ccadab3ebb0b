package report

import (
	"fmt"
	"path"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// Listing is what an object holds. Everything is written in the order given.
type Listing struct {
	Name     string // the object's, for the title
	License  string
	Programs []*program.Image
	Maps     []*ebpf.MapSpec
	Types    []btf.Type // structs, unions, enums and typedefs to show
	// Facts are what the verifier proved of the programs' instructions, program by
	// program; nil: they are not shown.
	Facts [][]verifier.Fact
	// Code is what the programs were compiled to, alike.
	Code []*MachineCode
}

// fact is what to say of an instruction; "" for nothing.
func (l *Listing) fact(prog, insn int) string {
	if prog >= len(l.Facts) || insn >= len(l.Facts[prog]) {
		return ""
	}
	img := l.Programs[prog]
	return l.Facts[prog][insn].Describe(img.Insns[insn], img.Maps)
}

// code is what a program was compiled to; nil: it is not shown.
func (l *Listing) code(prog int) *MachineCode {
	if prog >= len(l.Code) {
		return nil
	}
	return l.Code[prog]
}

// Listing writes what an object holds: a table of programs and one of maps,
// the types, and the instructions with the source lines that they came from.
func (w *Writer) Listing(l *Listing) error {
	if w.form == JSON {
		return w.object(l.json())
	}
	w.buf = append(w.buf[:0], harmless(l.Name)...)
	if l.License != "" {
		w.buf = append(w.buf, ", licence "+harmless(l.License)...)
	}
	w.buf = append(w.buf, '\n')
	w.buf = l.appendPrograms(w.buf)
	w.buf = l.appendMaps(w.buf)
	for i, t := range l.Types {
		if i == 0 {
			w.buf = append(w.buf, "\ntypes\n"...)
		}
		w.buf = appendDeclaration(w.buf, t)
	}
	for i := range l.Programs {
		w.buf = l.appendInstructions(w.buf, i)
	}
	return w.flush()
}

func (l *Listing) appendPrograms(dst []byte) []byte {
	if len(l.Programs) == 0 {
		return dst
	}
	t := table{head: []string{"name", "type", "section", "attach to", "instructions", "maps"}}
	for _, img := range l.Programs {
		t.add(img.Name, img.Type.String(), img.Section, img.AttachTo, fmt.Sprint(len(img.Insns)), strings.Join(img.Maps, " "))
	}
	return t.append(append(dst, "\nprograms\n"...), "  ")
}

func (l *Listing) appendMaps(dst []byte) []byte {
	if len(l.Maps) == 0 {
		return dst
	}
	t := table{head: []string{"name", "type", "key", "value", "entries", "flags"}}
	for _, m := range l.Maps {
		flags := ""
		if m.Flags != 0 {
			flags = fmt.Sprintf("0x%x", m.Flags)
		}
		t.add(m.Name, kindName(m.Type.String()), sized(m.Key, m.KeySize), sized(m.Value, m.ValueSize), fmt.Sprint(m.MaxEntries), flags)
	}
	return t.append(append(dst, "\nmaps\n"...), "  ")
}

// sized is a key's or value's type with its size in bytes.
func sized(t btf.Type, size uint32) string {
	switch {
	case size == 0:
		return "-"
	case unknown(t):
		return fmt.Sprintf("%d bytes", size)
	}
	return fmt.Sprintf("%s, %d bytes", typeName(t), size)
}

// appendInstructions appends a program, each instruction below the source line
// that it came from, where that is another than before.
func (l *Listing) appendInstructions(dst []byte, prog int) []byte {
	img := l.Programs[prog]
	dst = fmt.Appendf(dst, "\nprogram %s\n", harmless(img.Name))
	functions, code := starts(img), l.code(prog)
	if code != nil {
		dst = code.appendTitle(dst, len(img.Insns))
	}
	var line *program.Line
	for i := range img.Insns {
		if name, ok := functions[i]; ok {
			dst = append(dst, harmless(name)+":\n"...)
			line = nil
		}
		if now := img.LineAt(i); now != nil && (line == nil || now.Start == i && differs(now, line)) {
			if now.Number > 0 { // 0: the compiler's own
				dst = fmt.Appendf(dst, "  ; %s:%d: %s\n", harmless(path.Base(now.File)), now.Number, harmless(strings.TrimSpace(now.Text)))
			}
			line = now
		}
		text := img.Text(i)
		if text == "" { // the second slot of a wide instruction
			continue
		}
		start := len(dst)
		dst = fmt.Appendf(dst, "  %5d: %s", i, harmless(text))
		if why, ok := img.Poisoned[i]; ok {
			dst = append(dst, "  (cannot run: "+harmless(why)+")"...)
		}
		if fact := l.fact(prog, i); fact != "" {
			dst = append(dst, "  ; "+harmless(fact)...)
		}
		if code != nil {
			dst = beside(dst, start, code.Of[i])
		}
		dst = append(dst, '\n')
	}
	return dst
}

// starts are the functions' names by their first instruction.
func starts(img *program.Image) map[int]string {
	names := make(map[int]string, len(img.Funcs))
	for _, f := range img.Funcs {
		names[f.Start] = f.Name
	}
	return names
}

// differs reports whether two places are on different lines.
func differs(a, b *program.Line) bool { return a.Number != b.Number || a.File != b.File }

// maxDeclared is how deep anonymous structs and unions are shown.
const maxDeclared = 4

// appendDeclaration appends a type as C declares it, with offsets and sizes.
func appendDeclaration(dst []byte, t btf.Type) []byte {
	switch t := t.(type) {
	case *btf.Struct:
		return appendComposite(dst, typeName(t), t.Size, t.Members)
	case *btf.Union:
		return appendComposite(dst, typeName(t), t.Size, t.Members)
	case *btf.Enum:
		dst = fmt.Appendf(dst, "  %s { // %d bytes\n", typeName(t), t.Size)
		var rows table
		for _, v := range t.Values {
			rows.add(v.Name, "= "+enumText(t, v.Value)+",")
		}
		return append(rows.append(dst, "      "), "  };\n"...)
	case *btf.Typedef:
		return append(dst, "  typedef "+declare(t.Type, t.Name, 0)+";\n"...)
	}
	return append(dst, "  "+typeName(t)+";\n"...)
}

func enumText(e *btf.Enum, value uint64) string {
	p := printer{}
	p.integer(value, 64, e.Signed)
	return string(p.buf)
}

func appendComposite(dst []byte, name string, size uint32, members []btf.Member) []byte {
	var rows table
	rows.members(members, 0, 0)
	dst = fmt.Appendf(dst, "  %s { // %d bytes\n", name, size)
	return append(rows.append(dst, "      "), "  };\n"...)
}

// members adds a declaration for each member, with its offset in the outermost
// struct: in bytes, and for a bitfield the bit.
func (t *table) members(members []btf.Member, off btf.Bits, depth int) {
	indent := strings.Repeat("    ", depth)
	for _, m := range members {
		if inner, ok := anonymous(m); ok && depth < maxDeclared {
			t.add(indent+typeName(m.Type)+" {", "")
			t.members(inner, off+m.Offset, depth+1)
			t.add(indent+"};", "")
			continue
		}
		at := off + m.Offset
		decl, where := declare(m.Type, m.Name, 0), fmt.Sprintf("// %d", at/8)
		if m.BitfieldSize > 0 {
			decl += fmt.Sprintf(" : %d", m.BitfieldSize)
			where += fmt.Sprintf(", bit %d", at%8)
		}
		t.add(indent+decl+";", where)
	}
}

// Shapes of a listing in JSON.
type (
	listedProgram struct {
		Name         string       `json:"name"`
		ProgramType  string       `json:"program_type"`
		Section      string       `json:"section,omitempty"`
		AttachTo     string       `json:"attach_to,omitempty"`
		Maps         []string     `json:"maps,omitempty"`
		Instructions []listedInsn `json:"instructions"`
		Arch         string       `json:"arch,omitempty"` // of machine code
		CodeBytes    int          `json:"code_bytes,omitempty"`
		Stubs        []listedCode `json:"stubs,omitempty"` // machine code that is no instruction's
	}
	listedInsn struct {
		Index    int          `json:"index"`
		Bytes    string       `json:"bytes"`
		Text     string       `json:"text"`
		Function string       `json:"function,omitempty"` // where one begins
		File     string       `json:"file,omitempty"`
		Line     int          `json:"line,omitempty"`
		Poisoned string       `json:"poisoned,omitempty"`
		Fact     string       `json:"fact,omitempty"` // what the verifier proved
		Code     []listedCode `json:"code,omitempty"`
	}
	listedMap struct {
		Name       string `json:"name"`
		Kind       string `json:"kind"`
		KeySize    uint32 `json:"key_size"`
		ValueSize  uint32 `json:"value_size"`
		MaxEntries uint32 `json:"max_entries"`
		Flags      uint32 `json:"flags"`
		Key        string `json:"key,omitempty"`
		Value      string `json:"value,omitempty"`
	}
	listedType struct {
		Name        string `json:"name"`
		Declaration string `json:"declaration"`
	}
)

func (l *Listing) json() any {
	out := struct {
		Type     string          `json:"type"`
		Name     string          `json:"name"`
		License  string          `json:"license,omitempty"`
		Programs []listedProgram `json:"programs"`
		Maps     []listedMap     `json:"maps"`
		Types    []listedType    `json:"types"`
	}{"listing", l.Name, l.License, []listedProgram{}, []listedMap{}, []listedType{}}
	for i := range l.Programs {
		out.Programs = append(out.Programs, l.listProgram(i))
	}
	for _, m := range l.Maps {
		listed := listedMap{m.Name, m.Type.String(), m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, "", ""}
		if !unknown(m.Key) {
			listed.Key = typeName(m.Key)
		}
		if !unknown(m.Value) {
			listed.Value = typeName(m.Value)
		}
		out.Maps = append(out.Maps, listed)
	}
	for _, t := range l.Types {
		text := strings.ReplaceAll(string(appendDeclaration(nil, t)), "\n  ", "\n")
		out.Types = append(out.Types, listedType{typeName(t), strings.TrimSpace(text)})
	}
	return out
}

func (l *Listing) listProgram(prog int) listedProgram {
	img := l.Programs[prog]
	p := listedProgram{
		Name: img.Name, ProgramType: img.Type.String(), Section: img.Section, AttachTo: img.AttachTo,
		Maps: img.Maps, Instructions: []listedInsn{},
	}
	code := l.code(prog)
	if code != nil {
		p.Arch, p.CodeBytes, p.Stubs = code.Arch, code.Bytes, listCode(code.Of[-1])
	}
	functions := starts(img)
	for i, ins := range img.Insns {
		text := img.Text(i)
		if text == "" {
			continue
		}
		raw := isa.Encode(img.Insns[i:min(len(img.Insns), i+slots(ins))])
		one := listedInsn{Index: i, Bytes: fmt.Sprintf("%x", raw), Text: text, Function: functions[i], Poisoned: img.Poisoned[i], Fact: l.fact(prog, i)}
		if line := img.LineAt(i); line != nil {
			one.File, one.Line = line.File, line.Number
		}
		if code != nil {
			one.Code = listCode(code.Of[i])
		}
		p.Instructions = append(p.Instructions, one)
	}
	return p
}

// slots is how many an instruction takes.
func slots(i isa.Instruction) int {
	if i.IsWide() {
		return 2
	}
	return 1
}

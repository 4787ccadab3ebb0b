package difftest

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/isa"
)

// A case file is text, a subject a line; lines that begin with a tab belong to
// the subject above. What stands behind # or ; is for people.
//
//	# why the case is kept
//	seed 1234
//	type XDP
//	packet 00112233…
//	ctx 0011…
//	map NAME TYPE key-size value-size max-entries flags [frozen]
//		key value      (- where the map has no keys)
//	program
//		bf10000000000000 ;   0 MovReg dst: r0 src: r1
//	want ret 2
//	want packet 00112233…
//	want map NAME
//		key value

// Write writes a case and what the kernel gave for it. why may have many lines.
func Write(w io.Writer, c *progen.Case, want *Result, why string) error {
	b := bufio.NewWriter(w)
	for line := range strings.Lines(strings.TrimSpace(why)) {
		fmt.Fprintf(b, "# %s\n", strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(b, "seed %d\ntype %s\npacket %x\nctx %x\n", c.Seed, c.Type, c.Packet, c.Ctx)
	for i := range c.Maps {
		m := &c.Maps[i]
		frozen := ""
		if m.Frozen {
			frozen = " frozen"
		}
		fmt.Fprintf(b, "map %s %s %d %d %d %#x%s\n", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, frozen)
		for _, e := range m.Entries {
			key := "-"
			if len(e.Key) > 0 {
				key = hex.EncodeToString(e.Key)
			}
			fmt.Fprintf(b, "\t%s %x\n", key, e.Value)
		}
	}
	for _, insns := range c.Progs {
		fmt.Fprintf(b, "program\n%s", Listing(insns))
	}
	if want.Refused != 0 {
		fmt.Fprintf(b, "want refused %d ; %v\n", uint16(want.Refused), want.Refused)
		return b.Flush()
	}
	fmt.Fprintf(b, "want ret %d\nwant packet %x\nwant ctx %x\n", want.Ret, want.Packet, want.Ctx)
	for _, name := range slices.Sorted(maps.Keys(want.Maps)) {
		fmt.Fprintf(b, "want map %s\n", name)
		for _, key := range slices.Sorted(maps.Keys(want.Maps[name])) {
			fmt.Fprintf(b, "\t%s %x\n", key, want.Maps[name][key])
		}
	}
	return b.Flush()
}

// Read is the inverse of [Write].
func Read(r io.Reader) (*progen.Case, *Result, error) {
	p := parser{c: &progen.Case{}, want: &Result{Maps: map[string]map[string][]byte{}}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := p.line(lines.Text()); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if p.want.Refused != 0 {
		p.want = &Result{Refused: p.want.Refused}
	}
	return p.c, p.want, lines.Err()
}

type parser struct {
	c    *progen.Case
	want *Result
	// belongs takes a line that begins with a tab.
	belongs func(fields []string) error
}

func (p *parser) line(line string) error {
	text, _, _ := strings.Cut(line, ";")
	f := strings.Fields(text)
	switch {
	case len(f) == 0 || strings.HasPrefix(line, "#"):
		return nil
	case strings.HasPrefix(line, "\t"):
		if p.belongs == nil {
			return fmt.Errorf("belongs to no subject")
		}
		return p.belongs(f)
	}
	p.belongs = nil
	subject, f := f[0], f[1:]
	if subject == "want" && len(f) > 0 {
		subject, f = "want "+f[0], f[1:]
	}
	parse, ok := subjects[subject]
	if !ok {
		return fmt.Errorf("unknown subject %q", subject)
	}
	if len(f) < parse.fields {
		return fmt.Errorf("%s has %d fields, not %d", subject, len(f), parse.fields)
	}
	return parse.line(p, append(f, ""))
}

// subjects are the kinds of lines, with the least number of fields. Behind the
// last field comes an empty one.
var subjects = map[string]struct {
	fields int
	line   func(p *parser, f []string) error
}{
	"seed":         {1, func(p *parser, f []string) (err error) { p.c.Seed, err = strconv.ParseUint(f[0], 10, 64); return }},
	"type":         {1, func(p *parser, f []string) (err error) { p.c.Type, err = named[ebpf.ProgramType](f[0]); return }},
	"packet":       {0, func(p *parser, f []string) (err error) { p.c.Packet, err = hex.DecodeString(f[0]); return }},
	"ctx":          {0, func(p *parser, f []string) (err error) { p.c.Ctx, err = hex.DecodeString(f[0]); return }},
	"map":          {6, (*parser).mapLine},
	"program":      {0, (*parser).program},
	"want refused": {1, func(p *parser, f []string) error { return number(&p.want.Refused, f[0]) }},
	"want ret":     {1, func(p *parser, f []string) error { return number(&p.want.Ret, f[0]) }},
	"want packet":  {0, func(p *parser, f []string) (err error) { p.want.Packet, err = hex.DecodeString(f[0]); return }},
	"want ctx":     {0, func(p *parser, f []string) (err error) { p.want.Ctx, err = hex.DecodeString(f[0]); return }},
	"want map":     {1, (*parser).wantMap},
}

func (p *parser) mapLine(f []string) error {
	typ, err := named[ebpf.MapType](f[1])
	if err != nil {
		return err
	}
	p.c.Maps = append(p.c.Maps, progen.Map{Name: f[0], Type: typ, Frozen: f[6] == "frozen"})
	m := &p.c.Maps[len(p.c.Maps)-1]
	for i, to := range []*uint32{&m.KeySize, &m.ValueSize, &m.MaxEntries, &m.Flags} {
		if err := number(to, f[2+i]); err != nil {
			return err
		}
	}
	p.belongs = func(f []string) error {
		key, value, err := entry(f)
		m.Entries = append(m.Entries, progen.Entry{Key: key, Value: value})
		return err
	}
	return nil
}

func (p *parser) program([]string) error {
	p.c.Progs = append(p.c.Progs, nil)
	insns := &p.c.Progs[len(p.c.Progs)-1]
	p.belongs = func(f []string) error {
		raw, err := hex.DecodeString(f[0])
		if err != nil {
			return err
		}
		more, err := isa.Decode(raw)
		*insns = append(*insns, more...)
		return err
	}
	return nil
}

func (p *parser) wantMap(f []string) error {
	contents := map[string][]byte{}
	p.want.Maps[f[0]] = contents
	p.belongs = func(f []string) error {
		_, value, err := entry(f)
		contents[f[0]] = value
		return err
	}
	return nil
}

func entry(f []string) (key, value []byte, err error) {
	if len(f) != 2 {
		return nil, nil, fmt.Errorf("an entry is a key and a value, not %d fields", len(f))
	}
	if f[0] != "-" {
		if key, err = hex.DecodeString(f[0]); err != nil {
			return nil, nil, err
		}
	}
	value, err = hex.DecodeString(f[1])
	return key, value, err
}

func number[T ~uint16 | ~uint32](to *T, s string) error {
	n, err := strconv.ParseUint(s, 0, 32)
	*to = T(n)
	return err
}

// named gives the type of a name.
func named[T interface {
	~uint32
	fmt.Stringer
}](name string) (T, error) {
	for t := T(0); t < 64; t++ {
		if t.String() == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown type %q", name)
}

package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skep-ebpf/skep/isa"
)

// Case is one case of the suite.
type Case struct {
	Name   string
	Insns  []isa.Instruction
	Mem    []byte
	Result uint64
	Error  string // why it must not run, where it must not
	Fails  bool   // has an error section
}

// Load reads every case of a directory. A case that cannot be read is in errs,
// by its name: in the suite's negative directory that is what is wanted.
func Load(dir string) (cases []*Case, errs map[string]error, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.data"))
	if err != nil {
		return nil, nil, err
	}
	errs = map[string]error{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".data")
		c, err := Parse(string(text))
		if err != nil {
			errs[name] = err
			continue
		}
		c.Name = name
		cases = append(cases, c)
	}
	return cases, errs, nil
}

// Parse reads one case.
func Parse(text string) (*Case, error) {
	sections := map[string][]string{}
	section := ""
	for _, line := range strings.Split(text, "\n") {
		if name, ok := strings.CutPrefix(line, "-- "); ok {
			section = strings.TrimSpace(name)
			switch section {
			case "asm", "raw", "mem", "result", "error", "no register offset", "c": // c: what asm was compiled from
			default:
				return nil, fmt.Errorf("unknown section %q", section)
			}
			sections[section] = []string{}
			continue
		}
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			sections[section] = append(sections[section], strings.TrimSpace(line))
		}
	}
	c := &Case{}
	var err error
	if c.Mem, err = hexBytes(sections["mem"]); err != nil {
		return nil, fmt.Errorf("mem: %w", err)
	}
	switch {
	case sections["raw"] != nil:
		raw, err := rawProgram(sections["raw"])
		if err != nil {
			return nil, fmt.Errorf("raw: %w", err)
		}
		if c.Insns, err = isa.Decode(raw); err != nil {
			return nil, fmt.Errorf("raw: %w", err)
		}
	case len(sections["asm"]) > 0:
		if c.Insns, err = Assemble(sections["asm"]); err != nil {
			return nil, fmt.Errorf("asm: %w", err)
		}
	default:
		return nil, fmt.Errorf("no program: neither asm nor raw")
	}
	lines, fails := sections["error"]
	if c.Fails = fails; fails {
		c.Error = strings.Join(lines, " ")
		return c, nil
	}
	if len(sections["result"]) != 1 {
		return nil, fmt.Errorf("no result")
	}
	if c.Result, err = strconv.ParseUint(sections["result"][0], 0, 64); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return c, nil
}

func hexBytes(lines []string) ([]byte, error) {
	return hex.DecodeString(strings.Join(strings.Fields(strings.Join(lines, " ")), ""))
}

// rawProgram reads bytes, or instructions as numbers of 64 bits.
func rawProgram(lines []string) ([]byte, error) {
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "0x") {
		return hexBytes(lines)
	}
	var b []byte
	for _, word := range strings.Fields(strings.Join(lines, " ")) {
		v, err := strconv.ParseUint(word, 0, 64)
		if err != nil {
			return nil, err
		}
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b, nil
}

// Program is the case's instructions behind one that puts the length of its
// memory into R2.
func (c *Case) Program() []isa.Instruction {
	length := isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV, Dst: 2, Imm: int32(len(c.Mem))}
	return append([]isa.Instruction{length}, c.Insns...)
}

package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// describe adds what types tell of a program. Without any, Linux does not look at them.
func (a *progLoad) describe(c *call, img *program.Image) (err error) {
	if a.FuncInfoCount != 0 || a.LineInfoCount != 0 {
		if img.Types, err = opened.types(a.BTF); err != nil {
			return err
		}
	}
	if a.RelocationCount != 0 {
		return fmt.Errorf("CO-RE relocations in the kernel: %w", errno.EOPNOTSUPP)
	}
	for _, read := range []func(*call, *program.Image) error{a.functions, a.lines, a.target, a.kernel} {
		if err := read(c, img); err != nil {
			return err
		}
	}
	return nil
}

// records reads records of which each may be longer than what is known of it: the
// known bytes of each of them.
func (c *call) records(addr uint64, count, size, known uint32) ([]byte, error) {
	if size < known || size > insnInfoMaxSize || size%4 != 0 {
		return nil, errno.EINVAL
	}
	var b []byte
	for i := range uint64(count) {
		record, err := c.read(addr+i*uint64(size), int(size))
		if err != nil {
			return nil, err
		}
		if !zero(record[known:]) {
			return nil, errno.E2BIG
		}
		b = append(b, record[:known]...)
	}
	return b, nil
}

// functions reads where functions begin, and their types.
func (a *progLoad) functions(c *call, img *program.Image) error {
	if a.FuncInfoCount == 0 {
		for _, at := range isa.Functions(img.Insns) {
			img.Funcs = append(img.Funcs, program.Function{Name: img.Name, Start: at})
		}
		return nil
	}
	if a.FuncInfoCount > a.InsnCount {
		return errno.EINVAL
	}
	raw, err := c.records(a.FuncInfo, a.FuncInfoCount, a.FuncInfoSize, btf.FuncInfoSize)
	if err != nil {
		return err
	}
	infos, err := btf.LoadFuncInfos(bytes.NewReader(raw), binary.NativeEndian, a.FuncInfoCount, img.Types)
	if err != nil {
		return err
	}
	for _, f := range infos {
		img.Funcs = append(img.Funcs, program.Function{Name: f.Func.Name, Start: int(f.Offset), Type: f.Func})
	}
	return nil
}

// lines reads which line of source each instruction is of.
func (a *progLoad) lines(c *call, img *program.Image) error {
	if a.LineInfoCount == 0 {
		return nil
	}
	if a.LineInfoCount > a.InsnCount {
		return errno.EINVAL
	}
	raw, err := c.records(a.LineInfo, a.LineInfoCount, a.LineInfoSize, btf.LineInfoSize)
	if err != nil {
		return err
	}
	infos, err := btf.LoadLineInfos(bytes.NewReader(raw), binary.NativeEndian, a.LineInfoCount, img.Types)
	if err != nil {
		return err
	}
	for _, l := range infos {
		img.Lines = append(img.Lines, program.Line{
			Start: int(l.Offset), File: l.Line.FileName(), Number: int(l.Line.LineNumber()),
			Column: int(l.Line.LineColumn()), Text: strings.TrimSpace(l.Line.Line()),
		})
	}
	return nil
}

// target finds what the program is to be attached to, by its type's id.
func (a *progLoad) target(c *call, img *program.Image) error {
	types := img.KernelTypes
	switch {
	case a.AttachType == 0:
		return nil
	case a.AttachProg != 0:
		obj := progByID(a.AttachProg)
		if obj == nil {
			return errno.EINVAL
		}
		defer obj.unref()
		types = obj.image.Types
	}
	if types == nil {
		return errno.EINVAL
	}
	t, err := types.TypeByID(btf.TypeID(a.AttachType))
	if err != nil {
		return errno.EINVAL
	}
	img.AttachTo, err = attachTo(img, t)
	return err
}

// attachTo is the name by which a program is attached to what a type stands for.
func attachTo(img *program.Image, t btf.Type) (string, error) {
	switch t := t.(type) {
	case *btf.Struct:
		if img.Type != ebpf.StructOps || int(img.Attach) >= len(t.Members) {
			return "", errno.EINVAL
		}
		return t.Name + ":" + t.Members[img.Attach].Name, nil
	case *btf.Typedef:
		return strings.TrimPrefix(t.Name, "btf_trace_"), nil
	case *btf.Func:
		name := strings.TrimPrefix(t.Name, "bpf_iter_")
		if img.Type == ebpf.LSM {
			name = strings.TrimPrefix(name, "bpf_lsm_")
		}
		return name, nil
	}
	return "", errno.EINVAL
}

// kernel finds the kernel's functions and variables that the program names by their
// types' ids.
func (a *progLoad) kernel(c *call, img *program.Image) error {
	for i := 0; i < len(img.Insns); i++ {
		ins := &img.Insns[i]
		switch {
		case ins.IsCall(isa.CallKfunc):
			fn, err := kernelType[*btf.Func](img, ins)
			if err != nil {
				return err
			}
			img.Kfuncs[i] = fn
		case ins.IsWide() && i+1 < len(img.Insns):
			if ins.Src == isa.PseudoBTFID {
				v, err := kernelType[*btf.Var](img, ins)
				if err != nil {
					return err
				}
				if err := c.loadAddress(img.Insns[i:i+2], v.Name); err != nil {
					return err
				}
			}
			i++
		}
	}
	return nil
}

// kernelType is the kernel's type that an instruction names. Modules have none.
func kernelType[T btf.Type](img *program.Image, ins *isa.Instruction) (t T, err error) {
	if ins.Off != 0 || img.KernelTypes == nil {
		return t, errno.EINVAL
	}
	typ, err := img.KernelTypes.TypeByID(btf.TypeID(ins.Imm))
	if err != nil {
		return t, errno.EINVAL
	}
	t, ok := typ.(T)
	if !ok {
		return t, errno.EINVAL
	}
	return t, nil
}

// loadAddress makes a load of a number of the load of a kernel variable.
func (c *call) loadAddress(wide []isa.Instruction, name string) error {
	addr, ok := c.state.Env.Symbols[name]
	if !ok && c.opts.Link.Ksym != nil {
		addr, ok = c.opts.Link.Ksym(name)
	}
	if !ok {
		return errno.ENOENT
	}
	wide[0].Src, wide[0].Imm, wide[1].Imm = 0, int32(addr), int32(addr>>32)
	return nil
}

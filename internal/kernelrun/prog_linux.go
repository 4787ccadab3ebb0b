//go:build linux && (amd64 || arm64)

package kernelrun

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/isa"
)

// Program is a program that the kernel accepted.
type Program struct {
	fd int
}

type progLoadAttr struct {
	progType, insnCount uint32
	insns, license      unsafe.Pointer
	logLevel, logSize   uint32
	log                 unsafe.Pointer
	_, flags            uint32                      // kernel version
	_                   [unix.BPF_OBJ_NAME_LEN]byte // name
	_, attach           uint32                      // interface
	btf, funcInfoSize   uint32
	funcInfo            unsafe.Pointer
	funcInfoCount       uint32
	_                   uint32
	_                   unsafe.Pointer // lines
	_, attachBTF        uint32         // lines
}

type testRunAttr struct {
	fd, ret                 uint32
	dataSizeIn, dataSizeOut uint32
	dataIn, dataOut         unsafe.Pointer
	repeat, duration        uint32
	ctxSizeIn, ctxSizeOut   uint32
	ctxIn, ctxOut           unsafe.Pointer
	_                       [4]uint32 // flags, CPU, batch size
}

// maxPacketOut is room for what a program may make of a packet, in bytes.
const maxPacketOut = 64 << 10

// maxLog is how much of the verifier's log is read, in bytes.
const maxLog = 1 << 20

// Load gives a program to the verifier. Imm of a map load (isa.PseudoMapFD,
// isa.PseudoMapValue) is an index into maps. A program that it refuses gives a
// [Rejected]; withLog adds its reasons, which takes time.
func Load(typ ebpf.ProgramType, insns []isa.Instruction, maps []*Map, withLog bool) (*Program, error) {
	return LoadFor(typ, Target{}, insns, maps, withLog)
}

// LoadFor is [Load] of a program that says what it will be attached to.
func LoadFor(typ ebpf.ProgramType, to Target, insns []isa.Instruction, maps []*Map, withLog bool) (*Program, error) {
	level := uint32(0)
	if withLog {
		level = 1
	}
	p, _, err := load(typ, to, insns, maps, level)
	return p, err
}

// Trace gives the verifier's log at level 2, with the state at each instruction, of a
// program that it accepts or refuses.
func Trace(typ ebpf.ProgramType, insns []isa.Instruction, maps []*Map) (string, error) {
	p, log, err := load(typ, Target{}, insns, maps, 2)
	var refused *Rejected
	switch {
	case errors.As(err, &refused):
		return refused.Log, nil
	case err != nil:
		return "", err
	}
	return log, p.Close()
}

func load(typ ebpf.ProgramType, to Target, insns []isa.Instruction, maps []*Map, logLevel uint32) (*Program, string, error) {
	insns = slices.Clone(insns)
	for i := 0; i < len(insns); i++ {
		ins := &insns[i]
		if !ins.IsWide() {
			continue
		}
		if ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapValue {
			if int(ins.Imm) >= len(maps) || ins.Imm < 0 {
				return nil, "", fmt.Errorf("instruction %d loads map %d of %d", i, ins.Imm, len(maps))
			}
			ins.Imm = int32(maps[ins.Imm].fd)
		}
		i++
	}
	attr := progLoadAttr{
		progType: uint32(typ), insnCount: uint32(len(insns)),
		flags: to.Flags, attach: uint32(to.Attach), attachBTF: uint32(to.Type),
		insns: pointer(isa.Encode(insns)), license: pointer([]byte("GPL\x00")),
	}
	if starts := isa.Functions(insns); len(starts) > 1 {
		if err := attr.describe(starts); err != nil {
			return nil, "", err
		}
	}
	var buf []byte
	if logLevel > 0 {
		buf = make([]byte, maxLog)
		attr.logLevel, attr.logSize, attr.log = logLevel, maxLog, pointer(buf)
	}
	fd, err := bpf(unix.BPF_PROG_LOAD, &attr)
	buf, _, _ = bytes.Cut(buf, []byte{0})
	if err != nil {
		return nil, "", &Rejected{Err: err, Log: string(buf)}
	}
	return &Program{fd}, string(buf), nil
}

// Run runs the program once, or in.Repeat times.
func (p *Program) Run(in *RunInput) (*RunOutput, error) {
	out := &RunOutput{Ctx: make([]byte, in.CtxOut)}
	if len(in.Data) > 0 { // types without a packet take no room for one
		out.Data = make([]byte, maxPacketOut)
	}
	attr := testRunAttr{
		fd:         uint32(p.fd),
		dataSizeIn: uint32(len(in.Data)), dataIn: pointer(in.Data),
		dataSizeOut: uint32(len(out.Data)), dataOut: pointer(out.Data),
		ctxSizeIn: uint32(len(in.Ctx)), ctxSizeOut: uint32(len(out.Ctx)),
		repeat: in.Repeat,
	}
	if len(in.Ctx) > 0 {
		attr.ctxIn = pointer(in.Ctx)
	}
	if len(out.Ctx) > 0 {
		attr.ctxOut = pointer(out.Ctx)
	}
	if _, err := bpf(unix.BPF_PROG_TEST_RUN, &attr); err != nil {
		return nil, fmt.Errorf("run program in the kernel: %w", err)
	}
	out.Ret, out.Duration = attr.ret, attr.duration
	out.Data, out.Ctx = out.Data[:attr.dataSizeOut], out.Ctx[:attr.ctxSizeOut]
	return out, nil
}

// Close gives the program back to the kernel.
func (p *Program) Close() error { return unix.Close(p.fd) }

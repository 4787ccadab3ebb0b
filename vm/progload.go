package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// progLoad is BPF_PROG_LOAD.
type progLoad struct {
	Type, InsnCount                    uint32
	Insns, License                     uint64
	LogLevel, LogSize                  uint32
	Log                                uint64
	KernelVersion, Flags               uint32
	Name                               [16]byte
	Ifindex, Attach                    uint32
	BTF, FuncInfoSize                  uint32
	FuncInfo                           uint64
	FuncInfoCount, LineInfoSize        uint32
	LineInfo                           uint64
	LineInfoCount, AttachType          uint32
	AttachProg, RelocationCount        uint32
	FDArray, Relocations               uint64
	RelocationSize, LogTrueSize, Token uint32
	FDArrayCount                       uint32
	Signature                          uint64
	SignatureSize, Keyring             uint32
}

// Flags of a program's load that mean something here or change nothing:
// BPF_F_STRICT_ALIGNMENT up to BPF_F_TEST_REG_INVARIANTS.
const (
	loadFlags       = 0xff
	maxInsns        = 1_000_000
	maxLicense      = 127
	insnInfoMaxSize = 4096 // of one record of what is told about instructions
)

func (a *progLoad) run(c *call) (uint32, error) {
	if err := a.check(); err != nil {
		return 0, err
	}
	img, err := a.image(c)
	if err != nil {
		return 0, err
	}
	log := logBuffer{level: a.LogLevel, size: a.LogSize, addr: a.Log}
	if err := log.check(); err != nil {
		return 0, err
	}
	if err := a.describe(c, img); err != nil {
		return 0, err
	}
	objs, err := a.maps(c, img)
	defer func() {
		for _, o := range objs {
			o.unref()
		}
	}()
	if err != nil {
		return 0, err
	}
	opts := c.opts
	opts.Env = c.state.Env
	p, err := newProgram(&ebpf.CollectionSpec{Types: img.Types}, img, objs, &opts)
	log.write(c, err)
	if err != nil {
		c.made("prog_load", 0, fmt.Sprintf("%s %s: %v", img.Type, img.Name, err))
		return 0, refusal(err)
	}
	fd, err := opened.add(uint32(p.FD()), p)
	if err == nil {
		c.made("prog_load", fd, fmt.Sprintf("%s %s", img.Type, img.Name))
	}
	return fd, err
}

// refusal is the error number for a program that cannot be loaded.
func refusal(err error) error {
	var refused *verifier.Error
	if errors.As(err, &refused) {
		return refused.Errno()
	}
	return err
}

// check refuses attributes that make no sense for any program.
func (a *progLoad) check() error {
	a.defaultAttach()
	typ := ebpf.ProgramType(a.Type)
	attach, some := attachTypes[typ]
	attached := typ == ebpf.Tracing || typ == ebpf.LSM || typ == ebpf.StructOps || typ == ebpf.Extension
	switch {
	case a.Flags&^(loadFlags|flagToken) != 0:
		return errno.EINVAL
	case a.Flags&flagToken != 0:
		return noToken(a.Token)
	case a.InsnCount == 0 || a.InsnCount > maxInsns:
		return errno.E2BIG
	case a.AttachType != 0 && !attached, a.AttachProg != 0 && a.AttachType == 0:
		return errno.EINVAL
	case some && !slices.Contains(attach, ebpf.AttachType(a.Attach)):
		return errno.EINVAL
	case a.Signature != 0 || a.Ifindex != 0:
		return fmt.Errorf("the machine checks no signatures and has no devices: %w", errno.EINVAL)
	}
	return nil
}

// image is the program as the machine takes it, but for its maps.
func (a *progLoad) image(c *call) (*program.Image, error) {
	raw, err := c.read(a.Insns, int(a.InsnCount)*isa.Size)
	if err != nil {
		return nil, err
	}
	img := &program.Image{
		Type: ebpf.ProgramType(a.Type), Attach: ebpf.AttachType(a.Attach), Flags: a.Flags,
		Kfuncs: make(map[int]*btf.Func), KernelTypes: c.state.Env.Types,
	}
	if img.Insns, err = isa.Decode(raw); err != nil {
		return nil, err
	}
	if img.License, err = c.text(a.License, maxLicense); err != nil {
		return nil, err
	}
	if img.Name, err = objectName(a.Name); err != nil {
		return nil, err
	}
	return img, nil
}

// text reads a NUL-terminated string; what is longer than most is cut.
func (c *call) text(addr uint64, most int) (string, error) {
	var s []byte
	for len(s) < most {
		b := c.state.Kernel(addr + uint64(len(s)))
		if len(b) == 0 {
			return "", errno.EFAULT
		}
		part, _, ended := bytes.Cut(b[:min(len(b), most-len(s))], []byte{0})
		s = append(s, part...)
		if ended {
			break
		}
	}
	return string(s), nil
}

// maps finds the maps that instructions name by descriptors, or by indices into the
// array of them, and names them. The caller lets go of what it gets.
func (a *progLoad) maps(c *call, img *program.Image) ([]*mapObject, error) {
	var objs []*mapObject
	use := func(fd uint32) (index int, err error) {
		obj, err := mapByFD(fd)
		if err != nil {
			return 0, err
		}
		if i := slices.Index(objs, obj); i >= 0 {
			obj.unref()
			return i, nil
		}
		objs = append(objs, obj)
		if info := obj.Info(); info.Type == ebpf.Arena && info.Extra == 0 {
			return 0, fmt.Errorf("nobody has mapped the arena, and map_extra does not say where: %w", errno.EINVAL)
		}
		name := fmt.Sprintf("%s#%d", obj.Info().Name, fd)
		if obj.constant() {
			name = ".rodata#" + name
		}
		img.Maps = append(img.Maps, name)
		return len(objs) - 1, nil
	}
	for i := range int(a.FDArrayCount) {
		fd, err := a.fromArray(c, i)
		if err != nil {
			return objs, err
		}
		if _, err := use(fd); err != nil {
			if _, noTypes := opened.types(fd); noTypes != nil {
				return objs, err
			}
		}
	}
	for i := 0; i < len(img.Insns); i++ {
		ins := &img.Insns[i]
		if !ins.IsWide() {
			continue
		}
		i++
		fd, src := uint32(ins.Imm), ins.Src
		switch src {
		case isa.PseudoMapFD, isa.PseudoMapValue:
		case isa.PseudoMapIdx, isa.PseudoMapIdxV:
			var err error
			if fd, err = a.fromArray(c, int(ins.Imm)); err != nil {
				return objs, err
			}
			src -= isa.PseudoMapIdx - isa.PseudoMapFD
		default:
			continue
		}
		index, err := use(fd)
		if err != nil {
			return objs, err
		}
		ins.Src, ins.Imm = src, int32(index)
	}
	return objs, nil
}

// fromArray is a descriptor of the array of them.
func (a *progLoad) fromArray(c *call, i int) (uint32, error) {
	if a.FDArray == 0 {
		return 0, errno.EPROTO
	}
	fd, err := c.read(a.FDArray+4*uint64(i), 4)
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint32(fd), nil
}

// attachTypes are those that programs of a type may be loaded for; of a type that is
// not here, any.
var attachTypes = map[ebpf.ProgramType][]ebpf.AttachType{
	ebpf.CGroupSock: {ebpf.AttachCGroupInetSockCreate, ebpf.AttachCgroupInetSockRelease,
		ebpf.AttachCGroupInet4PostBind, ebpf.AttachCGroupInet6PostBind},
	ebpf.CGroupSockAddr: {ebpf.AttachCGroupInet4Bind, ebpf.AttachCGroupInet6Bind, ebpf.AttachCGroupInet4Connect,
		ebpf.AttachCGroupInet6Connect, ebpf.AttachCgroupUnixConnect, ebpf.AttachCgroupInet4GetPeername,
		ebpf.AttachCgroupInet6GetPeername, ebpf.AttachCgroupUnixGetpeername, ebpf.AttachCgroupInet4GetSockname,
		ebpf.AttachCgroupInet6GetSockname, ebpf.AttachCgroupUnixGetsockname, ebpf.AttachCGroupUDP4Sendmsg,
		ebpf.AttachCGroupUDP6Sendmsg, ebpf.AttachCgroupUnixSendmsg, ebpf.AttachCGroupUDP4Recvmsg,
		ebpf.AttachCGroupUDP6Recvmsg, ebpf.AttachCgroupUnixRecvmsg},
	ebpf.CGroupSKB:     {ebpf.AttachCGroupInetIngress, ebpf.AttachCGroupInetEgress},
	ebpf.CGroupSockopt: {ebpf.AttachCGroupSetsockopt, ebpf.AttachCGroupGetsockopt},
	ebpf.SkLookup:      {ebpf.AttachSkLookup},
	ebpf.SkReuseport:   {ebpf.AttachSkReuseportSelect, ebpf.AttachSkReuseportSelectOrMigrate},
	ebpf.Netfilter:     {ebpf.AttachNetfilter},
	ebpf.Syscall:       {0},
	ebpf.Extension:     {0},
}

// defaultAttach fills in what old loaders leave open (bpf_prog_load_fixup_attach_type).
func (a *progLoad) defaultAttach() {
	if a.Attach != 0 {
		return
	}
	switch ebpf.ProgramType(a.Type) {
	case ebpf.CGroupSock:
		a.Attach = uint32(ebpf.AttachCGroupInetSockCreate)
	case ebpf.SkReuseport:
		a.Attach = uint32(ebpf.AttachSkReuseportSelect)
	}
}

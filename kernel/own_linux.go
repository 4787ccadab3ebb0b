package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// mapCreate is what BPF_MAP_CREATE reads of union bpf_attr.
type mapCreate struct {
	typ, key, value, entries, flags uint32
	_                               [2]uint32 // map inside, NUMA node
	name                            [unix.BPF_OBJ_NAME_LEN]byte
	_                               uint32 // interface
	types, keyType, valueType       uint32
	_                               uint32 // the kernel's type of the value
	extra                           uint64
}

// progLoad is what BPF_PROG_LOAD reads of union bpf_attr.
type progLoad struct {
	typ, count      uint32
	insns, license  *byte
	logLevel, size  uint32
	log             *byte
	_, flags        uint32 // the kernel's version
	name            [unix.BPF_OBJ_NAME_LEN]byte
	_, attach       uint32 // an interface
	types, funcSize uint32
	funcs           *byte
	funcCount, _    uint32
	_               uint64 // lines
	_, attachTypeID uint32
}

// load loads the maps and programs, and puts them into a collection of the rest.
func (o *own) load(coll *ebpf.Collection, spec *ebpf.CollectionSpec, opts *Options) error {
	var types *btf.Handle
	if len(o.maps) > 0 {
		var err error
		if types, err = loadTypes(spec.Types); err != nil {
			return err
		}
		defer types.Close()
	}
	for _, name := range o.maps {
		m, err := createMap(spec, name, types)
		if err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
		coll.Maps[name] = m
	}
	for _, name := range o.programs {
		prog, err := loadProgram(coll, spec, name, types, opts)
		if err != nil {
			return err
		}
		coll.Programs[name] = prog
	}
	return nil
}

// loadTypes loads all types of an object, with the numbers that they have in it.
func loadTypes(spec *btf.Spec) (*btf.Handle, error) {
	var b btf.Builder
	next := btf.TypeID(1)
	add := func(t btf.Type) (err error) {
		next, err = b.Add(t)
		next++
		return err
	}
	for t, err := range spec.All() {
		if err != nil {
			return nil, err
		}
		id, err := spec.TypeID(t)
		if err != nil {
			return nil, err
		}
		for next < id { // tags of declarations stand elsewhere
			if err := add(placeholder()); err != nil {
				return nil, err
			}
		}
		if id > 0 {
			if err := add(kernelType(t)); err != nil {
				return nil, err
			}
		}
	}
	h, err := btf.NewHandle(&b)
	if err != nil {
		return nil, fmt.Errorf("load the object's types: %w", err)
	}
	return h, nil
}

// createMap creates a map with the object's types, and fills it.
func createMap(spec *ebpf.CollectionSpec, name string, types *btf.Handle) (*ebpf.Map, error) {
	m := spec.Maps[name]
	attr := &mapCreate{
		typ: uint32(m.Type), key: m.KeySize, value: m.ValueSize, entries: m.MaxEntries, flags: m.Flags,
		types: uint32(types.FD()), extra: m.MapExtra,
	}
	copy(attr.name[:len(attr.name)-1], m.Name)
	for id, t := range map[*uint32]btf.Type{&attr.keyType: m.Key, &attr.valueType: m.Value} {
		if t != nil {
			number, err := spec.Types.TypeID(t)
			if err != nil {
				return nil, err
			}
			*id = uint32(number)
		}
	}
	fd, err := bpfCall(unix.BPF_MAP_CREATE, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	if err != nil {
		return nil, err
	}
	made, err := ebpf.NewMapFromFD(fd)
	if err != nil {
		return nil, err
	}
	for _, kv := range contents(spec, name) {
		if err := made.Put(kv.Key, kv.Value); err != nil {
			return nil, errors.Join(err, made.Close())
		}
	}
	return made, nil
}

// loadProgram loads a program whose maps are loaded; types are the object's, which
// programs of lsm_cgroup do without.
func loadProgram(coll *ebpf.Collection, spec *ebpf.CollectionSpec, name string, types *btf.Handle, opts *Options) (*ebpf.Program, error) {
	link := opts.Link
	link.HasKfunc = hasFunc
	img, err := program.Link(spec, name, &link)
	if err != nil {
		return nil, err
	}
	to, err := attachType(img)
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	code, err := encode(img, coll)
	if err != nil {
		return nil, err
	}
	license := []byte(img.License + "\x00")
	attr := &progLoad{
		typ: uint32(img.Type), count: uint32(len(img.Insns)), insns: &code[0], license: &license[0], flags: img.Flags,
		attach: uint32(img.Attach), attachTypeID: uint32(to),
	}
	copy(attr.name[:len(attr.name)-1], name)
	if types != nil {
		funcs, err := funcInfos(img)
		if err != nil {
			return nil, err
		}
		attr.types, attr.funcSize, attr.funcCount, attr.funcs = uint32(types.FD()), funcInfoSize, uint32(len(img.Funcs)), &funcs[0]
	}
	if opts.Log != nil {
		attr.wantLog()
	}
	fd, refused := attr.load()
	if refused != nil && attr.log == nil {
		attr.wantLog()
		fd, refused = attr.load()
	}
	if refused == nil {
		prog, err := ebpf.NewProgramFromFD(fd)
		if err == nil {
			prog.VerifierLog = attr.said()
		}
		return prog, err
	}
	said := &ebpf.VerifierError{Cause: refused}
	if text := attr.said(); text != "" {
		said.Log = strings.Split(text, "\n")
	}
	return nil, fmt.Errorf("program %s: load program: %w", name, said)
}

// attachType finds what of the kernel a program is loaded for; 0: nothing.
func attachType(img *program.Image) (btf.TypeID, error) {
	var name string
	switch {
	case img.Type == ebpf.StructOps:
		return 0, errors.New("its maps keep objects that it allocates, which skep does not load for operations of the kernel's structures")
	case img.Type == ebpf.LSM:
		name = "bpf_lsm_" + img.AttachTo
	case img.Type != ebpf.Tracing:
		return 0, nil
	case img.Attach == ebpf.AttachTraceRawTp:
		return kernelID[*btf.Typedef]("btf_trace_" + img.AttachTo)
	case img.Attach == ebpf.AttachTraceIter:
		name = "bpf_iter_" + img.AttachTo
	default:
		name = img.AttachTo
	}
	return kernelID[*btf.Func](name)
}

const funcInfoSize = 8 // struct bpf_func_info

// funcInfos are the functions' types, as Linux reads them.
func funcInfos(img *program.Image) ([]byte, error) {
	var b []byte
	for _, f := range img.Funcs {
		if f.Type == nil {
			return nil, fmt.Errorf("program %s: function %s has no type: compile it with -g", img.Name, f.Name)
		}
		id, err := img.Types.TypeID(f.Type)
		if err != nil {
			return nil, err
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(f.Start))
		b = binary.NativeEndian.AppendUint32(b, uint32(id))
	}
	return b, nil
}

// encode gives a program's code with the maps of a collection and the kernel's functions.
func encode(img *program.Image, coll *ebpf.Collection) ([]byte, error) {
	insns := append([]isa.Instruction(nil), img.Insns...)
	for i := 0; i < len(insns); i++ {
		ins := &insns[i]
		if fn := img.Kfuncs[i]; fn != nil {
			name, _, _ := strings.Cut(fn.Name, "___")
			id, err := kernelID[*btf.Func](name)
			if err != nil {
				return nil, fmt.Errorf("program %s: kernel function %s: %w", img.Name, name, err)
			}
			ins.Imm, ins.Off = int32(id), 0
		}
		if !ins.IsWide() {
			continue
		}
		if ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapValue {
			m := coll.Maps[img.Maps[ins.Imm]]
			if m == nil {
				return nil, fmt.Errorf("program %s uses map %s, which was not loaded", img.Name, img.Maps[ins.Imm])
			}
			ins.Imm = int32(m.FD())
		}
		i++
	}
	return isa.Encode(insns), nil
}

// wantLog has the verifier write what it finds.
func (a *progLoad) wantLog() {
	log := make([]byte, 1<<20)
	a.logLevel, a.size, a.log = uint32(ebpf.LogLevelBranch), uint32(len(log)), &log[0]
}

// said is what it wrote.
func (a *progLoad) said() string {
	if a.log == nil {
		return ""
	}
	text, _, _ := bytes.Cut(unsafe.Slice(a.log, a.size), []byte{0})
	return strings.TrimSpace(string(text))
}

func (a *progLoad) load() (fd int, err error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	for _, p := range []*byte{a.insns, a.license, a.log, a.funcs} {
		if p != nil {
			pin.Pin(p)
		}
	}
	for {
		fd, err = bpfCall(unix.BPF_PROG_LOAD, unsafe.Pointer(a), unsafe.Sizeof(*a))
		if !errors.Is(err, unix.EAGAIN) { // a signal, such as the runtime's, ended the verifier early
			return fd, err
		}
	}
}

// bpfCall is bpf().
func bpfCall(cmd uintptr, attr unsafe.Pointer, size uintptr) (fd int, err error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

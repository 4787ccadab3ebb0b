package program

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// kconfigName is the name of the section of .kconfig variables, and of the map
// that they become.
const kconfigName = ".kconfig"

// flagReadOnlyProg is BPF_F_RDONLY_PROG.
const flagReadOnlyProg = 1 << 7

// otherVersion is the kernel version that programs see where there is no Linux.
const otherVersion = 6<<16 | 12<<8

// kconfig is an object's .kconfig section.
type kconfig struct {
	datasec *btf.Datasec
	externs map[string]*Extern // by name; other kinds too
}

// resolveKconfig aims an instruction at a variable in the image's .kconfig map,
// which the first one makes.
func (l *linker) resolveKconfig(ins *asm.Instruction, ext *Extern) error {
	if !ins.OpCode.IsDWordLoad() {
		return fmt.Errorf("use of %s other than by its address", ext.Name)
	}
	if l.img.Data[kconfigName] == nil {
		m, err := ext.kconfig.build(l.opts)
		if err != nil {
			return err
		}
		l.img.Data[kconfigName] = m
	}
	ins.Src = asm.PseudoMapValue
	l.setMap(ins, kconfigName, variables(ext.kconfig.datasec)[ext.Name].Offset)
	return nil
}

// ResolveKconfig gives a spec the map that its .kconfig variables become, and has its
// programs load them from there. The spec's programs get instructions of their own. A
// spec that [Open] or [Read] gave knows these variables, and others have none.
func ResolveKconfig(spec *ebpf.CollectionSpec, opts *LinkOptions) error {
	for name, prog := range spec.Programs {
		cloned := false
		for i := range prog.Instructions {
			ext := ExternOf(&prog.Instructions[i])
			if ext == nil || ext.Kind != ExternKconfig || !prog.Instructions[i].OpCode.IsDWordLoad() {
				continue
			}
			if spec.Maps[kconfigName] == nil {
				m, err := ext.kconfig.build(opts)
				if err != nil {
					return fmt.Errorf("program %s: %w", name, err)
				}
				spec.Maps[kconfigName] = m
			}
			if !cloned {
				prog = prog.Copy()
				spec.Programs[name], cloned = prog, true
			}
			prog.Instructions[i] = loadVariable(&prog.Instructions[i], kconfigName, variables(ext.kconfig.datasec)[ext.Name].Offset)
		}
	}
	return nil
}

// loadVariable is an instruction that loads the address of a variable in a map's value,
// in place of one that referred to it otherwise.
func loadVariable(old *asm.Instruction, mapName string, offset uint32) asm.Instruction {
	ins := asm.LoadMapValue(old.Dst, 0, offset).WithReference(mapName)
	if s := old.Source(); s != nil {
		ins = ins.WithSource(s)
	}
	if name := old.Symbol(); name != "" {
		ins = ins.WithSymbol(name)
	}
	if f := btf.FuncMetadata(old); f != nil {
		ins = btf.WithFuncMetadata(ins, f)
	}
	return ins
}

// build makes the read-only map that holds the section's variables.
func (k *kconfig) build(opts *LinkOptions) (*ebpf.MapSpec, error) {
	value := make([]byte, k.datasec.Size)
	for _, v := range k.datasec.Vars {
		vr, ok := v.Type.(*btf.Var)
		if !ok || uint64(v.Offset)+uint64(v.Size) > uint64(len(value)) {
			return nil, fmt.Errorf("section .kconfig describes %s wrongly", v.Type.TypeName())
		}
		text, ok := opts.config(vr.Name)
		if !ok {
			if ext := k.externs[vr.Name]; ext != nil && ext.Weak {
				continue
			}
			return nil, fmt.Errorf("kernel option %s is not known: give it a value, or declare it __weak so that it is 0", vr.Name)
		}
		if err := putConfig(value[v.Offset:v.Offset+v.Size], vr.Type, text); err != nil {
			return nil, fmt.Errorf("kernel option %s=%s: %w", vr.Name, text, err)
		}
	}
	return &ebpf.MapSpec{
		Name:       kconfigName,
		Type:       ebpf.Array,
		KeySize:    4,
		ValueSize:  k.datasec.Size,
		MaxEntries: 1,
		Flags:      flagReadOnlyProg,
		Key:        &btf.Void{},
		Value:      k.datasec,
		Contents:   []ebpf.MapKV{{Key: uint32(0), Value: value}},
	}, nil
}

// config gives the text of a .kconfig variable.
func (o *LinkOptions) config(name string) (string, bool) {
	if text, ok := o.Kconfig[name]; ok {
		return text, true
	}
	version := o.KernelVersion
	if version == 0 {
		version = hostVersion()
	}
	switch {
	case name == "LINUX_KERNEL_VERSION":
		return strconv.FormatUint(uint64(version), 10), true
	case name == "LINUX_HAS_BPF_COOKIE": // bpf_get_attach_cookie
		return yes(version >= 5<<16|15<<8), true
	case name == "LINUX_HAS_SYSCALL_WRAPPER": // __x64_sys_*
		return yes(version >= 4<<16|17<<8 && slices.Contains([]string{"amd64", "arm64", "s390x"}, runtime.GOARCH)), true
	case o.Kconfig != nil:
		return "", false
	}
	host, err := hostConfig()
	if err != nil {
		return "", false
	}
	text, ok := host[name]
	return text, ok
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func yes(b bool) string {
	if b {
		return "y"
	}
	return "n"
}

// hostConfig is the running kernel's configuration.
var hostConfig = sync.OnceValues(func() (map[string]string, error) {
	f, err := os.Open("/proc/config.gz")
	if err != nil {
		f, err = os.Open("/boot/config-" + hostRelease())
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if strings.HasSuffix(f.Name(), ".gz") {
		zr, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		return ParseKconfig(zr)
	}
	return ParseKconfig(f)
})

// ParseKconfig reads a kernel's .config, as [LinkOptions].Kconfig takes it.
func ParseKconfig(r io.Reader) (map[string]string, error) {
	config := make(map[string]string)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.HasPrefix(name, "CONFIG_") {
			config[name] = text
		}
	}
	return config, lines.Err()
}

// putConfig writes an option's value as libbpf does.
func putConfig(dst []byte, typ btf.Type, text string) error {
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Array:
		unquoted, err := strconv.Unquote(text)
		if err != nil {
			return errors.New("the variable is a string, the value is not")
		}
		if n := len(dst) - 1; len(unquoted) > n {
			unquoted = unquoted[:max(n, 0)]
		}
		copy(dst, unquoted)
		return nil
	case *btf.Enum: // enum libbpf_tristate
		i := slices.Index([]string{"n", "y", "m"}, text)
		if i < 0 {
			return errors.New("the variable takes y, m or n")
		}
		return putInt(dst, uint64(i))
	case *btf.Int:
		switch {
		case t.Encoding == btf.Bool:
			return putBool(dst, text)
		case t.Encoding == btf.Char && len(text) == 1 || t.Size == 1 && strings.Contains("ynm", text):
			return putInt(dst, uint64(text[0]))
		}
		v, err := parseInt(text, int(t.Size), t.Encoding == btf.Signed)
		if err != nil {
			return err
		}
		return putInt(dst, v)
	}
	return fmt.Errorf("a variable of type %s cannot hold it", ctype.Name(typ))
}

// putInt writes a number in as many bytes as there are.
func putInt(dst []byte, v uint64) error {
	switch len(dst) {
	case 1:
		dst[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(dst, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(dst, uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(dst, v)
	default:
		return fmt.Errorf("a number does not have %d bytes", len(dst))
	}
	return nil
}

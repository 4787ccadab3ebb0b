package kernel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/usdt"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() { families["usdt"] = planUSDT }

// planUSDT attaches to the static probes of a file: PATH:PROVIDER:NAME, in which the
// names may be patterns, with ,pid=N behind it for one process.
func planUSDT(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	target, pid, err := cutPID(at)
	if err != nil {
		return nil, err
	}
	path, provider, name, ok := cutProbe(target)
	if !ok {
		return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	if path, err = findFile(path); err != nil {
		return nil, err
	}
	probes, err := findProbes(path, provider, name)
	if err != nil {
		return nil, err
	}
	places := make([]uprobePlace, len(probes))
	u := usdtArgs{coll: c, path: path, pid: pid}
	for i := range probes {
		places[i] = uprobePlace{offset: probes[i].Offset, counter: probes[i].Semaphore}
		if places[i].cookie, err = u.describe(&probes[i]); err != nil {
			return nil, err
		}
	}
	return func() (io.Closer, error) {
		if err := u.store(); err != nil {
			return nil, err
		}
		return attachUprobes(prog, at, path, pid, places)
	}, nil
}

// cutProbe takes PATH:PROVIDER:NAME apart.
func cutProbe(target string) (path, provider, name string, ok bool) {
	last := strings.LastIndexByte(target, ':')
	if last < 0 {
		return "", "", "", false
	}
	path, name = target[:last], target[last+1:]
	if last = strings.LastIndexByte(path, ':'); last <= 0 {
		return "", "", "", false
	}
	path, provider = path[:last], path[last+1:]
	return path, provider, name, provider != "" && name != ""
}

// findProbes gives the places of a file's probes whose names match patterns.
func findProbes(path, provider, name string) ([]usdt.Probe, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := usdt.Read(file)
	if err != nil {
		return nil, fmt.Errorf("probes of %s: %w", path, err)
	}
	wanted := pattern(provider + ":" + name)
	found := slices.DeleteFunc(slices.Clone(all), func(p usdt.Probe) bool { return !wanted.MatchString(p.String()) })
	if len(found) > 0 {
		return found, nil
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no static probes (USDT)", path)
	}
	var names []string
	for i := range all {
		names = append(names, all[i].String())
	}
	slices.Sort(names)
	return nil, fmt.Errorf("%s has no static probe %s:%s%s", path, provider, name, suggest.Name(provider+":"+name, slices.Compact(names)))
}

// The maps through which programs learn where a probe's arguments are. libbpf's
// usdt.bpf.h declares them, and skep's does.
const (
	usdtSpecs = "__bpf_usdt_specs"         // struct __bpf_usdt_spec by number
	usdtIPs   = "__bpf_usdt_ip_to_spec_id" // the numbers by the addresses of nops, where there are no cookies
)

// usdtArgs tells a program where the arguments of probes are: a description has a number,
// which the program finds in the cookie of its attachment.
type usdtArgs struct {
	coll  *Collection
	path  string
	pid   int
	value map[uint32][]byte // descriptions by their numbers
	ips   map[uint64]uint32
}

// describe gives the number of the description of a probe's arguments. Programs that do
// not ask for arguments get none.
func (u *usdtArgs) describe(p *usdt.Probe) (number uint64, err error) {
	m := u.coll.Maps[usdtSpecs]
	if m == nil {
		return 0, nil
	}
	args, err := p.Arguments()
	if err != nil {
		return 0, err
	}
	value, err := encodeSpec(u.coll.Spec.Maps[usdtSpecs].Value, args)
	if err != nil {
		return 0, fmt.Errorf("probe %s: %w", p, err)
	}
	n, known := u.coll.usdtSpecs[string(value)]
	if !known {
		n = uint32(len(u.coll.usdtSpecs))
		if n >= m.MaxEntries() {
			return 0, fmt.Errorf("probe %s: there are more kinds of arguments than map %s has room for: define BPF_USDT_MAX_SPEC_CNT above %d before usdt.bpf.h is included", p, usdtSpecs, m.MaxEntries())
		}
		u.coll.usdtSpecs[string(value)] = n
	}
	if u.value == nil {
		u.value, u.ips = make(map[uint32][]byte), make(map[uint64]uint32)
	}
	u.value[n] = value
	if features.HaveProgramHelper(ebpf.Kprobe, asm.FnGetAttachCookie) == nil {
		return uint64(n), nil
	}
	if u.coll.Maps[usdtIPs] == nil {
		return 0, fmt.Errorf("probe %s: the kernel has no cookies for attachments (they need Linux 5.15), and the object has no map %s to use in their place", p, usdtIPs)
	}
	ip, err := u.address(p)
	u.ips[ip] = n
	return 0, err
}

// address is where a process that skep may look into has a probe in its memory.
func (u *usdtArgs) address(p *usdt.Probe) (uint64, error) {
	if p.Fixed {
		return p.Address, nil
	}
	if u.pid == 0 {
		return 0, fmt.Errorf("probe %s: before Linux 5.15 its arguments are known for one process: write ,pid=N behind it", p)
	}
	path, err := filepath.Abs(u.path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return 0, err
	}
	maps := fmt.Sprintf("/proc/%d/maps", u.pid)
	found := uint64(0)
	_, err = namesIn(maps, func(line string) (string, bool) {
		var first, last, offset uint64
		var mode, device, inode, file string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %s %s", &first, &last, &mode, &offset, &device, &inode, &file); n < 7 || file != path {
			return "", false
		}
		if offset <= p.Offset && p.Offset-offset < last-first {
			found = first + p.Offset - offset
		}
		return "", false
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("process %d has not loaded %s", u.pid, u.path)
	}
	return found, err
}

// store puts the descriptions into the object's maps.
func (u *usdtArgs) store() error {
	for n, value := range u.value {
		if err := u.coll.Maps[usdtSpecs].Put(n, value); err != nil {
			return fmt.Errorf("map %s: %w", usdtSpecs, err)
		}
	}
	for ip, n := range u.ips {
		if err := u.coll.Maps[usdtIPs].Put(ip, n); err != nil {
			return fmt.Errorf("map %s: %w", usdtIPs, err)
		}
	}
	return nil
}

// encodeSpec makes a struct __bpf_usdt_spec, whose layout has changed from version to
// version of libbpf: the object's types tell it.
func encodeSpec(typ btf.Type, args []usdt.Arg) ([]byte, error) {
	spec, ok := btf.As[*btf.Struct](typ)
	if !ok {
		return nil, fmt.Errorf("the object does not say what map %s holds: build it with types (clang -g)", usdtSpecs)
	}
	w := structWriter{make([]byte, spec.Size)}
	w.put(spec, 0, "arg_cnt", uint64(len(args)))
	list := member(spec, "args")
	if list == nil {
		return nil, errors.New("its struct __bpf_usdt_spec has no arguments")
	}
	array, ok := btf.As[*btf.Array](list.Type)
	if !ok || int(array.Nelems) < len(args) {
		return nil, fmt.Errorf("its struct __bpf_usdt_spec has no room for %d arguments", len(args))
	}
	one, ok := btf.As[*btf.Struct](array.Type)
	if !ok {
		return nil, errors.New("its struct __bpf_usdt_spec has arguments of another type")
	}
	for i, a := range args {
		at := list.Offset + btf.Bits(uint32(i)*one.Size*8)
		w.put(one, at, "val_off", uint64(a.Value))
		w.put(one, at, "arg_type", uint64(a.Kind))
		w.put(one, at, "reg_off", uint64(a.Base))
		w.put(one, at, "arg_bitshift", uint64(64-8*a.Size))
		if a.Signed {
			w.put(one, at, "arg_signed", 1)
		}
		if a.Kind != usdt.Indexed {
			continue
		}
		if !w.put(one, at, "idx_reg_off", uint64(a.Index)) || !w.put(one, at, "scale_bitshift", uint64(a.Shift)) {
			return nil, fmt.Errorf("argument %d is indexed by a register, which the object's usdt.bpf.h is too old for: build it with a newer one", i+1)
		}
	}
	return w.data, nil
}

// structWriter fills a struct by the names of its fields.
type structWriter struct{ data []byte }

// put writes a field of a struct that begins at a bit. It reports whether there is such
// a field.
func (w structWriter) put(s *btf.Struct, at btf.Bits, name string, value uint64) bool {
	m := member(s, name)
	if m == nil {
		return false
	}
	size := m.BitfieldSize
	if size == 0 {
		n, err := btf.Sizeof(m.Type)
		if err != nil {
			return false
		}
		size = btf.Bits(8 * n)
	}
	first := at + m.Offset
	if size > 64 || uint64(first+size) > 8*uint64(len(w.data)) {
		return false
	}
	for i := range size {
		bit := first + i
		w.data[bit/8] |= byte(value>>i&1) << (bit % 8)
	}
	return true
}

func member(s *btf.Struct, name string) *btf.Member {
	i := slices.IndexFunc(s.Members, func(m btf.Member) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Members[i]
}

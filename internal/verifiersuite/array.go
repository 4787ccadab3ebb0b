package verifiersuite

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// ArrayCase is one of the older table tests: raw instructions, and which of them
// load which of the runner's maps.
type ArrayCase struct {
	File, Descr, Mode string
	Idx               int
	ProgType          string `json:"prog_type"`
	Attach            string
	AttachTo          string `json:"attach_to"`
	Insns             string // hexadecimal; "": a generated program, which the data does not hold
	Flags             uint32 `json:"prog_flags"`
	Verdict           string
	ErrStr            string
	Says              []string
	Kernel            string   // the release that said so
	Kfuncs            [][2]any // name, instruction
	Vectors           []struct {
		Retval int64
		Data   string // hexadecimal
	}

	FixupMapArray48B    []int `json:"fixup_map_array_48b"`
	FixupMapArraySmall  []int `json:"fixup_map_array_small"`
	FixupMapHash8B      []int `json:"fixup_map_hash_8b"`
	FixupMapHash48B     []int `json:"fixup_map_hash_48b"`
	FixupMapEventOutput []int `json:"fixup_map_event_output"`
	FixupMapRingbuf     []int `json:"fixup_map_ringbuf"`
	FixupMapKptr        []int `json:"fixup_map_kptr"`

	types *btf.Spec
}

// ReadArrays reads the table tests of a version that the data holds whole.
func ReadArrays(t testing.TB, version string) []*ArrayCase {
	t.Helper()
	dir := testenv.Data(t, "linux-verifier")
	types := KernelTypes(t, version)
	var cases []*ArrayCase
	eachLine(t, filepath.Join(dir, "array-"+version+".jsonl.gz"), func(line []byte) {
		c := &ArrayCase{types: types}
		if err := json.Unmarshal(line, c); err != nil {
			t.Fatal(err)
		}
		if c.Insns != "" {
			cases = append(cases, c)
		}
	})
	return cases
}

// Name tells a case from the others.
func (c *ArrayCase) Name() string { return fmt.Sprintf("%s#%d/%s", c.File, c.Idx, c.Mode) }

// Errno is not known of these.
func (*ArrayCase) Errno() int { return 0 }

// Lacks are the capabilities that the case is loaded without.
func (c *ArrayCase) Lacks() kernels.Caps {
	if c.Mode != "unpriv" {
		return 0
	}
	return kernels.CapBPF | kernels.CapPerfmon | kernels.CapNetAdmin | kernels.CapSysAdmin
}

// Means reports whether words are those that the case expects, or that the kernel
// said.
func (c *ArrayCase) Means(words string) bool {
	for _, said := range c.Says {
		if strings.TrimSpace(said) == words {
			return true
		}
	}
	return c.ErrStr != "" && strings.Contains(words, c.ErrStr)
}

// Image is the program as the kernel was given it, and the maps that it names.
func (c *ArrayCase) Image() (*program.Image, map[string]*ebpf.MapSpec, error) {
	raw, err := hex.DecodeString(c.Insns)
	if err != nil {
		return nil, nil, err
	}
	insns, err := isa.Decode(raw)
	if err != nil {
		return nil, nil, err
	}
	img := &program.Image{
		Name: c.Descr, License: "GPL", Flags: c.Flags, AttachTo: c.AttachTo, Insns: insns,
		KernelTypes: c.types, Kfuncs: map[int]*btf.Func{}, Funcs: functions(insns),
	}
	var ok bool
	if img.Type, ok = progTypes[c.ProgType]; !ok {
		return nil, nil, fmt.Errorf("%s: program type %q", c.Name(), c.ProgType)
	}
	if img.Attach, ok = attachTypes[c.Attach]; !ok {
		return nil, nil, fmt.Errorf("%s: attach type %q", c.Name(), c.Attach)
	}
	for _, k := range c.Kfuncs {
		name, _ := k[0].(string)
		insn, _ := k[1].(float64)
		var fn *btf.Func
		// Only the newest kernel had the test module when it was asked.
		if fn = declared(name); fn != nil && strings.HasPrefix(c.Kernel, "7.") {
			img.Kfuncs[int(insn)] = fn
			continue
		}
		fn = nil
		if err := c.types.TypeByName(name, &fn); err != nil {
			return nil, nil, fmt.Errorf("%s: kernel function %s: %w", c.Name(), name, err)
		}
		img.Kfuncs[int(insn)] = fn
	}
	specs := map[string]*ebpf.MapSpec{}
	for _, f := range []struct {
		at   []int
		spec *ebpf.MapSpec
	}{
		{c.FixupMapArray48B, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 48}},
		{c.FixupMapArraySmall, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 1}},
		{c.FixupMapHash8B, &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 8, Flags: 1}},
		{c.FixupMapHash48B, &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 48, Flags: 1}},
		{c.FixupMapEventOutput, &ebpf.MapSpec{Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4}},
		{c.FixupMapRingbuf, &ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096}},
		{c.FixupMapKptr, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 24, Value: kptrValue()}},
	} {
		if len(f.at) == 0 {
			continue
		}
		f.spec.MaxEntries = max(f.spec.MaxEntries, 1)
		f.spec.Name = fmt.Sprintf("map%d", len(img.Maps))
		for _, at := range f.at {
			insns[at].Imm = int32(len(img.Maps))
		}
		specs[f.spec.Name] = f.spec
		img.Maps = append(img.Maps, f.spec.Name)
	}
	return img, specs, nil
}

// kptrValue is the runner's struct btf_ptr.
func kptrValue() btf.Type {
	object := &btf.Struct{Name: "prog_test_ref_kfunc"}
	member := &btf.Struct{Name: "prog_test_member"}
	kptr := func(tag string, to btf.Type) btf.Type {
		return &btf.Pointer{Target: &btf.TypeTag{Type: to, Value: tag}}
	}
	return &btf.Struct{Name: "btf_ptr", Size: 24, Members: []btf.Member{
		{Name: "ptr", Type: kptr("kptr_untrusted", object)},
		{Name: "ptr", Type: kptr("kptr", object), Offset: 64},
		{Name: "ptr", Type: kptr("kptr", member), Offset: 128},
	}}
}

var progTypes = map[string]ebpf.ProgramType{
	"socket_filter": ebpf.SocketFilter, "sched_cls": ebpf.SchedCLS, "sched_act": ebpf.SchedACT,
	"tracepoint": ebpf.TracePoint, "xdp": ebpf.XDP, "sk_lookup": ebpf.SkLookup, "sk_skb": ebpf.SkSKB,
	"cgroup_sock_addr": ebpf.CGroupSockAddr, "tracing": ebpf.Tracing, "cgroup_skb": ebpf.CGroupSKB,
	"perf_event": ebpf.PerfEvent, "ext": ebpf.Extension, "cgroup_sock": ebpf.CGroupSock,
	"sock_ops": ebpf.SockOps, "lwt_in": ebpf.LWTIn, "lwt_out": ebpf.LWTOut, "lwt_xmit": ebpf.LWTXmit,
	"cgroup_device": ebpf.CGroupDevice, "cgroup_sysctl": ebpf.CGroupSysctl, "kprobe": ebpf.Kprobe,
	"raw_tracepoint": ebpf.RawTracepoint, "raw_tracepoint_writable": ebpf.RawTracepointWritable,
	"sk_msg": ebpf.SkMsg, "lsm": ebpf.LSM, "syscall": ebpf.Syscall, "flow_dissector": ebpf.FlowDissector,
	"sk_reuseport": ebpf.SkReuseport, "cgroup_sockopt": ebpf.CGroupSockopt, "struct_ops": ebpf.StructOps,
}

var attachTypes = map[string]ebpf.AttachType{
	"": ebpf.AttachNone, "sk_lookup": ebpf.AttachSkLookup, "cgroup_udp6_sendmsg": ebpf.AttachCGroupUDP6Sendmsg,
	"trace_fentry": ebpf.AttachTraceFEntry, "trace_fexit": ebpf.AttachTraceFExit,
	"trace_raw_tp": ebpf.AttachTraceRawTp, "trace_iter": ebpf.AttachTraceIter, "modify_return": ebpf.AttachModifyReturn,
	"lsm_mac": ebpf.AttachLSMMac,
}

// functions are the program's functions, with types where one's address is taken: the
// kernel wants them described then.
func functions(insns []isa.Instruction) []program.Function {
	if !slices.ContainsFunc(insns, func(ins isa.Instruction) bool { return ins.IsWide() && ins.Src == isa.PseudoFunc }) {
		return []program.Function{{Name: "main"}}
	}
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	var fns []program.Function
	for _, at := range isa.Functions(insns) {
		fn := &btf.Func{Name: fmt.Sprintf("f%d", at), Type: &btf.FuncProto{Return: integer}}
		fns = append(fns, program.Function{Name: fn.Name, Start: at, Type: fn})
	}
	return fns
}

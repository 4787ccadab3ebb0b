package ctxfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/memory"
)

// maxArgs is how many arguments a traced function may have: MAX_BPF_FUNC_ARGS.
const maxArgs = 12

// words is a context of arguments, or of pointers in a structure.
func (r *reader) words(top *entries) ([]byte, error) {
	switch name := r.contextStruct(); {
	case name != "":
		return r.pointers(top, name)
	default:
		return r.arguments(top)
	}
}

// contextStruct is the structure that the context is, "" where it is a function's
// arguments.
func (r *reader) contextStruct() string {
	switch t := r.target; {
	case t.Type.Prog == ebpf.Netfilter:
		return "bpf_nf_ctx"
	case t.Type.Prog == ebpf.Tracing && t.Attach == ebpf.AttachTraceIter:
		return "bpf_iter__" + t.AttachTo
	}
	return ""
}

// pointers is a context that is a structure. An iterator's has a sequence file to
// print to, whether it is given or not.
func (r *reader) pointers(top *entries, name string) ([]byte, error) {
	if _, ok := top.find("meta"); !ok && strings.HasPrefix(name, "bpf_iter__") {
		top.all = append(top.all, entry{name: "meta", value: map[string]any{"seq": map[string]any{}}})
	}
	fields := top.takeAll()
	size, err := r.memory.Size(name, fields)
	if err != nil {
		return nil, err
	}
	ctx := make([]byte, (size+7)/8*8)
	return ctx, r.memory.Fill(ctx[:size], name, fields)
}

// arguments is a context of a function's arguments and, where the program sees
// it, its result. They are found by the names that the kernel's types have for
// them, or as arg1, arg2 and so on.
func (r *reader) arguments(top *entries) ([]byte, error) {
	params := r.params()
	given := r.withReport(params, top.takeEntries())
	n := len(params)
	at := make([]int, len(given))
	for i, e := range given {
		var err error
		if at[i], err = position(params, &e); err != nil {
			return nil, err
		}
		n = max(n, at[i]+1)
	}
	ctx := make([]byte, 8*n)
	for i, e := range given {
		var typ btf.Type
		if at[i] < len(params) {
			typ = params[at[i]].Type
		}
		v, err := r.word(typ, e.value)
		if err != nil {
			return nil, e.errorf("%w", err)
		}
		putLittle(ctx[8*at[i]:8*at[i]+8], v)
	}
	return ctx, nil
}

// withReport completes the first argument of an operation for input devices with the
// size of the report that it is for, and of the room that Linux has for it.
func (r *reader) withReport(params []btf.FuncParam, given []entry) []entry {
	ops, name, _ := strings.Cut(r.target.AttachTo, ":")
	n := len(r.target.Data)
	if ops != "hid_bpf_ops" || r.target.Type.Prog != ebpf.StructOps || n == 0 {
		return given
	}
	const descriptor, chunk = 4096, 64 // HID_MAX_DESCRIPTOR_SIZE, and what reports' room is made of
	room := n
	switch name {
	case "hid_rdesc_fixup":
		room = descriptor
	case "hid_device_event":
		room = (n + chunk - 1) / chunk * chunk
	}
	i := slices.IndexFunc(given, func(e entry) bool {
		at, err := position(params, &e)
		return err == nil && at == 0
	})
	if i < 0 {
		i, given = len(given), append(given, entry{name: "arg1", value: map[string]any{}})
	}
	fields, ok := given[i].value.(map[string]any)
	if !ok {
		return given // an object that the file describes whole
	}
	for field, v := range map[string]any{"allocated_size": room, "size": n} {
		if _, set := fields[field]; !set {
			fields[field] = v
		}
	}
	return given
}

// position is which word of the context a name means.
func position(params []btf.FuncParam, e *entry) (int, error) {
	var known []string
	for i, p := range params {
		if p.Name == e.name {
			return i, nil
		}
		if p.Name == "" {
			known = append(known, fmt.Sprintf("arg%d", i+1))
			continue
		}
		known = append(known, p.Name)
	}
	if number, ok := strings.CutPrefix(e.name, "arg"); ok {
		limit := maxArgs
		if params != nil {
			limit = len(params)
		}
		if n, err := strconv.Atoi(number); err == nil && n >= 1 && n <= limit {
			return n - 1, nil
		}
	}
	if params == nil {
		return 0, e.errorf("the arguments' names are not known here; they are arg1 to arg%d", maxArgs)
	}
	return 0, e.errorf("there is no such argument%s", suggest.Name(e.name, known))
}

// params are the words of the context as the kernel's types describe them; nil
// where they do not.
func (r *reader) params() []btf.FuncParam {
	t := r.target
	switch {
	case t.Kernel == nil:
		return nil
	case t.Type.Prog == ebpf.LSM:
		return function(t.Kernel, "bpf_lsm_"+t.AttachTo, false)
	case t.Type.Prog == ebpf.RawTracepoint, t.Type.Prog == ebpf.Tracing && t.Attach == ebpf.AttachTraceRawTp:
		for _, prefix := range []string{"__traceiter_", "__bpf_trace_"} {
			if p := function(t.Kernel, prefix+t.AttachTo, false); len(p) > 0 {
				return p[1:] // the first is the tracepoint's own
			}
		}
		return nil
	case t.Type.Prog == ebpf.Tracing:
		return function(t.Kernel, t.AttachTo, t.Attach != ebpf.AttachTraceFEntry)
	case t.Type.Prog == ebpf.StructOps:
		return operation(t.Kernel, t.AttachTo)
	}
	return nil
}

// operation gives the parameters of a member of a structure of operations,
// "struct:member". Names are those of the kernel's stub, where it has one.
func operation(types *btf.Spec, member string) []btf.FuncParam {
	ops, name, _ := strings.Cut(member, ":")
	var s *btf.Struct
	if err := types.TypeByName(ops, &s); err != nil {
		return nil
	}
	i := slices.IndexFunc(s.Members, func(m btf.Member) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	p, _ := btf.As[*btf.Pointer](s.Members[i].Type)
	if p == nil {
		return nil
	}
	proto, ok := btf.As[*btf.FuncProto](p.Target)
	if !ok {
		return nil
	}
	params := slices.Clone(proto.Params)
	stub := function(types, ops+"__"+name, false)
	for i := range params {
		if len(stub) == len(params) {
			params[i].Name, _, _ = strings.Cut(stub[i].Name, "__") // what follows is for the verifier
		}
		params[i].Type = seenAs(types, ops, params[i].Type)
	}
	return params
}

// seenAs is the type that a program sees an argument as: a congestion control's
// socket is TCP's.
func seenAs(types *btf.Spec, ops string, typ btf.Type) btf.Type {
	p, ok := btf.As[*btf.Pointer](typ)
	if !ok || ops != "tcp_congestion_ops" {
		return typ
	}
	var tcp *btf.Struct
	if s, ok := btf.As[*btf.Struct](p.Target); !ok || s.Name != "sock" || types.TypeByName("tcp_sock", &tcp) != nil {
		return typ
	}
	return &btf.Pointer{Target: tcp}
}

// function gives a kernel function's parameters, and its result as one more that
// is named ret.
func function(types *btf.Spec, name string, result bool) []btf.FuncParam {
	var fn *btf.Func
	if err := types.TypeByName(name, &fn); err != nil {
		return nil
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return nil
	}
	params := proto.Params[:len(proto.Params):len(proto.Params)]
	if result {
		params = append(params, btf.FuncParam{Name: "ret", Type: proto.Return})
	}
	return params
}

// word is an argument as a register holds it.
func (r *reader) word(typ btf.Type, value any) (uint64, error) {
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Pointer:
		return r.memory.Pointer(t, value)
	case *btf.Int:
		return memory.Number(value, 8, false)
	case *btf.Enum:
		return memory.Enumerator(t, value)
	}
	switch v := value.(type) {
	case nil:
		return 0, nil
	case memory.Ref:
		return r.memory.Address(v)
	case string:
		return r.memory.Pointer(&btf.Pointer{Target: &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}}, v)
	case map[string]any, []any:
		return 0, errNoFields
	}
	v, err := memory.Number(value, 8, false)
	if err != nil {
		return 0, fmt.Errorf("an argument is %w", err)
	}
	return v, nil
}

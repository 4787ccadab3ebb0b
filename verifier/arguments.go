package verifier

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Contexts of programs that are attached to functions: their arguments, 8 bytes for
// each word, and for some their result behind them.

const (
	maxFuncArgs  = 12 // MAX_BPF_FUNC_ARGS
	untypedWords = 5  // that a program sees of a function without types
)

// argument finds what lies at an offset in a context of typed arguments
// (btf_ctx_access). why is what the log tells of a refusal.
func (c *checker) argument(off, size int) (v ctxValue, ok bool, why string) {
	t := c.target
	if off%8 != 0 {
		return v, false, fmt.Sprintf("func '%s' offset %d is not multiple of 8", t.name, off)
	}
	if t.proto == nil {
		switch index := off / 8; {
		case index < untypedWords, index == untypedWords && c.seesResult():
			return ctxNumber, true, ""
		default:
			return v, false, fmt.Sprintf("func '%s' doesn't have %d-th argument", t.name, index+1)
		}
	}
	index := argumentAt(t, off)
	params := t.params()
	switch {
	case index > len(params), index == len(params) && !c.seesResult():
		return v, false, fmt.Sprintf("func '%s' doesn't have %d-th argument", t.name, index+1)
	case index == len(params):
		return c.functionResult(size)
	}
	if v, ok := c.specialArgument(index, size); ok {
		return v, true, ""
	}
	return c.typedArgument(index, params[index].Type, size)
}

// argumentAt is the index of the parameter that a word belongs to: len(params) for the
// result, more behind it.
func argumentAt(t *target, off int) int {
	end := 0
	params := t.params()
	for i := range params {
		if end += wordsSize(params[i].Type); off < end {
			return i
		}
	}
	if off < end+wordsSize(t.proto.Return) {
		return len(params)
	}
	return len(params) + 1
}

// wordsSize is how many bytes of a context a value of a type takes.
func wordsSize(t btf.Type) int {
	size, _ := sizeOf(t)
	return int(size+7) &^ 7
}

// seesResult reports whether the program sees the function's result behind its
// arguments.
func (c *checker) seesResult() bool {
	if c.typ.Prog == ebpf.StructOps {
		return false
	}
	switch c.img.Attach {
	case ebpf.AttachLSMMac, ebpf.AttachLSMCgroup, ebpf.AttachTraceFExit, ebpf.AttachModifyReturn, attachTraceFSession:
		return true
	}
	return false
}

// Attach types that cilium/ebpf has no names for.
const (
	attachTraceFSession ebpf.AttachType = 58 // BPF_TRACE_FSESSION
)

// functionResult is what a program sees of the function's result.
func (c *checker) functionResult(size int) (v ctxValue, ok bool, why string) {
	t := btf.UnderlyingType(c.target.proto.Return)
	if c.img.Attach == ebpf.AttachModifyReturn && !isScalar(t) {
		return v, false, fmt.Sprintf("ret type %s not allowed for fmod_ret", kindName(t))
	}
	v, ok, why = c.typedArgument(len(c.target.params()), t, size)
	v.result = c.img.Attach == ebpf.AttachLSMMac
	return v, ok, why
}

// specialArgument finds what is known of an argument beyond its type.
func (c *checker) specialArgument(index, size int) (v ctxValue, ok bool) {
	for i := range c.target.args {
		a := &c.target.args[i]
		if a.index != index || size != 8 {
			continue
		}
		return ctxValue{typ: a.typ, flags: a.flags, btf: a.btf, ref: a.ref}, true
	}
	return v, false
}

// typedArgument finds what an argument is by its type.
func (c *checker) typedArgument(index int, typ btf.Type, size int) (v ctxValue, ok bool, why string) {
	t, name := btf.UnderlyingType(typ), c.target.name
	_, _, isStruct := members(t)
	if isScalar(t) || isStruct {
		return ctxNumber, true, ""
	}
	p, isPointer := t.(*btf.Pointer)
	switch {
	case !isPointer:
		return v, false, fmt.Sprintf("func '%s' arg%d '%s' has type %s. Only pointer access is allowed", name, index, t.TypeName(), kindName(t))
	case size != 8:
		return v, false, fmt.Sprintf("func '%s' size %d must be 8", name, size)
	}
	if _, _, ok := members(p.Target); !ok {
		return ctxNumber, true, ""
	}
	v = ctxValue{typ: PtrToBTF, btf: c.typeOf(p.Target, true)}
	for _, tag := range pointerTags {
		if tag.flag != RCU && hasTag(p.Target, tag.tag) {
			v.flags |= tag.flag
		}
	}
	if c.trustedArguments() {
		v.flags |= Trusted
	}
	if params := c.target.params(); index < len(params) && strings.HasSuffix(params[index].Name, "__nullable") {
		v.flags |= MaybeNull
	}
	if c.isRawTracepoint() && c.since(6, 13) {
		switch c.tracepointArgument(c.target, index) {
		case argError:
			return ctxNumber, true, ""
		case argMayBeNull:
			v.flags |= MaybeNull
		}
	}
	return c.promote(v), true, ""
}

// isRawTracepoint reports whether the arguments are a tracepoint's.
func (c *checker) isRawTracepoint() bool {
	return c.typ.Prog == ebpf.Tracing && c.img.Attach == ebpf.AttachTraceRawTp
}

// trustedArguments reports whether pointers among the arguments are valid as long as
// the program runs (prog_args_trusted).
func (c *checker) trustedArguments() bool {
	switch c.typ.Prog {
	case ebpf.Tracing:
		return c.since(6, 2) && (c.img.Attach == ebpf.AttachTraceRawTp || c.img.Attach == ebpf.AttachTraceIter)
	case ebpf.LSM:
		return c.since(6, 2) && !untrustedHooks[strings.TrimPrefix(c.target.name, "bpf_lsm_")]
	}
	return c.typ.Prog == ebpf.StructOps && c.since(6, 2)
}

// untrustedHooks are the hooks of LSM that are called with objects which are being made
// or unmade (untrusted_lsm_hooks).
var untrustedHooks = map[string]bool{
	"bpf_map_free": true, "bpf_prog_free": true, "file_alloc_security": true, "file_free_security": true,
	"sk_alloc_security": true, "sk_free_security": true, "task_free": true, "bdev_alloc_security": true,
	"bdev_free_security": true, "bpf_map_free_security": true, "bpf_prog_free_security": true,
}

// promote makes an argument what an operation's structure knows of it: the socket of a
// congestion control is one of TCP, and the list of a queue's packets to drop may be
// written to.
func (c *checker) promote(v ctxValue) ctxValue {
	if c.target.ops == nil || c.target.ops.Name != "tcp_congestion_ops" || v.flags&^Trusted != 0 || v.btf.Name != "sock" {
		return v
	}
	if t := c.kernelType("tcp_sock"); t != nil {
		v.btf = t
	}
	return v
}

package verifier

import "github.com/cilium/ebpf/btf"

// target is what a program is attached to, as far as BTF describes it: a kernel
// function, a tracepoint, a hook of LSM, an iterator, an operation of a struct_ops
// structure. attach.go finds it, context.go reads its arguments.
type target struct {
	name string // of the function, tracepoint or operation
	// proto is the function's; nil: BTF does not say, and programs see five numbers.
	// For tracepoints it is __bpf_trace_NAME's where the kernel has that, since the
	// parameters of btf_trace_NAME have no names.
	proto  *btf.FuncProto
	hidden int  // parameters before the first that programs see (void *__data)
	module bool // of a module, not of the kernel itself
	// ops is the structure that an operation is a member of; nil elsewhere.
	ops *btf.Struct
	// args is what is known of parameters beyond their types: of iterators what they
	// registered, of operations what their stub's parameters are called.
	args []targetArg
}

// targetArg is what is known of one parameter (struct bpf_ctx_arg_aux).
type targetArg struct {
	index int // among those that programs see
	typ   RegType
	flags RegFlags
	btf   *Type // of PtrToBTF
	// acquired says that the program owns a reference to it from its beginning on
	// (__ref). ref is the reference's id, which the main program's entry sets.
	acquired bool
	ref      uint32
}

// params are the parameters that the program sees.
func (t *target) params() []btf.FuncParam { return t.proto.Params[t.hidden:] }

package verifiersuite

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// testModule are the functions of bpf_testmod, the module that Linux's tests bring,
// with their flags in 7.2.
var testModule = map[string]kernels.KfuncFlags{
	"bpf_iter_testmod_seq_new":                     kernels.KfuncIterNew,
	"bpf_iter_testmod_seq_next":                    kernels.KfuncIterNext | kernels.KfuncRetNull,
	"bpf_iter_testmod_seq_destroy":                 kernels.KfuncIterDestroy,
	"bpf_kfunc_nested_acquire_nonzero_offset_test": kernels.KfuncAcquire,
	"bpf_kfunc_nested_acquire_zero_offset_test":    kernels.KfuncAcquire,
	"bpf_kfunc_nested_release_test":                kernels.KfuncRelease,
	"bpf_kfunc_rcu_task_test":                      kernels.KfuncRCU,
	"bpf_kfunc_ret_rcu_test":                       kernels.KfuncRetNull | kernels.KfuncRCUProtected,
	"bpf_kfunc_ret_rcu_test_nostruct":              kernels.KfuncRetNull | kernels.KfuncRCUProtected,
	"bpf_testmod_ctx_create":                       kernels.KfuncAcquire | kernels.KfuncRetNull,
	"bpf_testmod_ctx_release":                      kernels.KfuncRelease,
	"bpf_kfunc_call_test_acquire":                  kernels.KfuncAcquire | kernels.KfuncRetNull,
	"bpf_kfunc_call_memb_acquire":                  kernels.KfuncAcquire | kernels.KfuncRetNull,
	"bpf_kfunc_call_memb1_release":                 kernels.KfuncRelease,
	"bpf_kfunc_call_test_get_rdwr_mem":             kernels.KfuncRetNull,
	"bpf_kfunc_call_test_get_rdonly_mem":           kernels.KfuncRetNull,
	"bpf_kfunc_call_test_acq_rdonly_mem":           kernels.KfuncAcquire | kernels.KfuncRetNull,
	"bpf_kfunc_call_int_mem_release":               kernels.KfuncRelease,
	"bpf_kfunc_call_test_ref":                      kernels.KfuncRCU,
	"bpf_kfunc_call_test_destructive":              kernels.KfuncDestructive,
	"bpf_kfunc_call_test_sleepable":                kernels.KfuncSleepable,
	"bpf_kfunc_init_sock":                          kernels.KfuncSleepable,
	"bpf_kfunc_close_sock":                         kernels.KfuncSleepable,
	"bpf_kfunc_call_kernel_connect":                kernels.KfuncSleepable,
	"bpf_kfunc_call_kernel_bind":                   kernels.KfuncSleepable,
	"bpf_kfunc_call_kernel_listen":                 kernels.KfuncSleepable,
	"bpf_kfunc_call_kernel_sendmsg":                kernels.KfuncSleepable,
	"bpf_kfunc_call_sock_sendmsg":                  kernels.KfuncSleepable,
	"bpf_kfunc_call_kernel_getsockname":            kernels.KfuncSleepable,
	"bpf_kfunc_call_kernel_getpeername":            kernels.KfuncSleepable,
	"bpf_kfunc_st_ops_test_prologue":               kernels.KfuncSleepable,
	"bpf_kfunc_st_ops_test_epilogue":               kernels.KfuncSleepable,
	"bpf_kfunc_st_ops_test_pro_epilogue":           kernels.KfuncSleepable,
	"bpf_kfunc_multi_st_ops_test_1_assoc":          kernels.KfuncImplicitArgs,
	"bpf_kfunc_implicit_arg":                       kernels.KfuncImplicitArgs,
	"bpf_kfunc_implicit_arg_legacy":                kernels.KfuncImplicitArgs,

	"bpf_iter_testmod_seq_value":               0,
	"bpf_kfunc_common_test":                    0,
	"bpf_kfunc_call_test_mem_len_pass1":        0,
	"bpf_kfunc_dynptr_test":                    0,
	"bpf_kfunc_trusted_vma_test":               0,
	"bpf_kfunc_trusted_task_test":              0,
	"bpf_kfunc_trusted_num_test":               0,
	"bpf_testmod_ops3_call_test_1":             0,
	"bpf_testmod_ops3_call_test_2":             0,
	"bpf_kfunc_get_default_trusted_ptr_test":   0,
	"bpf_kfunc_put_default_trusted_ptr_test":   0,
	"bpf_testmod_test_mod_kfunc":               0,
	"bpf_kfunc_call_test1":                     0,
	"bpf_kfunc_call_test2":                     0,
	"bpf_kfunc_call_test3":                     0,
	"bpf_kfunc_call_test4":                     0,
	"bpf_kfunc_call_test5":                     0,
	"bpf_kfunc_call_stack_arg":                 0,
	"bpf_kfunc_call_stack_arg_ptr":             0,
	"bpf_kfunc_call_stack_arg_mix":             0,
	"bpf_kfunc_call_stack_arg_dynptr":          0,
	"bpf_kfunc_call_stack_arg_mem":             0,
	"bpf_kfunc_call_stack_arg_iter":            0,
	"bpf_kfunc_call_stack_arg_const_str":       0,
	"bpf_kfunc_call_stack_arg_timer":           0,
	"bpf_kfunc_call_stack_arg_big":             0,
	"bpf_kfunc_call_test_mem_len_fail1":        0,
	"bpf_kfunc_call_test_mem_len_fail2":        0,
	"bpf_kfunc_call_test_pass_ctx":             0,
	"bpf_kfunc_call_test_pass1":                0,
	"bpf_kfunc_call_test_pass2":                0,
	"bpf_kfunc_call_test_fail1":                0,
	"bpf_kfunc_call_test_fail2":                0,
	"bpf_kfunc_call_test_fail3":                0,
	"bpf_kfunc_call_test_static_unused_arg":    0,
	"bpf_kfunc_call_test_offset":               0,
	"bpf_kfunc_call_test_call_rcu_tasks_trace": 0,
	"bpf_kfunc_st_ops_inc10":                   0,
	"bpf_kfunc_multi_st_ops_test_1":            0,
	"bpf_kfunc_implicit_arg_legacy_impl":       0,
	"bpf_kfunc_trigger_ctx_check":              0,
}

// testParams are the names of parameters that are rules, where the programs' headers
// call them something else.
var testParams = map[string][]string{
	"bpf_kfunc_call_test_mem_len_pass1": {"mem", "mem__sz"},
	"bpf_iter_testmod_seq_value":        {"val", "it__iter"},
}

// Kfuncs are the functions of the test module that a program calls, as its object
// declares them.
func Kfuncs(img *program.Image) map[string]verifier.Kfunc {
	kfuncs := map[string]verifier.Kfunc{}
	for _, fn := range img.Kfuncs {
		flags, ok := testModule[fn.Name]
		if !ok {
			continue
		}
		fn = withParams(fn, testParams[fn.Name])
		kfuncs[fn.Name] = verifier.Kfunc{Type: fn, Flags: flags}
		if flags&kernels.KfuncImplicitArgs != 0 {
			// The kernel's own form takes what the kernel adds, too, which programs do not see.
			full := &btf.Func{Name: fn.Name + "_impl", Type: fn.Type}
			kfuncs[full.Name] = verifier.Kfunc{Type: full, Flags: flags &^ kernels.KfuncImplicitArgs}
		}
	}
	return kfuncs
}

// declared is a function of the test module of which there is no declaration at hand, as
// its source has it; nil: none of those.
func declared(name string) *btf.Func {
	var (
		integer = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
		long    = &btf.Int{Name: "unsigned long", Size: 8}
		member1 = &btf.Struct{Name: "prog_test_member1", Size: 4, Members: []btf.Member{{Name: "a", Type: integer}}}
		member  = &btf.Struct{Name: "prog_test_member", Size: 8, Members: []btf.Member{
			{Name: "m", Type: member1}, {Name: "c", Type: integer, Offset: 32},
		}}
		object  = &btf.Struct{Name: "prog_test_ref_kfunc"}
		context = &btf.Struct{Name: "__sk_buff"}
	)
	to := func(t btf.Type) btf.Type { return &btf.Pointer{Target: t} }
	protos := map[string]*btf.FuncProto{
		"bpf_kfunc_call_test_pass_ctx": {Return: &btf.Void{}, Params: []btf.FuncParam{{Name: "skb", Type: to(context)}}},
		"bpf_kfunc_call_test_mem_len_fail1": {Return: &btf.Void{}, Params: []btf.FuncParam{
			{Name: "mem", Type: to(&btf.Void{})}, {Name: "len", Type: integer},
		}},
		"bpf_kfunc_call_test_acquire":  {Return: to(object), Params: []btf.FuncParam{{Name: "scalar_ptr", Type: to(long)}}},
		"bpf_kfunc_call_memb_acquire":  {Return: to(member)},
		"bpf_kfunc_call_memb1_release": {Return: &btf.Void{}, Params: []btf.FuncParam{{Name: "p", Type: to(member1)}}},
		"bpf_kfunc_call_test_offset":   {Return: &btf.Void{}, Params: []btf.FuncParam{{Name: "p", Type: to(object)}}},
		"bpf_kfunc_call_test_ref":      {Return: &btf.Void{}, Params: []btf.FuncParam{{Name: "p", Type: to(object)}}},
	}
	if protos[name] == nil {
		return nil
	}
	return &btf.Func{Name: name, Type: protos[name]}
}

// withParams gives a function other names for its parameters, if there are some.
func withParams(fn *btf.Func, names []string) *btf.Func {
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok || len(proto.Params) != len(names) {
		return fn
	}
	named := &btf.FuncProto{Return: proto.Return}
	for i, p := range proto.Params {
		named.Params = append(named.Params, btf.FuncParam{Name: names[i], Type: p.Type})
	}
	return &btf.Func{Name: fn.Name, Type: named}
}

package kernels

import (
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestKfuncTypes finds prototypes whose arguments tell what is checked.
func TestKfuncTypes(t *testing.T) {
	types, err := KfuncTypes()
	if err != nil {
		t.Fatal(err)
	}
	for name, params := range map[string]int{"bpf_obj_new_impl": 2, "bpf_rbtree_add_impl": 5, "bpf_iter_num_new": 3, "bpf_dynptr_slice": 4} {
		var fn *btf.Func
		if err := types.TypeByName(name, &fn); err != nil {
			t.Error(err)
			continue
		}
		if got := len(fn.Type.(*btf.FuncProto).Params); got != params {
			t.Errorf("%s has %d parameters, not %d", name, got, params)
		}
	}
	var task *btf.Struct
	if err := types.TypeByName("task_struct", &task); err != nil {
		t.Fatal(err)
	}
	if task.Size == 0 || len(task.Members) != 1 {
		t.Errorf("struct task_struct has %d bytes and %d members, and should be opaque", task.Size, len(task.Members))
	}
}

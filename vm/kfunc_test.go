package vm_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/object"
)

// TestWrongKfuncCalls: checked mode says what is wrong, and keeps nothing that
// the program kept.
func TestWrongKfuncCalls(t *testing.T) {
	before := object.Live()
	for prog, want := range map[string]string{
		"leak":               "the reference of bpf_obj_new_impl (instruction 3) is not released",
		"drop_twice":         "R1 (argument 1 of bpf_obj_drop_impl) is not an object that the program owns",
		"drop_inside":        "R1 (argument 1 of bpf_obj_drop_impl) is not the beginning of an object",
		"use_dropped":        "points to an object that was dropped",
		"beyond":             "may reach 32 bytes from the first byte of struct item, the access wants bytes 32..40",
		"touch_node":         "points to a bpf_list_node, which only helpers and kernel functions access",
		"touch_head":         "points to a bpf_list_head, which only helpers and kernel functions access",
		"push_not_owned":     "R2 (argument 2 of bpf_list_push_back_impl) is in an object that the program does not own",
		"push_elsewhere":     "R1 (argument 1 of bpf_list_push_back_impl) does not point to a bpf_list_head",
		"no_dynptr":          "R1 (argument 1 of bpf_dynptr_size) does not point to a bpf_dynptr",
		"overwritten_dynptr": "R1 (argument 1 of bpf_dynptr_size) does not point to a bpf_dynptr",
		"copied_dynptr":      "R1 (argument 1 of bpf_dynptr_size) does not point to a bpf_dynptr",
		"reserved_dynptr":    "the reference of bpf_ringbuf_reserve_dynptr (instruction",
		"discarded_dynptr":   "R1 (argument 1 of bpf_ringbuf_discard_dynptr) does not point to a bpf_dynptr",
		"iterator_left":      "the reference of bpf_iter_num_new (instruction",
		"iterator_destroyed": "R1 (argument 1 of bpf_iter_num_next) does not point to a bpf_iter_num",
		"kernel_context":     "points into memory of the kernel, which programs of type tc may not write",
		"unknown_function":   "calls kernel function bpf_no_such_function, which skep does not have",
	} {
		t.Run(prog, func(t *testing.T) {
			p, err := program.Open(filepath.Join("testdata", "kfunc", "wrong.bpf.o"))
			if err != nil {
				t.Fatal(err)
			}
			p.Spec.Programs = map[string]*ebpf.ProgramSpec{prog: p.Spec.Programs[prog]}
			if _, err := vm.NewCollection(p.Spec); err == nil {
				t.Error("it is loaded, and should be refused")
			}
			coll, err := vm.NewCollectionWithOptions(p.Spec, vm.CollectionOptions{Programs: vm.Unverified(vm.ProgramOptions{})})
			if err == nil {
				defer coll.Close()
				_, err = coll.Programs[prog].Run(&ebpf.RunOptions{Data: make([]byte, 64)})
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
	if n := object.Live() - before; n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

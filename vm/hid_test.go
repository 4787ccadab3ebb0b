package vm_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// hidFunctions are the names of the kernel functions' parameters, which objects do not
// say and Linux's verifier goes by.
var hidFunctions = map[string][]string{
	"hid_bpf_get_data":         {"ctx", "offset", "rdwr_buf_size"},
	"hid_bpf_hw_request":       {"ctx", "buf", "buf__sz", "rtype", "reqtype"},
	"hid_bpf_try_input_report": {"ctx", "type", "buf", "buf__sz"},
}

// hidTypes are the types of a kernel that has struct hid_bpf_ops: of an object's.
func hidTypes(t *testing.T, object *btf.Spec) *btf.Spec {
	t.Helper()
	var value *btf.Struct
	if err := object.TypeByName("bpf_struct_ops_hid_bpf_ops", &value); err != nil {
		t.Fatal(err)
	}
	all := []btf.Type{value}
	for name, params := range hidFunctions {
		var fn *btf.Func
		if err := object.TypeByName(name, &fn); err != nil {
			t.Fatal(err)
		}
		proto := *fn.Type.(*btf.FuncProto)
		proto.Params = slices.Clone(proto.Params)
		for i, name := range params {
			proto.Params[i].Name = name
		}
		all = append(all, &btf.Func{Name: name, Type: &proto, Linkage: btf.StaticFunc})
	}
	return testenv.Types(t, all...)
}

// TestInputDevice has programs see and change an input device's reports and its
// descriptor.
func TestInputDevice(t *testing.T) {
	p, err := program.Open(filepath.Join("testdata", "kfunc", "hid.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	types := hidTypes(t, p.Spec.Types)
	for name, tt := range map[string]struct {
		prog, ctx string
		data      []byte
		ret       int32
		left      []byte
		did       []string
		out       [3]int64
	}{
		"a report":                  {"event", "", []byte{1, 5, 0, 0}, 0, []byte{1, 251, 0, 0}, nil, [3]int64{0, 4}},
		"a shorter one":             {"event", "", []byte{1, 5, 0, 2}, 2, []byte{1, 251}, nil, [3]int64{0, 4}},
		"a longer one":              {"event", "", []byte{1, 5, 0, 6}, 6, []byte{1, 251, 0, 6, 0, 0}, nil, [3]int64{0, 4}},
		"longer than there is room": {"event", "", []byte{1, 5, 0, 65}, 65, nil, []string{"drop(the report)"}, [3]int64{0, 4}},
		"another report":            {"event", "", []byte{2, 5, 0, 0}, -1, nil, []string{"drop(the report)"}, [3]int64{}},
		"with a click before":       {"event", "", []byte{1, 0, 9, 0}, 0, []byte{1, 0, 9, 0}, []string{"hid_bpf_try_input_report(HID_INPUT_REPORT, 01 02)"}, [3]int64{0, 4}},
		"a report in little room":   {"event", "arg1: {allocated_size: 3}", []byte{1, 5, 0, 0}, -22, nil, []string{"drop(the report)"}, [3]int64{}},
		"a descriptor":              {"descriptor", "arg1: {hid: {vendor: 0x46d}}", []byte{5, 1}, 3, []byte{5, 1, 0xc0}, nil, [3]int64{}},
		"another's descriptor":      {"descriptor", "arg1: {hid: {vendor: 1}}", []byte{5, 1}, 0, []byte{5, 1}, nil, [3]int64{}},
		"a request":                 {"request", "", []byte{3}, 0, []byte{3}, []string{"hid_bpf_hw_request(HID_FEATURE_REPORT, HID_REQ_GET_REPORT, 07 00 00)"}, [3]int64{3, -22, -22}},
	} {
		for _, mode := range engine.Modes() {
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				spec := p.Spec.Programs[tt.prog]
				typ, err := progtype.ForAttach(spec.Type, spec.AttachType)
				if err != nil {
					t.Fatal(err)
				}
				ctx, err := ctxfile.Parse("ctx.yaml", []byte(tt.ctx), &ctxfile.Target{Type: typ, AttachTo: spec.AttachTo, Kernel: types, Data: tt.data})
				if err != nil {
					t.Fatal(err)
				}
				opts := vm.CollectionOptions{Programs: vm.ProgramOptions{Env: &exec.Env{Objects: ctx.Objects}, Mode: mode}}
				opts.Programs.Link.KernelTypes = types
				coll, err := vm.NewCollectionWithOptions(p.Spec.Copy(), opts)
				if err != nil {
					t.Fatal(err)
				}
				defer coll.Close()
				out := new(vm.Output)
				if err := coll.Programs[tt.prog].Exec(t.Context(), &vm.Input{Ctx: ctx.Ctx, Data: tt.data}, out); err != nil {
					t.Fatal(err)
				}
				if int32(out.Ret) != tt.ret {
					t.Errorf("returned %d, want %d", int32(out.Ret), tt.ret)
				}
				if tt.left != nil && !bytes.Equal(tt.left, out.Data) {
					t.Errorf("left % x, want % x", out.Data, tt.left)
				}
				var did []string
				for _, e := range out.Effects {
					did = append(did, e.String())
				}
				if diff := cmp.Diff(tt.did, did); diff != "" {
					t.Errorf("effects (-want +got):\n%s", diff)
				}
				var found [64]int64
				if err := coll.Variables["out"].Get(&found); err != nil {
					t.Fatal(err)
				}
				if got := [3]int64(found[:3]); got != tt.out {
					t.Errorf("found %d, want %d", got, tt.out)
				}
			})
		}
	}
}

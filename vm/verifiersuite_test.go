package vm_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
)

// suitePassing is how many cases gave Linux's result when this was written.
const suitePassing = 478

// suitePointer stands for a result that is an address, and differs.
const suitePointer = 0xbadcafe

// suiteDiffers are the programs that Linux runs and the machine does not, and why.
var suiteDiffers = map[string]string{
	"with_valid_ctx_access_test6": "the packet that Linux makes of a netfilter test's bytes",
}

// suiteRefused are words of the errors by which the machine refuses what it does
// not have.
var suiteRefused = []string{
	"which skep does not have", "does not have", "not supported", "no maps of type",
}

// TestVerifierSuite runs those programs of Linux's verifier tests that are
// accepted and say what they return, on the packet that Linux's runner takes.
// What the machine does not have is counted, and what it has must be right.
func TestVerifierSuite(t *testing.T) {
	var passed, failed int
	refused := map[string]int{}
	for _, c := range suiteCases(t) {
		got, err := runSuiteCase(c, nil)
		switch {
		case err == nil && (int32(got) == *c.Retval || *c.Retval == suitePointer):
			passed++
		case suiteDiffers[c.Func] != "":
			refused[suiteDiffers[c.Func]]++
		case err == nil:
			failed++
			t.Errorf("%s/%s returned %d, not %d", c.File, c.Func, int32(got), *c.Retval)
		case isRefusal(err):
			refused[err.Error()]++
		default:
			failed++
			t.Errorf("%s/%s: %v", c.File, c.Func, err)
		}
	}
	t.Logf("%d passed, %d failed", passed, failed)
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		t.Logf("%d refused: %s", refused[why], why)
	}
	if passed < suitePassing {
		t.Errorf("%d cases passed, and it were %d", passed, suitePassing)
	}
}

// enginesDiffer are the programs that the engines need not run alike, and why.
var enginesDiffer = map[string]string{
	"must_write_not_same_type":               "the result is an address",
	"state_equality_check_way_1":             "the result is an address",
	"state_equality_check_way_2":             "the result is an address",
	"dynptr_overwrite_ref_clone_slice_valid": "checked mode knows a dynptr by its place, and not its clones",
	"dynptr_overwrite_ref_with_clone":        "checked mode knows a dynptr by its place, and not its clones",
}

// TestVerifierSuiteEngines runs all programs of the suite that are accepted in each
// engine: what they return, and whether they come to their end, must be the same.
func TestVerifierSuiteEngines(t *testing.T) {
	compared, refused := 0, 0
	for _, c := range verifiersuite.Read(t, "7.2").Cases {
		if c.Verdict != "accept" || enginesDiffer[c.Func] != "" {
			continue
		}
		type outcome struct {
			ret  uint32
			ends bool
		}
		var referee outcome
		for i, mode := range engine.Modes() {
			env := &exec.Env{Rand: rand.New(rand.NewPCG(1, 2)).Uint32, Now: func() time.Duration { return 1 }}
			ret, err := runSuiteCase(c, &vm.ProgramOptions{Mode: mode, Env: env, Budget: 1 << 21})
			if err != nil && (isRefusal(err) || errors.Is(err, vm.ErrInput)) {
				refused++
				break
			}
			switch got := (outcome{ret, err == nil}); {
			case i == 0:
				referee = got
				compared++
			case got != referee:
				t.Errorf("%s/%s: checked %+v, %s %+v, error %v", c.File, c.Func, referee, mode, got, err)
			}
		}
	}
	t.Logf("%d programs compared, %d refused", compared, refused)
}

// suiteCases are those cases that are accepted and say what they return.
func suiteCases(t *testing.T) (cases []*verifiersuite.Case) {
	t.Helper()
	for _, c := range verifiersuite.Read(t, "7.2").Cases {
		if c.Verdict == "accept" && c.Mode == "priv" && c.Retval != nil {
			cases = append(cases, c)
		}
	}
	return cases
}

// runSuiteCase loads one program with its object's maps, and runs it as Linux's
// runner does.
func runSuiteCase(c *verifiersuite.Case, opts *vm.ProgramOptions) (uint32, error) {
	if opts == nil {
		opts = new(vm.ProgramOptions)
	}
	p, err := c.Program()
	if err != nil {
		return 0, err
	}
	spec := p.Spec.Copy()
	prog := spec.Programs[c.Func]
	if prog == nil {
		return 0, errors.New("the object does not have the program")
	}
	keep := map[string]*ebpf.ProgramSpec{c.Func: prog}
	for _, m := range spec.Maps {
		for _, kv := range m.Contents {
			if name, ok := kv.Value.(string); ok && spec.Programs[name] != nil {
				keep[name] = spec.Programs[name]
			}
		}
	}
	spec.Programs = keep
	coll, err := vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: *opts})
	if err != nil {
		return 0, err
	}
	defer coll.Close()
	for _, name := range []string{"map_array_ro", "map_array_48b"} {
		if m := coll.Maps[name]; m != nil && m.ValueSize() == 48 {
			if err := m.Put(uint32(0), suiteValue()); err != nil {
				return 0, err
			}
		}
	}
	var in ebpf.RunOptions
	if coll.Programs[c.Func].Describe().TakesData() {
		in.Data = make([]byte, 256)
	}
	return coll.Programs[c.Func].Run(&in)
}

// suiteValue is what Linux's runner puts into the maps that tests read: 48 bytes,
// the first 28, and at an offset of 28 the value 0xabcdef12.
func suiteValue() []byte {
	value := make([]byte, 48)
	binary.LittleEndian.PutUint32(value, 28)
	binary.LittleEndian.PutUint32(value[28:], 0xabcdef12)
	return value
}

func isRefusal(err error) bool {
	var refusal *verifier.Error
	if errors.As(err, &refusal) {
		switch refusal.Cause {
		case verifier.CauseUnsupported, verifier.CauseKfunc, verifier.CauseHelper:
			return true // what this kernel's types do not have, or a test module does
		}
	}
	return slices.ContainsFunc(suiteRefused, func(words string) bool { return strings.Contains(err.Error(), words) })
}

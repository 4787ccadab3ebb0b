package program

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
)

func TestExceptionCallback(t *testing.T) {
	p, err := Open(filepath.Join(testenv.Root(t), "vm", "testdata", "kfunc", "exception.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	opts := &LinkOptions{HasKfunc: func(string) bool { return true }}
	for prog, want := range map[string]string{"rescued": "rescue", "plain": ""} {
		img, err := Link(p.Spec, prog, opts)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if img.Exception != 0 {
			got = img.FuncAt(img.Exception).Name
		}
		if got != want {
			t.Errorf("%s: exceptions go on in %q, want %q", prog, got, want)
		}
	}
	rescued := p.Spec.Programs["rescued"]
	for i := range rescued.Instructions {
		if i > 0 && rescued.Instructions[i].Symbol() == "rescue" {
			rescued.Instructions = rescued.Instructions[:i]
			break
		}
	}
	if _, err := Link(p.Spec, "rescued", opts); err == nil || !strings.Contains(err.Error(), "names the exception callback rescue, which the object does not have") {
		t.Errorf("without the callback: %v", err)
	}
}

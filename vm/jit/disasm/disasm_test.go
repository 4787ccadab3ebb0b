package disasm

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// TestAMD64 has the instructions that the library does not know, between ones that it
// does. The texts are objdump's.
func TestAMD64(t *testing.T) {
	code := &ir.Code{
		Bytes: []byte{
			0x31, 0xc0,
			0xc4, 0xe2, 0xf1, 0xf7, 0xd3,
			0xc4, 0x42, 0x72, 0xf7, 0xe5,
			0xc4, 0xc2, 0x83, 0xf7, 0xc1,
			0xc4, 0x62, 0xab, 0xf6, 0xd6,
			0xc4, 0x43, 0x7b, 0xf0, 0xf2, 0x15,
			0xc3,
		},
		Lines: []ir.Line{{Off: 2, At: 7}},
	}
	want := []string{
		"xor %eax,%eax",
		"shlx %rcx,%rbx,%rdx",
		"sarx %ecx,%r13d,%r12d",
		"shrx %r15,%r9,%rax",
		"mulx %rsi,%r10,%r10",
		"rorx $0x15,%r10d,%r14d",
		"retq",
	}
	lines, err := Lines(code, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for k, l := range lines {
		at := 7
		if k == 0 {
			at = -1
		}
		if k >= len(want) || l.Text != want[k] || l.At != at {
			t.Errorf("% x of instruction %d is %s", l.Bytes, l.At, l.Text)
		}
	}
}

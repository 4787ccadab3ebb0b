package disasm

import "testing"

// TestLSE reads what an assembler made.
func TestLSE(t *testing.T) {
	for w, want := range map[uint32]string{
		0xf821005f: "stadd x1, [x2]",
		0xb8e10043: "ldaddal w1, w3, [x2]",
		0xf8e11043: "ldclral x1, x3, [x2]",
		0xb86120bf: "steorl w1, [x5]",
		0xf8a123e3: "ldeora x1, x3, [sp]",
		0x783f3043: "ldseth wzr, w3, [x2]",
		0xf8e18043: "swpal x1, x3, [x2]",
		0x38218043: "swpb w1, w3, [x2]",
		0xc8e1fc43: "casal x1, x3, [x2]",
		0x88a17c43: "cas w1, w3, [x2]",
		0xd503201f: "",
		0xf8614843: "", // a load
		0x885ffc43: "",
	} {
		if got := lse(w); got != want {
			t.Errorf("%08x is %q, not %q", w, got, want)
		}
	}
}

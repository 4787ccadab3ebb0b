package verifier_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/verifier"
)

// lookup looks up key 0 of map m and leaves where it is NULL.
func lookup() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R10, -4, asm.R1, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, 0).WithReference("m"),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
	}
}

func leave() asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return()}
}

func join(parts ...asm.Instructions) (all asm.Instructions) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// TestHints makes common mistakes and demands that the hint names them.
func TestHints(t *testing.T) {
	for name, c := range map[string]struct {
		insns asm.Instructions
		cause verifier.Cause
		hint  string
	}{
		"no NULL check": {
			join(lookup()[:6], asm.Instructions{asm.LoadMem(asm.R0, asm.R0, 0, asm.Byte), asm.Return()}),
			verifier.CauseMaybeNull, "if (!ptr) return 0;",
		},
		"stale packet pointer": {
			asm.Instructions{
				asm.Mov.Reg(asm.R6, asm.R1),
				asm.LoadMem(asm.R7, asm.R6, 76, asm.Word), // data
				asm.LoadMem(asm.R3, asm.R6, 80, asm.Word), // data_end
				asm.Mov.Reg(asm.R4, asm.R7),
				asm.Add.Imm(asm.R4, 14),
				asm.JGT.Reg(asm.R4, asm.R3, "out"),
				asm.Mov.Imm(asm.R2, 64),
				asm.Mov.Reg(asm.R1, asm.R6),
				asm.FnSkbPullData.Call(),
				asm.LoadMem(asm.R0, asm.R7, 0, asm.Byte),
				asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
				asm.Return(),
			},
			verifier.CauseNotPointer, "the packet may have moved in the call at instruction 8 (call bpf_skb_pull_data#39)",
		},
		"argument used up": {
			asm.Instructions{asm.FnKtimeGetNs.Call(), asm.Mov.Reg(asm.R0, asm.R1), asm.Return()},
			verifier.CauseUninitRegister, "the call at instruction 0 used up R1 to R5",
		},
		"loaded again": {
			join(lookup(), asm.Instructions{
				asm.Mov.Reg(asm.R6, asm.R0),
				asm.LoadMem(asm.R7, asm.R6, 0, asm.Word),
				asm.JGT.Imm(asm.R7, 12, "out"),
				asm.LoadMem(asm.R8, asm.R6, 0, asm.Word), // not what was compared
				asm.Add.Reg(asm.R6, asm.R8),
				asm.LoadMem(asm.R0, asm.R6, 0, asm.Byte),
			}, leave()),
			verifier.CauseUnboundedOffset, "what is used was loaded again by instruction 11",
		},
		"lower half compared": {
			join(lookup(), asm.Instructions{
				asm.Mov.Reg(asm.R6, asm.R0),
				asm.LoadMem(asm.R7, asm.R6, 0, asm.DWord),
				asm.JGT.Imm32(asm.R7, 12, "out"),
				asm.Add.Reg(asm.R6, asm.R7),
				asm.LoadMem(asm.R0, asm.R6, 0, asm.Byte),
			}, leave()),
			verifier.CauseUnboundedOffset, "of the lower 32 bits only",
		},
		"endless loop": {
			asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("again"), asm.Ja.Label("again")},
			verifier.CauseLoop, "give it a bound",
		},
		"uninitialised key": {
			asm.Instructions{
				asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4), asm.LoadMapPtr(asm.R1, 0).WithReference("m"),
				asm.FnMapLookupElem.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
			},
			verifier.CauseUninitStack, "initialise the variable",
		},
		"another type's helper": {
			asm.Instructions{asm.Mov.Imm(asm.R2, 0), asm.FnXdpAdjustHead.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()},
			verifier.CauseHelper, "bpf_xdp_adjust_head is for programs of these types: XDP",
		},
		"not released": {
			asm.Instructions{
				asm.LoadMapPtr(asm.R1, 0).WithReference("ring"), asm.Mov.Imm(asm.R2, 8), asm.Mov.Imm(asm.R3, 0),
				asm.FnRingbufReserve.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
			},
			verifier.CauseReference, "release it on every path",
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &ebpf.CollectionSpec{
				Maps: map[string]*ebpf.MapSpec{
					"m":    {Name: "m", Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1},
					"ring": {Name: "ring", Type: ebpf.RingBuf, MaxEntries: 4096},
				},
				Programs: map[string]*ebpf.ProgramSpec{"p": {Name: "p", Type: ebpf.SchedCLS, License: "GPL", Instructions: c.insns}},
			}
			// Later ones let privileged programs read the stack as it is, and know that
			// an array has its first elements.
			opts := &verifier.Options{Kernel: "5.19"}
			_, err := verifier.Check(spec, "p", opts)
			var refused *verifier.Error
			if !errors.As(err, &refused) {
				t.Fatalf("it is accepted: %v", err)
			}
			if refused.Cause != c.cause {
				t.Errorf("cause %s, not %s: %v", refused.Cause, c.cause, err)
			}
			if hint := refused.Explain().Hint; !strings.Contains(hint, c.hint) {
				t.Errorf("hint: %s\nwant: %s", hint, c.hint)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if full := fmt.Sprintf("%+v", err); !strings.Contains(full, "try") {
				t.Errorf("not everything is told:\n%s", full)
			}
		})
	}
}

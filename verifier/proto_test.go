package verifier

import (
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm/helper"
)

// TestPrototypesAreLinuxs holds the table's order and names against Linux's numbers.
func TestPrototypesAreLinuxs(t *testing.T) {
	all := helper.Linux()
	if len(protos) != len(all)+1 {
		t.Errorf("there are %d prototypes for %d helpers", len(protos)-1, len(all))
	}
	for _, e := range all {
		if name := helperName(asm.BuiltinFunc(e.ID)); name != e.Name {
			t.Errorf("helper %d is %s, not %s", e.ID, e.Name, name)
		}
	}
	for _, v := range variants {
		if protos[v.id].flags&varies == 0 || v.name != protos[v.id].name {
			t.Errorf("%s varies, and its entry does not say so", v.name)
		}
	}
}

// kindsInMachine are, by the kinds of arguments that the machine tells apart, those that
// they are here. The machine takes anything where it looks for itself, and some sizes
// that may be 0 in Linux may not be here.
var kindsInMachine = map[helper.Arg][]arg{
	helper.ArgAnything:             {argAny, argScalar, argNone, argCtx},
	helper.ArgPtrToCtx:             {argCtx},
	helper.ArgConstMapPtr:          {argMap},
	helper.ArgPtrToMapKey:          {argKey},
	helper.ArgPtrToMapValue:        {argValue},
	helper.ArgPtrToUninitMapValue:  {argValue},
	helper.ArgPtrToMapValueOrNull:  {argValue},
	helper.ArgPtrToMem:             {argMem},
	helper.ArgPtrToMemOrNull:       {argMem},
	helper.ArgPtrToUninitMem:       {argMem},
	helper.ArgPtrToUninitMemOrNull: {argMem},
	helper.ArgPtrToBufferOrNull:    {argMem},
	helper.ArgPtrToFixedMem:        {argMem},
	helper.ArgPtrToInt:             {argMem},
	helper.ArgPtrToLong:            {argMem},
	helper.ArgPtrToTCPHeader:       {argMem},
	helper.ArgConstSize:            {argSize, argSizeOrZero},
	helper.ArgConstSizeOrZero:      {argSizeOrZero},
	helper.ArgConstAllocSize:       {argAllocSize},
	helper.ArgPtrToConstStr:        {argConstStr},
	helper.ArgPtrToFunc:            {argFunc},
	helper.ArgPtrToStackOrNull:     {argStack},
	helper.ArgPtrToRingbufMem:      {argRingbufMem},
	helper.ArgPtrToSocket:          {argBTFSock, argSockCommon, argSocket},
	helper.ArgPtrToSocketOrNull:    {argBTFSock, argSockCommon, argSocket},
	helper.ArgPtrToOwnedSocket:     {argBTFSock},
	helper.ArgPtrToCtxOrSocket:     {argCtx, argBTFSock, argBTF},
	helper.ArgPtrToBTF:             {argBTF, argPerCPUBTF},
	helper.ArgPtrToBTFOrNull:       {argBTF},
	helper.ArgPtrToUninitSlot:      {argDynptr},
	helper.ArgPtrToSlot:            {argDynptr},
	helper.ArgPtrToReleasedSlot:    {argDynptr},
	helper.ArgPtrToSpinLock:        {argSpinLock},
	helper.ArgPtrToTimer:           {argTimer},
	helper.ArgPtrToKptr:            {argKptr},
	helper.ArgPtrToObject:          {argBTF, argPerCPUBTF},
	helper.ArgPtrToOwnedOrNull:     {argBTF},
}

// TestPrototypesAreTheMachines holds the prototypes against those by which the machine
// checks arguments.
func TestPrototypesAreTheMachines(t *testing.T) {
	for _, h := range helper.All() {
		p := &protos[h.ID]
		for i, a := range p.args {
			switch {
			case i >= len(h.Args):
				if a != argNone {
					t.Errorf("%s: argument %d is none in the machine", h.Name, i+1)
				}
			case !agrees(h, i, a):
				t.Errorf("%s: argument %d has kind %d here and %d in the machine", h.Name, i+1, a.kind(), h.Args[i])
			}
		}
	}
}

// agrees reports whether an argument of the machine's is of a kind, or of one that it
// has in another prototype.
func agrees(h *helper.Helper, i int, a arg) bool {
	kinds := kindsInMachine[h.Args[i]]
	for _, k := range kinds {
		if a.kind() == k {
			return true
		}
	}
	for _, v := range variants {
		for _, k := range kinds {
			if uint32(v.id) == h.ID && v.args[i].kind() == k {
				return true
			}
		}
	}
	return false
}

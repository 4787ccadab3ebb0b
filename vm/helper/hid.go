package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// What programs for input devices (HID) call. The report or the descriptor that a
// program is for is the run's data, which lies where packets do. Behind it is room
// up to the size that its struct hid_bpf_ctx says. The device takes what it is
// sent, and answers what it is asked with what it was asked with.

func init() {
	ops, both := []ebpf.ProgramType{ebpf.StructOps}, []ebpf.ProgramType{ebpf.StructOps, ebpf.Syscall}
	const asksDevices = "input devices"
	registerKfuncs("6.3", only(ops,
		&Helper{Name: "hid_bpf_get_data", Func: hidData, Flags: RetNull, Ret: RetPtrToMemOrNull,
			Args: []Arg{ArgPtrToBTF, ArgAnything, ArgConstAllocSize}},
	)...)
	registerKfuncs("6.3", only(both,
		&Helper{Name: "hid_bpf_allocate_context", Func: hidContext, Flags: Acquire | RetNull, Ret: RetPtrToObject, Asks: asksDevices,
			Args: []Arg{ArgAnything}},
		&Helper{Name: "hid_bpf_release_context", Func: noop, Flags: Release, Ret: RetVoid, Asks: asksDevices,
			Args: []Arg{ArgPtrToOwned}},
		&Helper{Name: "hid_bpf_hw_request", Func: hidRequest, Asks: asksDevices,
			Args: []Arg{ArgPtrToBTF, ArgPtrToMem, ArgConstSizeOrZero, ArgAnything, ArgAnything}},
	)...)
	registerKfuncs("6.10", only(both,
		&Helper{Name: "hid_bpf_hw_output_report", Func: hidOutput, Asks: asksDevices,
			Args: []Arg{ArgPtrToBTF, ArgPtrToMem, ArgConstSizeOrZero}},
		&Helper{Name: "hid_bpf_input_report", Func: hidInput("hid_bpf_input_report"), Asks: asksDevices,
			Args: []Arg{ArgPtrToBTF, ArgAnything, ArgPtrToMem, ArgConstSizeOrZero}},
	)...)
	registerKfuncs("6.11", only(ops,
		&Helper{Name: "hid_bpf_try_input_report", Func: hidInput("hid_bpf_try_input_report"), Asks: asksDevices,
			Args: []Arg{ArgPtrToBTF, ArgAnything, ArgPtrToMem, ArgConstSizeOrZero}},
	)...)
}

// struct hid_bpf_ctx
const (
	hidAllocated = 8  // size of the data, with the room behind it
	hidSize      = 12 // of the data; and the result of the program before
	hidCtxBytes  = 16
)

// hidRoom is how many bytes the data of a context has.
func hidRoom(s *exec.State, ctx uint64) uint64 {
	all := uint64(s.Packet.HardEnd - s.Packet.Data)
	if b := s.Env.Objects.Readable(ctx, false); len(b) >= hidCtxBytes {
		return min(all, uint64(le.Uint32(b[hidAllocated:])))
	}
	return all
}

func hidData(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	offset, end := uint64(uint32(r2)), uint64(uint32(r2))+r3
	if end < r3 || end > hidRoom(s, r1) {
		return 0
	}
	s.RetProv = exec.Make(exec.RegionPacket, 0)
	return uint64(s.Packet.Data) + offset
}

// hidContext gives a context without a report, of which programs see no more than
// that it is there.
func hidContext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	const contexts, apart = 0xffff_d880_0000_0000, 1 << 12
	s.RetProv = exec.Nowhere
	return contexts + uint64(uint32(r1))*apart
}

// Kinds of reports, and of requests.
const (
	hidInputReport = iota
	hidOutputReport
	hidFeatureReport
)

var hidRequests = map[uint64]string{
	1: "HID_REQ_GET_REPORT", 2: "HID_REQ_GET_IDLE", 3: "HID_REQ_GET_PROTOCOL",
	9: "HID_REQ_SET_REPORT", 10: "HID_REQ_SET_IDLE", 11: "HID_REQ_SET_PROTOCOL",
}

var hidReports = [...]string{hidInputReport: "HID_INPUT_REPORT", hidOutputReport: "HID_OUTPUT_REPORT", hidFeatureReport: "HID_FEATURE_REPORT"}

// hidReport is the name of a kind of report; false where the kind or the size is
// none.
func hidReport(kind, size uint64) (string, bool) {
	if uint32(kind) >= uint32(len(hidReports)) || size == 0 {
		return "", false
	}
	return hidReports[uint32(kind)], true
}

func hidRequest(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	report, ok := hidReport(r4, r3)
	request := hidRequests[uint64(uint32(r5))]
	if !ok || request == "" {
		return result32(negative(errno.EINVAL))
	}
	did(s, "hid_bpf_hw_request", "%s, %s, % x", report, request, view(r2, r3))
	return uint64(uint32(r3))
}

func hidOutput(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	if r3 == 0 {
		return result32(negative(errno.EINVAL))
	}
	did(s, "hid_bpf_hw_output_report", "% x", view(r2, r3))
	return uint64(uint32(r3))
}

func hidInput(name string) Func {
	return func(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
		report, ok := hidReport(r2, r4)
		if !ok {
			return result32(negative(errno.EINVAL))
		}
		did(s, name, "%s, % x", report, view(r3, r4))
		return 0
	}
}

// reportOperation gives a report the length that the program returned, or wrote
// into its context where it returned 0. A longer one than there is room for is
// dropped, as is one for which it returned an error.
func reportOperation(s *exec.State, ctx []uint64) (end func(ret uint64)) {
	return func(ret uint64) {
		n := int64(int32(ret))
		if len(ctx) == 0 || s.Packet.Data == 0 {
			return
		}
		room := hidRoom(s, ctx[0])
		if b := s.Env.Objects.Readable(ctx[0], false); n == 0 && len(b) >= hidCtxBytes {
			n = int64(le.Uint32(b[hidSize:]))
		}
		if n < 0 || uint64(n) > room {
			did(s, "drop", "the report")
			return
		}
		s.Packet.DataEnd = s.Packet.Data + uintptr(n)
	}
}

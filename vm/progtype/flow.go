package progtype

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// struct bpf_flow_keys, in bytes.
const (
	flowKeysSize = 56
	flowNhoff    = 0
	flowThoff    = 2
	flowNProto   = 10
	flowFlags    = 48
)

func init() {
	keys := field("flow_keys", 144, 8).whole()
	keys.Kind = BufferPtr
	register(&Type{
		Prog: ebpf.FlowDissector, Name: "flow_dissector",
		CtxName: "struct __sk_buff", CtxSize: skbSize,
		Fields:   append(packetPointers("data", "data_end", 76, 4), keys),
		Verdicts: map[uint32]string{0: "BPF_OK", 2: "BPF_DROP", 129: "BPF_FLOW_DISSECTOR_CONTINUE"},
		Packet:   true,
		Setup:    setupFlow, Finish: finishFlow,
	})
}

// flowKeys is the memory of the keys, behind the context's fields.
func flowKeys(s *exec.State) []byte {
	return s.CtxBytes()[int(uapiOff)+skbSize:][:flowKeysSize]
}

// setupFlow gives the program the packet from its Ethernet header on. The
// caller's context is a struct bpf_flow_keys of which flags alone is taken.
func setupFlow(s *exec.State, in *Input) error {
	given, err := readCtx(in.Ctx, flowKeysSize)
	if err != nil {
		return err
	}
	if len(in.Data) < ethHeader {
		return refuse("packet has %d bytes, which is less than an Ethernet header", len(in.Data))
	}
	if err := zero(&given, 0, flowFlags); err != nil {
		return err
	}
	if err := zero(&given, flowFlags+4, flowKeysSize); err != nil {
		return err
	}
	s.SetPlainCtx(0)
	clear(s.CtxBytes())
	if err := s.SetPacket(ebpf.FlowDissector, in.Data, 0, 0); err != nil {
		return err
	}
	s.Packet.ReadOnly = true
	s.PacketMoved()

	keys, le := flowKeys(s), binary.LittleEndian
	copy(keys[flowNProto:], in.Data[12:14])
	le.PutUint16(keys[flowNhoff:], ethHeader)
	le.PutUint16(keys[flowThoff:], ethHeader)
	copy(keys[flowFlags:], given[flowFlags:][:4])
	s.Buffer = exec.Region{Base: exec.Addr(keys), Size: flowKeysSize}
	le.PutUint64(s.CtxBytes()[uapiOff+144:], uint64(s.Buffer.Base))
	return nil
}

// finishFlow gives the keys, whose offsets lie within the packet.
func finishFlow(s *exec.State, out *Output) {
	keys, le := flowKeys(s), binary.LittleEndian
	nhoff := min(max(le.Uint16(keys[flowNhoff:]), ethHeader), uint16(s.Packet.Len()))
	thoff := min(max(le.Uint16(keys[flowThoff:]), nhoff), uint16(s.Packet.Len()))
	le.PutUint16(keys[flowNhoff:], nhoff)
	le.PutUint16(keys[flowThoff:], thoff)
	out.Data = append(out.Data, keys...)
	copy(out.Ctx, keys)
}

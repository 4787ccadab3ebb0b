package progtype_test

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// FuzzSetup feeds every type any packet and any context: what a run begins with,
// it ends with.
func FuzzSetup(f *testing.F) {
	f.Add(udpPacket(), skbCtx())
	f.Add(udpPacket(), make([]byte, 24))
	f.Add([]byte{}, []byte{})
	s := oracle.State(f)
	f.Fuzz(func(t *testing.T, data, ctx []byte) {
		for _, typ := range packetTypes {
			desc, err := progtype.Get(typ)
			if err != nil {
				t.Fatal(err)
			}
			if desc.Setup(s, &progtype.Input{Data: data, Ctx: ctx}) != nil {
				continue
			}
			out := progtype.Output{Ctx: make([]byte, len(ctx))}
			desc.Finish(s, &out)
			if len(out.Data) != len(data) || string(out.Data[14:]) != string(data[14:]) {
				t.Errorf("%s: packet %x comes out as %x", desc.Name, data, out.Data)
			}
		}
	})
}

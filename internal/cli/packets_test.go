package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cilium/ebpf"
)

func TestOnWire(t *testing.T) {
	came := append(bytes.Repeat([]byte{1}, 12), 8, 0, 69)
	left := append(make([]byte, 14), 70)
	for _, tt := range []struct {
		name string
		typ  ebpf.ProgramType
		vlan [4]byte
		want []byte
	}{
		{"tc", ebpf.SchedCLS, [4]byte{}, left},
		{"header put back", ebpf.CGroupSKB, [4]byte{}, append(bytes.Clone(came[:14]), 70)},
		{"tag put in", ebpf.SchedCLS, [4]byte{0x81, 0, 0, 7}, append(append(make([]byte, 12), 0x81, 0, 0, 7), left[12:]...)},
	} {
		if got := onWire(tt.typ, came, bytes.Clone(left), tt.vlan); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: % x, want % x", tt.name, got, tt.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	var r refusals
	if r.note() != "" {
		t.Error("there was nothing to note")
	}
	r.add(3, errors.New("too short"))
	if got := r.note(); got != "1 packet was not run: packet 3: too short" {
		t.Error(got)
	}
	r.add(4, errors.New("too long"))
	if got := r.note(); got != "2 packets were not run; the first: packet 3: too short" {
		t.Error(got)
	}
}

//go:build !linux || !(amd64 || arm64)

package kernelrun

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Map is not available here.
type Map struct{ Spec *ebpf.MapSpec }

// NewMap gives [ErrNotAvailable].
func NewMap(*ebpf.MapSpec) (*Map, error) { return nil, ErrNotAvailable }

// UserLookup gives [ErrNotAvailable], as do the other methods.
func (*Map) UserLookup(key, value []byte, flags uint64) error { return ErrNotAvailable }
func (*Map) UserUpdate(key, value []byte, flags uint64) error { return ErrNotAvailable }
func (*Map) UserDelete(key []byte) error                      { return ErrNotAvailable }
func (*Map) NextKey(key, next []byte) error                   { return ErrNotAvailable }
func (*Map) SetProgram(key []byte, p *Program) error          { return ErrNotAvailable }
func (*Map) Freeze() error                                    { return ErrNotAvailable }
func (*Map) Mmap(size int) ([]byte, error)                    { return nil, ErrNotAvailable }
func (*Map) Close() error                                     { return ErrNotAvailable }

// Program is not available here.
type Program struct{}

// Load gives [ErrNotAvailable].
func Load(ebpf.ProgramType, []isa.Instruction, []*Map, bool) (*Program, error) {
	return nil, ErrNotAvailable
}

// LoadFor gives [ErrNotAvailable].
func LoadFor(ebpf.ProgramType, Target, []isa.Instruction, []*Map, bool) (*Program, error) {
	return nil, ErrNotAvailable
}

// Trace gives the verifier's log.
func Trace(ebpf.ProgramType, []isa.Instruction, []*Map) (string, error) { return "", ErrNotAvailable }

// Run gives [ErrNotAvailable], as does Close.
func (*Program) Run(*RunInput) (*RunOutput, error) { return nil, ErrNotAvailable }
func (*Program) Close() error                      { return ErrNotAvailable }

// Pin gives [ErrNotAvailable].
func Pin(int) (release func() error, err error) { return nil, ErrNotAvailable }

// PossibleCPUs gives [ErrNotAvailable].
func PossibleCPUs() (int, error) { return 0, ErrNotAvailable }

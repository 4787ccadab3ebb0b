package vm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/maps"
)

// btfLoad is BPF_BTF_LOAD.
type btfLoad struct {
	Types, Log              uint64
	Size, LogSize, LogLevel uint32
	LogTrueSize             uint32
	Flags, Token            uint32
}

// maxTypes is the most bytes of types that Linux takes (BTF_MAX_SIZE).
const maxTypes = 16 << 20

func (a *btfLoad) run(c *call) (uint32, error) {
	switch {
	case a.Flags&^flagToken != 0:
		return 0, errno.EINVAL
	case a.Flags&flagToken != 0:
		return 0, noToken(a.Token)
	case a.Size > maxTypes:
		return 0, errno.E2BIG
	}
	log := logBuffer{level: a.LogLevel, size: a.LogSize, addr: a.Log}
	if err := log.check(); err != nil {
		return 0, err
	}
	raw, err := c.read(a.Types, int(a.Size))
	if err != nil {
		return 0, err
	}
	spec, err := parseTypes(raw)
	if err != nil {
		return 0, err
	}
	t := &types{spec, maps.TakeNumber()}
	fd, err := opened.add(t.number, t)
	if err == nil {
		c.made("btf_load", fd, "")
	}
	return fd, err
}

// btfHeader is struct btf_header.
type btfHeader struct {
	Magic          uint16
	Version, Flags uint8
	Length         uint32
	Types, Strings struct{ Offset, Length uint32 }
}

// parseTypes reads types as Linux does: two sections fill what is behind the header.
func parseTypes(raw []byte) (*btf.Spec, error) {
	var h btfHeader
	size := binary.Size(h)
	if len(raw) < size {
		return nil, errno.EINVAL
	}
	if err := binary.Read(bytes.NewReader(raw), binary.NativeEndian, &h); err != nil {
		return nil, err
	}
	if uint64(h.Length) > uint64(len(raw)) || int(h.Length) < size {
		return nil, errno.EINVAL
	}
	switch data := raw[h.Length:]; {
	case !zero(raw[size:h.Length]):
		return nil, errno.E2BIG
	case h.Magic != 0xeb9f:
		return nil, errno.EINVAL
	case h.Version != 1, h.Flags != 0:
		return nil, errno.ENOTSUPP
	case !h.fills(uint64(len(data))), h.Types.Offset%4 != 0, h.Types.Length == 0:
		return nil, errno.EINVAL
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, errno.EINVAL)
	}
	return spec, program.CheckTypes(spec)
}

// fills reports whether the sections follow one another, with nothing between and
// behind them.
func (h *btfHeader) fills(size uint64) bool {
	sections := []struct{ Offset, Length uint32 }{h.Types, h.Strings}
	slices.SortFunc(sections, func(a, b struct{ Offset, Length uint32 }) int { return cmp.Compare(a.Offset, b.Offset) })
	end := uint64(0)
	for _, s := range sections {
		if uint64(s.Offset) != end {
			return false
		}
		end += uint64(s.Length)
	}
	return end == size
}

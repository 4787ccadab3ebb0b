package helper

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/exec"
)

func newState(t testing.TB) *exec.State {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lend puts bytes where a program could have them.
func lend(t testing.TB, s *exec.State, b []byte) uint64 {
	t.Helper()
	m, _ := s.Lend(len(b))
	if m == nil {
		t.Fatal("no memory to lend")
	}
	copy(m, b)
	return addressOf(m)
}

func TestFormat(t *testing.T) {
	s := newState(t)
	text := lend(t, s, []byte("bee hive\x00"))
	addr4 := lend(t, s, []byte{192, 0, 2, 1})
	addr6 := lend(t, s, []byte{0x20, 1, 0xd, 0xb8, 15: 1})
	tests := []struct {
		format string
		args   []uint64
		want   string
		err    errno.Errno
	}{
		{format: "plain 100%%", want: "plain 100%"},
		{format: "%d %u %x %X", args: []uint64{^uint64(0), ^uint64(0), 0xbee, 0xbee}, want: "-1 4294967295 bee BEE"},
		{format: "%ld %lu %llx", args: []uint64{^uint64(0), 1 << 40, 1 << 40}, want: "-1 1099511627776 10000000000"},
		{format: "[%5d][%-5d][%05d][%+d][% d]", args: []uint64{42, 42, 42, 42, 42}, want: "[   42][42   ][00042][+42][ 42]"},
		{format: "[%s][%10s][%-10s]", args: []uint64{text, text, text}, want: "[bee hive][  bee hive][bee hive  ]"},
		{format: "%s", args: []uint64{1}, want: ""},
		{format: "%pI4 %pi4", args: []uint64{addr4, addr4}, want: "192.0.2.1 192.000.002.001"},
		{format: "%pI6 %pi6", args: []uint64{addr6, addr6},
			want: "2001:0db8:0000:0000:0000:0000:0000:0001 20010db8000000000000000000000001"},
		{format: "%px|%c", args: []uint64{0x1234, 'x'}, want: "0000000000001234|x"},
		{format: "%pks", args: []uint64{text}, want: "bee hive"},
		{format: "%d", err: errno.EINVAL},
		{format: "%q", args: []uint64{1}, err: errno.EINVAL},
		{format: "%pM", args: []uint64{1}, err: errno.EINVAL},
		{format: "%#x", args: []uint64{1}, err: errno.EINVAL},
		{format: "%.3s", args: []uint64{1}, err: errno.EINVAL},
		{format: "%*d", args: []uint64{1, 2}, err: errno.EINVAL},
		{format: "%", args: []uint64{1}, err: errno.EINVAL},
		{format: "\x01", err: errno.EINVAL},
	}
	for _, tt := range tests {
		if err := checkFormat([]byte(tt.format), len(tt.args)); err != tt.err {
			t.Errorf("checkFormat(%q) = %v, want %v", tt.format, err, tt.err)
			continue
		}
		if tt.err != 0 {
			continue
		}
		p := printer{s: s, buf: make([]byte, 100)}
		p.format([]byte(tt.format), tt.args)
		if got := string(p.text()); got != tt.want || p.n != len(tt.want) {
			t.Errorf("%q gives %q, %d bytes, want %q", tt.format, got, p.n, tt.want)
		}
	}
}

func TestTracePrintk(t *testing.T) {
	s := newState(t)
	var got []string
	s.Env.Printk = func(m string) { got = append(got, m) }
	format := lend(t, s, []byte("n=%d %s\n\x00"))
	text := lend(t, s, []byte("x\x00"))
	if n := tracePrintk(s, format, 9, 7, text, 0); n != 6 {
		t.Errorf("gives %d, want 6", int64(n))
	}
	if n := tracePrintk(s, format, 8, 7, text, 0); n != errno.EINVAL.Ret() {
		t.Errorf("a format without its NUL gives %d, want -EINVAL", int64(n))
	}
	args := lend(t, s, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1), text))
	if n := traceVprintk(s, format, 9, args, 16, 0); n != 6 {
		t.Errorf("with arguments in memory, gives %d, want 6", int64(n))
	}
	if n := traceVprintk(s, format, 9, args, 15, 0); n != errno.EINVAL.Ret() {
		t.Errorf("15 bytes of arguments give %d, want -EINVAL", int64(n))
	}
	if strings.Join(got, "|") != "n=7 x|n=1 x" {
		t.Errorf("messages %q", got)
	}
}

// TestSnprintfAsInKernel prints random formats in Linux and here. SKEP_SEED
// repeats a run, SKEP_PROGRAMS makes it longer.
func TestSnprintfAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "there was no bpf_snprintf, or another one")
	n := 400
	if long, err := strconv.Atoi(os.Getenv("SKEP_PROGRAMS")); err == nil {
		n = long
	}
	g := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	s := newState(t)
	for range n {
		format, kinds := randomFormat(g)
		data := make([]byte, 1024)
		copy(data[:strings.IndexByte(format+"\x00", 0)+1], format)
		copy(data[600:], strings.Repeat("a string of some length. ", g.IntN(15))+"\x00")
		// The kernel is told pointers into data, we are told others.
		var args []uint64
		for _, pointer := range kinds {
			if pointer {
				args = append(args, uint64(600+g.IntN(30)))
			} else {
				args = append(args, []uint64{0, 1, 'a', g.Uint64(), ^uint64(0), 1 << 31, uint64(g.IntN(1000))}[g.IntN(7)])
			}
		}
		size := 1 + g.IntN(64)
		ret, text, refused := kernelSnprintf(t, data, args, kinds, size)

		base := lend(t, s, data)
		buf, _ := s.Lend(64)
		clear(buf)
		var words []byte
		for i, a := range args {
			if kinds[i] {
				a += base
			}
			words = binary.LittleEndian.AppendUint64(words, a)
		}
		got := snprintf(s, addressOf(buf), uint64(size), base, lend(t, s, append(words, 0)), uint64(len(words)))
		if refused != nil {
			if got != errno.EINVAL.Ret() && got != errno.ENOSPC.Ret() {
				t.Errorf("%q, %d arguments: gives %d; the kernel refuses it: %v", format, len(args), int64(got), refused)
			}
		} else if lost := uint32(got) > uint32(size) && strings.Contains(format, "p"); uint32(got) != ret && !lost || string(buf) != string(text) {
			t.Errorf("%q, %x, size %d: gives %d %q; the kernel %d %q", format, args, size, int32(got), buf, int32(ret), text)
		}
		s.Reclaim()
	}
}

// randomFormat is a format and which of its arguments are pointers.
func randomFormat(g *rand.Rand) (format string, pointers []bool) {
	numbers := []string{"d", "i", "u", "x", "X", "ld", "llu", "lx", "lli", "c", "px", "pS", "ps", "pB", "o", "hd", "lc", "pM"}
	strs := []string{"s", "pI4", "pi4", "pI6", "pi6", "pks"}
	letters := []string{" ", "a", ".", "%%", "", "(", "9", "\n", "\x7f", "é", "_", "\x85", "\xa0", "\xff"}
	for range g.IntN(5) {
		l := 7
		if g.IntN(10) == 0 {
			l = len(letters)
		}
		format += letters[g.IntN(l)]
		if g.IntN(4) == 0 {
			continue
		}
		format += "%"
		for range g.IntN(3) {
			format += string("0+- "[g.IntN(4)])
		}
		if g.IntN(2) == 0 {
			format += string(rune('1' + g.IntN(9)))
		}
		if g.IntN(3) == 0 {
			format += strs[g.IntN(len(strs))]
			pointers = append(pointers, true)
			continue
		}
		n := len(numbers) - 4
		if g.IntN(10) == 0 {
			n = len(numbers)
		}
		format += numbers[g.IntN(n)]
		pointers = append(pointers, false)
	}
	return format, pointers
}

// kernelSnprintf prints in a traffic control program, and takes the text out by
// its packet. Arguments that are pointers are offsets into data.
func kernelSnprintf(t *testing.T, data []byte, args []uint64, pointers []bool, size int) (ret uint32, text []byte, refused error) {
	t.Helper()
	rodata, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(data)), MaxEntries: 1, Flags: 1 << 7, // BPF_F_RDONLY_PROG
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: data}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer rodata.Close()
	if err := rodata.Freeze(); err != nil {
		t.Fatal(err)
	}
	const buf, words = -64, -192
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R1, 0)}
	for i := buf; i < 0; i += 8 {
		insns = append(insns, asm.StoreMem(asm.R10, int16(i), asm.R1, asm.DWord))
	}
	for i, a := range args {
		load := asm.LoadImm(asm.R1, int64(a), asm.DWord)
		if pointers[i] {
			load = asm.LoadMapValue(asm.R1, rodata.FD(), uint32(a))
		}
		insns = append(insns, load, asm.StoreMem(asm.R10, int16(words+8*i), asm.R1, asm.DWord))
	}
	insns = append(insns,
		asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, buf),
		asm.Mov.Imm(asm.R2, int32(size)),
		asm.LoadMapValue(asm.R3, rodata.FD(), 0),
		asm.Mov.Reg(asm.R4, asm.R10), asm.Add.Imm(asm.R4, words),
		asm.Mov.Imm(asm.R5, int32(8*len(args))),
		asm.FnSnprintf.Call(),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, buf),
		asm.Mov.Imm(asm.R4, 64), asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.Mov.Reg(asm.R0, asm.R7), asm.Return())
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: insns, License: "GPL"})
	if err != nil {
		return 0, nil, err
	}
	defer prog.Close()
	ret, packet, err := prog.Test(make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	return ret, packet, nil
}

// FuzzFormat feeds the formatter any format: what it takes it must print, within
// the buffer.
func FuzzFormat(f *testing.F) {
	f.Add("%5d %-9s %pI4 %c", uint64(1), uint64(2), uint8(20))
	f.Add("%08388607d%%", uint64(1), uint64(2), uint8(1))
	s := newState(f)
	f.Fuzz(func(t *testing.T, format string, a, b uint64, size uint8) {
		args := []uint64{a, b, uint64(s.Ctx())}
		if checkFormat([]byte(format), len(args)) != 0 {
			return
		}
		buf := make([]byte, int(size)+1)
		buf[size] = 0xee
		p := printer{s: s, buf: buf[:size]}
		p.format([]byte(format), args)
		if got := p.text(); len(got) > p.n || buf[size] != 0xee {
			t.Errorf("%q: text of %d bytes, counted %d, behind the buffer %#x", format, len(got), p.n, buf[size])
		}
	})
}

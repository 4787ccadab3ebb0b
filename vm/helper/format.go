package helper

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// A directive is one conversion of a format: %[flags][width]verb.
type directive struct {
	left, plus, space, zero bool

	width  int
	verb   byte // d, u, x, X, c, s, p
	long   bool // 64 bits wide
	kind   byte // of p: 0, x, K, s, S, B, k and u (strings), i and I
	family byte // of pi and pI: 4 or 6
}

// maxWidth bounds a field, as Linux does.
const maxWidth = 1<<23 - 1

// checkFormat holds a format against what bpf programs may use with n
// arguments, as the kernel's bpf_bprintf_prepare does.
func checkFormat(format []byte, n int) errno.Errno {
	used := 0
	for i := 0; i < len(format); {
		c := format[i]
		if c < 0x20 && !isSpace(c) || c == 0x7f {
			return errno.EINVAL
		}
		if c != '%' {
			i++
			continue
		}
		if byteAt(format, i+1) == '%' {
			i += 2
			continue
		}
		if used >= n {
			return errno.EINVAL
		}
		_, next, ok := parseDirective(format, i)
		if !ok {
			return errno.EINVAL
		}
		used++
		i = next
	}
	return 0
}

// parseDirective reads the directive whose % stands at i, and gives where it
// ends.
func parseDirective(format []byte, i int) (d directive, next int, ok bool) {
	i++
	for ; ; i++ {
		switch byteAt(format, i) {
		case '0':
			d.zero = true
			continue
		case '+':
			d.plus = true
			continue
		case '-':
			d.left = true
			continue
		case ' ':
			d.space = true
			continue
		}
		break
	}
	for ; '0' <= byteAt(format, i) && byteAt(format, i) <= '9'; i++ {
		d.width = min(10*d.width+int(format[i]-'0'), maxWidth)
	}
	switch d.verb = byteAt(format, i); d.verb {
	case 'p':
		i, ok = d.parsePointer(format, i+1)
		return d, i, ok
	case 's':
		return d, i + 1, endsWord(byteAt(format, i+1))
	case 'c':
		return d, i + 1, true
	}
	for n := 0; n < 2 && byteAt(format, i) == 'l'; n++ {
		d.long = true
		i++
	}
	switch d.verb = byteAt(format, i); d.verb {
	case 'd', 'i', 'u', 'x', 'X':
		return d, i + 1, true
	}
	return d, i, false
}

// parsePointer reads what follows a %p.
func (d *directive) parsePointer(format []byte, i int) (next int, ok bool) {
	switch c := byteAt(format, i); {
	case endsWord(c):
		return i, true
	case (c == 'k' || c == 'u') && byteAt(format, i+1) == 's':
		d.kind = c
		return i + 2, endsWord(byteAt(format, i+2))
	case c == 'K' || c == 'x' || c == 's' || c == 'S' || c == 'B':
		d.kind = c
		return i + 1, true
	case c == 'i' || c == 'I':
		d.kind, d.family = c, byteAt(format, i+1)
		return i + 2, d.family == '4' || d.family == '6'
	}
	return i, false
}

// endsWord reports whether c may follow a string or a plain pointer.
func endsWord(c byte) bool { return c == 0 || isSpace(c) || isPunct(c) }

func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// A printer writes into buf and counts what would not fit, as C's snprintf.
type printer struct {
	s   *exec.State
	buf []byte
	n   int
	// used is how many bytes the arguments so far take of the kernel's room for
	// them, which strings are cut to. full says that one had no room.
	used int
	full bool
}

// argRoom is that room, in bytes (MAX_BPRINTF_BIN_ARGS).
const argRoom = 512

// format writes a format that [checkFormat] took. ENOSPC where the arguments are
// too long.
func (p *printer) format(format []byte, args []uint64) errno.Errno {
	for i := 0; i < len(format); {
		if format[i] != '%' {
			p.byte(format[i])
			i++
			continue
		}
		if byteAt(format, i+1) == '%' {
			p.byte('%')
			i += 2
			continue
		}
		d, next, _ := parseDirective(format, i)
		p.value(&d, args[0])
		if p.full {
			return errno.ENOSPC
		}
		args = args[1:]
		i = next
		if d.verb == 'p' {
			// The kernel takes letters that follow as part of the directive.
			for i < len(format) && isAlnum(format[i]) {
				i++
			}
		}
	}
	return 0
}

func (p *printer) value(d *directive, v uint64) {
	var scratch [64]byte
	switch d.verb {
	case 'd', 'i', 'u', 'x', 'X':
		size := 4
		if d.long {
			size = 8
		}
		p.takeWord(size)
	}
	switch d.verb {
	case 'c':
		p.take(1, 1)
		p.padded(d, []byte{byte(v)})
	case 's':
		p.padded(d, p.str(v))
	case 'p':
		p.pointer(d, v, scratch[:0])
	case 'd', 'i':
		n := int64(v)
		if !d.long {
			n = int64(int32(v))
		}
		magnitude := uint64(n)
		var sign []byte
		switch {
		case n < 0:
			sign, magnitude = []byte{'-'}, -magnitude
		case d.plus:
			sign = []byte{'+'}
		case d.space:
			sign = []byte{' '}
		}
		p.number(d, sign, strconv.AppendUint(scratch[:0], magnitude, 10))
	default:
		if !d.long {
			v = uint64(uint32(v))
		}
		base := 10
		if d.verb != 'u' {
			base = 16
		}
		digits := strconv.AppendUint(scratch[:0], v, base)
		if d.verb == 'X' {
			for i, c := range digits {
				if c >= 'a' {
					digits[i] = c - 0x20
				}
			}
		}
		p.number(d, nil, digits)
	}
}

// pointer writes an address, or what it points to. Addresses are numbers of
// this process; nothing is hidden by hashing them.
func (p *printer) pointer(d *directive, v uint64, scratch []byte) {
	switch d.kind {
	case 0, 'x', 'K', 's', 'S':
		p.takeWord(8)
	}
	switch d.kind {
	case 'k', 'u':
		p.whole(p.str(v))
	case 'i', 'I':
		// The kernel asks for room for the address and puts its text there.
		text, size := p.address(d, v, scratch)
		p.take(size, len(text)+1)
		p.whole(text)
	case 'B':
		p.take(0, len("0x")+16+1)
		p.whole(strconv.AppendUint(append(scratch, "0x"...), v, 16))
	case 's', 'S':
		p.padded(d, strconv.AppendUint(append(scratch, "0x"...), v, 16))
	default:
		if d.width == 0 {
			d.width, d.zero = 16, true
		}
		p.number(d, nil, strconv.AppendUint(scratch, v, 16))
	}
}

// address is the IP address of n bytes that v points to: with I as people write it, with i
// with all its zeros.
func (p *printer) address(d *directive, v uint64, scratch []byte) (text []byte, n int) {
	var raw [16]byte
	n = 4
	if d.family == '6' {
		n = 16
	}
	if p.s.Readable(uintptr(v)) >= uintptr(n) {
		copy(raw[:], view(v, uint64(n)))
	}
	switch {
	case d.family == '4' && d.kind == 'I':
		return netip.AddrFrom4([4]byte(raw[:4])).AppendTo(scratch), n
	case d.family == '4':
		for i, b := range raw[:4] {
			if i > 0 {
				scratch = append(scratch, '.')
			}
			scratch = append(scratch, '0'+b/100, '0'+b/10%10, '0'+b%10)
		}
		return scratch, n
	}
	for i := 0; i < 16; i += 2 {
		if i > 0 && d.kind == 'I' {
			scratch = append(scratch, ':')
		}
		group := binary.BigEndian.Uint16(raw[i:])
		for shift := 12; shift >= 0; shift -= 4 {
			scratch = append(scratch, "0123456789abcdef"[group>>shift&15])
		}
	}
	return scratch, n
}

// take uses n bytes of the room for arguments, and notes where not even least of
// them are left.
func (p *printer) take(least, n int) {
	if argRoom-p.used < least {
		p.full = true
	}
	p.used += n
}

// takeWord is take for a number, which is aligned.
func (p *printer) takeWord(size int) {
	p.used = (p.used + 3) &^ 3
	p.take(size, size)
}

// str is the string at an address, empty where that cannot be read, and cut to
// the room that arguments have left.
func (p *printer) str(addr uint64) []byte {
	left := argRoom - p.used
	if left <= 0 { // below 0 after an address or symbol that was cut
		p.full = p.full || left == 0
		return nil
	}
	text := cString(view(addr, min(uint64(p.s.Readable(uintptr(addr))), uint64(left-1))))
	p.used += len(text) + 1
	return text
}

// cString is b up to its first NUL.
func cString(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

// number writes digits with their sign, in the field.
func (p *printer) number(d *directive, sign, digits []byte) {
	pad := d.width - len(sign) - len(digits)
	if !d.left && !d.zero {
		p.repeat(' ', pad)
	}
	p.write(sign)
	if !d.left && d.zero {
		p.repeat('0', pad)
	}
	p.write(digits)
	if d.left {
		p.repeat(' ', pad)
	}
}

// padded writes text in the field.
func (p *printer) padded(d *directive, text []byte) {
	pad := d.width - len(text)
	if !d.left {
		p.repeat(' ', pad)
	}
	p.write(text)
	if d.left {
		p.repeat(' ', pad)
	}
}

// whole writes text that the kernel counts only where the buffer has room left.
func (p *printer) whole(text []byte) {
	if p.n < len(p.buf) {
		p.write(text)
	}
}

func (p *printer) byte(c byte) {
	if p.n < len(p.buf) {
		p.buf[p.n] = c
	}
	p.n++
}

func (p *printer) write(b []byte) {
	if p.n < len(p.buf) {
		copy(p.buf[p.n:], b)
	}
	p.n += len(b)
}

func (p *printer) repeat(c byte, n int) {
	if n <= 0 {
		return
	}
	for i := p.n; i < min(p.n+n, len(p.buf)); i++ {
		p.buf[i] = c
	}
	p.n += n
}

// text is what was written, closed by a NUL where there is room for any.
func (p *printer) text() []byte {
	if len(p.buf) == 0 {
		return nil
	}
	n := min(p.n, len(p.buf)-1)
	p.buf[n] = 0
	return p.buf[:n]
}

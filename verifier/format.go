package verifier

import "strings"

// validFormat reports whether a format with n arguments is one that the kernel prints
// (bpf_bprintf_prepare).
func validFormat(format string, n int) bool {
	for format != "" {
		b := format[0]
		if !plainText(b) {
			return false
		}
		format = format[1:]
		if b != '%' {
			continue
		}
		if rest, ok := strings.CutPrefix(format, "%"); ok {
			format = rest
			continue
		}
		if n--; n < 0 {
			return false
		}
		size, ok := directive(format)
		if !ok {
			return false
		}
		format = format[size:]
	}
	return true
}

// plainText reports whether a character may stand in a format; those beyond ASCII are
// UTF-8's.
func plainText(b byte) bool { return b >= 0x20 && b != 0x7f || isSpace(b) }

// isSpace and isPunct are as in the kernel's ctype.c, whose characters are those of
// Latin-1.

func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0xa0 }

func isPunct(b byte) bool {
	switch {
	case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z':
		return false
	case b == 0xd7, b == 0xf7:
		return true
	}
	return b > 0x20 && b < 0x7f || b > 0xa0 && b < 0xc0
}

// endsWord reports whether what follows a string is no part of a word.
func endsWord(s string) bool { return s == "" || isSpace(s[0]) || isPunct(s[0]) }

// directive is how long what follows a % is: flags, width, and what to print.
func directive(s string) (size int, ok bool) {
	rest := strings.TrimLeft(s, "0+- ")
	if rest != "" && rest[0] >= '1' && rest[0] <= '9' {
		rest = strings.TrimLeft(rest, "0123456789")
	}
	width := len(s) - len(rest)
	if rest == "" {
		return 0, false
	}
	switch rest[0] {
	case 'p':
		size, ok = pointerDirective(rest[1:])
		return width + 1 + size, ok
	case 's':
		return width + 1, endsWord(rest[1:])
	case 'c':
		return width + 1, true
	}
	number := strings.TrimPrefix(strings.TrimPrefix(rest, "l"), "l")
	return len(s) - len(number) + 1, number != "" && strings.IndexByte("iduxX", number[0]) >= 0
}

// pointerDirective is how long what follows a %p is.
func pointerDirective(s string) (size int, ok bool) {
	if endsWord(s) {
		return 0, true
	}
	switch s[0] {
	case 'k', 'u':
		return 2, strings.HasPrefix(s[1:], "s") && endsWord(s[2:])
	case 'K', 'x', 's', 'S', 'B':
		return 1, true
	case 'i', 'I':
		return 2, strings.HasPrefix(s[1:], "4") || strings.HasPrefix(s[1:], "6")
	}
	return 0, false
}

package report

import (
	"fmt"
	"strconv"
	"strings"
)

// barWidth is the length of a histogram's longest bar in characters.
const barWidth = 40

// appendHistogram appends a histogram of powers of two: slot n counts values
// from 2^n to 2^(n+1)-1, slot 0 also the value 0. Empty slots at both ends are
// left out.
func appendHistogram(dst []byte, slots []uint64) []byte {
	first, last, most := -1, -1, uint64(0)
	for i, n := range slots {
		if n == 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		last, most = i, max(most, n)
	}
	if first < 0 {
		return append(dst, "  no values\n"...)
	}
	var t table
	for i := first; i <= last; i++ {
		t.add(slotName(i), strconv.FormatUint(slots[i], 10), bar(slots[i], most))
	}
	return t.append(dst, "  ")
}

// slotName is the range of a slot: "[64, 128)".
func slotName(i int) string {
	if i == 0 {
		return "[0, 2)"
	}
	return fmt.Sprintf("[%s, %s)", power(i), power(i+1))
}

// power is 2^n in the usual short form.
func power(n int) string {
	units := []string{"", "K", "M", "G", "T", "P", "E"}
	if n/10 >= len(units) {
		return fmt.Sprintf("2^%d", n)
	}
	return strconv.Itoa(1<<(n%10)) + units[n/10]
}

// bar draws n as a part of most; a count that is not zero is seen.
func bar(n, most uint64) string {
	length := int(float64(n) / float64(most) * barWidth)
	if n > 0 {
		length = max(length, 1)
	}
	return "|" + strings.Repeat("@", length) + strings.Repeat(" ", barWidth-length) + "|"
}

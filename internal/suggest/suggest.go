// Package suggest ends a sentence about an unknown name with what was meant.
package suggest

import (
	"slices"
	"strings"
)

// few is how many names are still worth listing.
const few = 40

// Name gives "; did you mean X?" where one of the known names is near, else
// "; there is X, Y" where they are few.
func Name(name string, known []string) string {
	switch near := nearest(name, known); {
	case len(known) == 0:
		return "; there are none"
	case near != "":
		return "; did you mean " + near + "?"
	case len(known) > few:
		return ""
	}
	return "; there is " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// nearest is the known name that takes the fewest edits, and no more than a third of the
// name's length; "" if there is none. Known may be all symbols of a kernel.
func nearest(name string, known []string) (best string) {
	most := (len(name) + 2) / 3
	for _, k := range known {
		if len(k) > len(name)+most || len(k) < len(name)-most {
			continue
		}
		if n := edits(name, k); n < most || n == most && (best == "" || k < best) {
			best, most = k, n
		}
	}
	return best
}

// edits counts the insertions, deletions and replacements of bytes that make b
// of a; case does not count.
func edits(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

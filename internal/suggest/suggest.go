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
	if len(known) == 0 {
		return "; there are none"
	}
	known = slices.Sorted(slices.Values(known))
	nearest := slices.MinFunc(known, func(a, b string) int { return edits(name, a) - edits(name, b) })
	switch {
	case edits(name, nearest) <= (len(name)+2)/3:
		return "; did you mean " + nearest + "?"
	case len(known) > few:
		return ""
	}
	return "; there is " + strings.Join(known, ", ")
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

package program

import (
	"slices"
	"strings"
)

// suggest ends a sentence about an unknown name with the nearest of the known
// ones, or with all where they are few.
func suggest(name string, known []string) string {
	if len(known) == 0 {
		return "; there are none"
	}
	slices.Sort(known)
	nearest := slices.MinFunc(known, func(a, b string) int { return edits(name, a) - edits(name, b) })
	if edits(name, nearest) <= (len(name)+2)/3 {
		return "; did you mean " + nearest + "?"
	}
	const few = 12
	if len(known) > few {
		known = append(slices.Clone(known[:few]), "...")
	}
	return "; there is " + strings.Join(known, ", ")
}

// edits counts the insertions, deletions and replacements of bytes that make b
// of a.
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

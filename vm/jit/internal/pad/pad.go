// Package pad decides at random where a backend puts instructions that do nothing, so
// that nobody can tell where code of theirs comes to lie.
package pad

// Next gives how many there are between two instructions: 1 to 4, one time in eight.
// A state of 0 stays, and gives none.
func Next(state *uint64) int {
	if *state == 0 {
		return 0
	}
	*state ^= *state >> 12 // xorshift*
	*state ^= *state << 25
	*state ^= *state >> 27
	r := *state * 0x2545f4914f6cdd1d
	if r>>61 > 0 {
		return 0
	}
	return 1 + int(r>>59&3)
}

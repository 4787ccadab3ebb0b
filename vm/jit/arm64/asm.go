package arm64

import "errors"

// assembler collects machine code and the jumps in it.
type assembler struct {
	code   []form
	labels []int32 // by number: where they are in code; -1: not yet known
	jumps  []jump  // to labels that were not known yet
	reach  reach
}

// jump is one whose distance is yet to be filled in.
type jump struct{ at, label int32 }

// reach says how far ahead labels may lie for the short forms of jumps to be used.
// A function is made with [reachBit], and again with more if that was too little.
type reach uint8

const (
	reachBit  reach = iota // all are within the 32 KiB of tbz
	reachCond              // all are within the 1 MiB of b.cond and cbz
	reachFar               // some are not; within the 128 MiB of b
)

// errTooLong is where even the longest form of a jump does not reach.
var errTooLong = errors.New("the program takes more than 128 MiB of code, which is as far as jumps reach on arm64")

func (a *assembler) emit(f form) { a.code = append(a.code, f) }

// here is where the next instruction comes, in instructions.
func (a *assembler) here() int32 { return int32(len(a.code)) }

// label makes one.
func (a *assembler) label() int32 {
	a.labels = append(a.labels, -1)
	return int32(len(a.labels) - 1)
}

// bind puts a label here.
func (a *assembler) bind(label int32) { a.labels[label] = a.here() }

// jump emits a jump to a label. A conditional one that may not reach it is turned
// around, and jumps over an unconditional one.
func (a *assembler) jump(f form, label int32) {
	if !a.reaches(f, label) {
		a.emit(distance(opposite(f), 2))
		f = b
	}
	at := a.here()
	if to := a.labels[label]; to >= 0 {
		f = distance(f, to-at)
	} else {
		a.jumps = append(a.jumps, jump{at, label})
	}
	a.emit(f)
}

// reaches reports whether a jump from here reaches a label, or is to be tried.
func (a *assembler) reaches(f form, label int32) bool {
	if to := a.labels[label]; to >= 0 {
		return fits(f, to-a.here())
	}
	switch width(f) {
	case 14:
		return a.reach < reachCond
	case 19:
		return a.reach < reachFar
	}
	return true
}

// link fills in the jumps. It gives the reach that the code needs, and has done
// its work if that is the one it was made with.
func (a *assembler) link() (reach, error) {
	need := a.reach
	for _, j := range a.jumps {
		f, d := a.code[j.at], a.labels[j.label]-j.at
		if fits(f, d) {
			a.code[j.at] = distance(f, d)
			continue
		}
		switch width(f) {
		case 14:
			need = max(need, reachCond)
		case 19:
			need = reachFar
		default:
			return need, errTooLong
		}
	}
	a.jumps = a.jumps[:0]
	return need, nil
}

// width is how many bits a jump has for its distance.
func width(f form) int {
	switch {
	case f&0x7c000000 == b: // and bl
		return 26
	case f&0x7e000000 == tbz: // and tbnz
		return 14
	}
	return 19 // bcond, cbz, cbnz
}

// fits reports whether a jump can go over d instructions.
func fits(f form, d int32) bool {
	w := width(f)
	return -1<<(w-1) <= d && d < 1<<(w-1)
}

// distance fills in how many instructions a jump goes over.
func distance(f form, d int32) form {
	w := width(f)
	bits := form(d) & (1<<w - 1)
	if w < 26 {
		bits <<= 5
	}
	return f | bits
}

// opposite is the conditional jump that is taken where f is not.
func opposite(f form) form {
	if f>>24 == bcond>>24 {
		return f ^ 1
	}
	return f ^ 1<<24 // cbz and cbnz, tbz and tbnz
}

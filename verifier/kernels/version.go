package kernels

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Version is a version of Linux, "6.12". Versions compare with ==, < and >. The
// zero Version is none: what has it as its first version is in no Linux that the
// tables know.
type Version uint16

// V is the version major.minor.
func V(major, minor int) Version { return Version(major<<8 | minor) }

func (v Version) String() string {
	if v == 0 {
		return "none"
	}
	return fmt.Sprintf("%d.%d", v>>8, v&0xff)
}

// Needed says in words what a program needs that uses what came with v: "needs
// Linux 5.17".
func (v Version) Needed() string {
	if v == 0 {
		return "is in no Linux up to " + newest.String()
	}
	return "needs Linux " + v.String()
}

// ParseVersion reads "6.12", "v6.12", "6.12.107" or a release as uname gives it,
// "6.12.107-amd64": what follows the second number does not count.
func ParseVersion(s string) (Version, error) {
	major, rest, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	minor := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		minor = rest[:end]
	}
	x, errX := strconv.ParseUint(major, 10, 8)
	y, errY := strconv.ParseUint(minor, 10, 8)
	if !ok || cmp.Or(errX, errY) != nil || x == 0 {
		return 0, fmt.Errorf("read kernel version %q: want two numbers, as in 6.12", s)
	}
	return V(int(x), int(y)), nil
}

// profiles are the versions whose facts were held against a kernel or its
// source, oldest first.
var profiles = []Version{V(5, 4), V(5, 10), V(5, 15), V(6, 1), V(6, 6), V(6, 12), V(6, 18), V(7, 2)}

var (
	oldest = profiles[0]
	newest = profiles[len(profiles)-1]
)

// lastMinor is the last version of each series that is complete.
var lastMinor = map[Version]Version{5: 19, 6: 19}

// released reports whether there is a Linux v that the tables speak of.
func released(v Version) bool {
	last, ok := lastMinor[v>>8]
	return v >= oldest && v <= newest && (!ok || v&0xff <= last)
}

// nearest is the profile next to v.
func nearest(v Version) Version {
	distance := func(p Version) int { return max(int(p)-int(v), int(v)-int(p)) }
	return slices.MinFunc(profiles, func(a, b Version) int { return distance(a) - distance(b) })
}

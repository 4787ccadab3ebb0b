package progtype

import (
	"maps"
	"slices"
	"strings"
)

// names lists the types that are registered, for messages.
func names() string {
	var all []string
	for t := range maps.Values(types) {
		all = append(all, t[0].Name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

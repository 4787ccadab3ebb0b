package vmlinux

import (
	"fmt"
	"math"

	"github.com/cilium/ebpf/btf"
)

// modes are the machine modes that give an enum a size other than an int's.
var modes = map[uint32]string{1: "QI", 2: "HI", 8: "DI"}

// enum defines an enum, or declares one of which no more is known.
func (w *writer) enum(t *btf.Enum) {
	if len(t.Values) == 0 {
		fmt.Fprintf(w, "\n%s;\n", w.names.tagged(t))
		return
	}
	fmt.Fprintf(w, "\n%s {\n", w.names.tagged(t))
	for i, v := range t.Values {
		fmt.Fprintf(w, "\t%s = %s,\n", w.names.values[t][i], constant(v.Value, t.Signed))
	}
	w.WriteString("}")
	if mode := modes[t.Size]; mode != "" {
		fmt.Fprintf(w, " __attribute__((mode(%s)))", mode)
	}
	w.WriteString(";\n")
}

// constant is a number as C takes it: the most negative one has no literal.
func constant(value uint64, signed bool) string {
	switch n := int64(value); {
	case signed && n == math.MinInt64:
		return fmt.Sprintf("%dLL - 1", n+1)
	case signed && (n > math.MaxInt32 || n < math.MinInt32):
		return fmt.Sprintf("%dLL", n)
	case signed:
		return fmt.Sprint(n)
	case value > math.MaxUint32:
		return fmt.Sprintf("%dULL", value)
	}
	return fmt.Sprint(value)
}

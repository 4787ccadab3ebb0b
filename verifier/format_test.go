package verifier

import "testing"

func TestValidFormat(t *testing.T) {
	for _, c := range []struct {
		format string
		args   int
		valid  bool
	}{
		{"", 0, true},
		{"plain text\t\n", 0, true},
		{"100 %%", 0, true},
		{"%d %i %u %x %X", 5, true},
		{"%d", 0, false},
		{"%d", 2, true}, // arguments may be left
		{"%ld %lld %llx", 3, true},
		{"%l", 1, false},
		{"%", 1, false},
		{"%-8s|%05d|%+d|% d", 4, true},
		{"%s.", 1, true},
		{"%sa", 1, false},
		{"%c%c", 2, true},
		{"%p %px %pK %ps %pS %pB", 6, true},
		{"%pks %pus", 2, true},
		{"%pksx", 1, false},
		{"%pi4 %pI6", 2, true},
		{"%pi5", 1, false},
		{"%f", 1, false},
		{"bell \a", 0, false},
		{"caf\xc3\xa9 %d", 1, true},
	} {
		if got := validFormat(c.format, c.args); got != c.valid {
			t.Errorf("%q with %d arguments: valid is %v, not %v", c.format, c.args, got, c.valid)
		}
	}
}

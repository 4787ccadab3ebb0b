package suggest

import "testing"

func TestName(t *testing.T) {
	many := make([]string, few+1)
	for i := range many {
		many[i] = "name" + string(rune('A'+i%26)) + string(rune('0'+i/26))
	}
	for _, tt := range []struct {
		name  string
		known []string
		want  string
	}{
		{"blocked_prt", []string{"other", "blocked_port"}, "; did you mean blocked_port?"},
		{"PORT", []string{"port", "host"}, "; did you mean port?"},
		{"colour", []string{"zebra", "apple"}, "; there is apple, zebra"},
		{"colour", many, ""},
		{"x", nil, "; there are none"},
	} {
		if got := Name(tt.name, tt.known); got != tt.want {
			t.Errorf("%s among %d: %q, want %q", tt.name, len(tt.known), got, tt.want)
		}
	}
}

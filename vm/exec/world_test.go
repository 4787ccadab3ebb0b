package exec

import "testing"

func TestEffect(t *testing.T) {
	for want, e := range map[string]Effect{
		"send_signal(9, 1200)":      {What: "send_signal", Args: [4]uint64{9, 1200}},
		"set_retval(-1)":            {What: "set_retval", Args: [4]uint64{^uint64(0)}},
		"rc_repeat()":               {What: "rc_repeat"},
		`sysctl_set_new_value("1")`: {What: "sysctl_set_new_value", Text: "1"},
		"rc_keydown(0, 7)":          {What: "rc_keydown", Args: [4]uint64{0, 7}},
	} {
		if got := e.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

package report

import (
	"bytes"
	"testing"
)

func TestRunEffects(t *testing.T) {
	r := &Run{Program: "watch", Verdict: "continue", Repeat: 1, Wrote: "a line\n", Effects: []string{"send_signal(9, 1200)"}}
	for form, want := range map[Form]string{
		Text: "watch returned continue (0): 1 run, 0.0 ns a run\ndid send_signal(9, 1200)\nwrote:\na line\n",
		JSON: `{"type":"run","program":"watch","return":0,"verdict":"continue","repeat":1,"ns_per_run":0,"wrote":"a line\n","effects":["send_signal(9, 1200)"]}` + "\n",
	} {
		var b bytes.Buffer
		if err := NewWriter(&b, form).Run(r); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), want)
		}
	}
}

package report

import "fmt"

// Features are what a machine can do here, in sections.
type Features struct {
	Sections []FeatureSection
}

// FeatureSection is what belongs together.
type FeatureSection struct {
	Name     string
	Features []Feature
}

// Feature is something that a machine has, or why it does not.
type Feature struct {
	Name string
	Has  bool
	// Says what there is of it, or why there is none and what is done instead.
	Says string
}

// Features writes what a machine can do, a line for each feature.
func (w *Writer) Features(f *Features) error {
	if w.form == JSON {
		for _, s := range f.Sections {
			for _, one := range s.Features {
				if err := w.object(jsonFeature{"feature", s.Name, one.Name, one.Has, one.Says}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	w.buf = w.buf[:0]
	for i, s := range f.Sections {
		if i > 0 {
			w.buf = append(w.buf, '\n')
		}
		w.buf = fmt.Appendf(w.buf, "%s\n", s.Name)
		var t table
		for _, one := range s.Features {
			has := "yes"
			if !one.Has {
				has = "no"
			}
			t.add(one.Name, has, one.Says)
		}
		w.buf = t.append(w.buf, "  ")
	}
	return w.flush()
}

type jsonFeature struct {
	Type    string `json:"type"`
	Section string `json:"section"`
	Name    string `json:"name"`
	Has     bool   `json:"has"`
	Says    string `json:"says,omitempty"`
}

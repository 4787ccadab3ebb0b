package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGenerated(t *testing.T) {
	got, err := os.ReadFile("../../../docs/kernels.md")
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ = bytes.Cut(got, []byte(tested))
	if diff := cmp.Diff(string(document()), string(got)); diff != "" {
		t.Errorf("docs/kernels.md is out of date: run go generate in verifier/kernels (-want +got)\n%s", diff)
	}
}

package bench

import (
	"errors"
	"testing"
	"time"
)

// steady is a runner that takes a certain time for each run.
func steady(one time.Duration, ret uint32) Runner {
	return func(n uint32) (Result, error) {
		return Result{Ret: ret, Took: time.Duration(n) * one, Executed: 5}, nil
	}
}

func TestRace(t *testing.T) {
	var r Race
	var sizes []uint32
	moody := func(n uint32) (Result, error) { // disturbed in each second batch
		sizes = append(sizes, n)
		return Result{Took: time.Duration(n) * time.Duration(10+30*(len(sizes)%2))}, nil
	}
	quiet, loud := r.Add(steady(7, 0)), r.Add(moody)
	for range 3 {
		if err := r.Round(); err != nil {
			t.Fatal(err)
		}
	}
	if r.Best(quiet) != 7 || r.Best(loud) != 10 {
		t.Errorf("the best are %g and %g, not 7 and 10", r.Best(quiet), r.Best(loud))
	}
	if last := sizes[len(sizes)-1]; last < uint32(batchTime/40) || len(sizes) > 12 {
		t.Errorf("batches have %d runs", sizes)
	}
}

func TestRaceRepeat(t *testing.T) {
	r := Race{Repeat: 3}
	var sizes []uint32
	r.Add(func(n uint32) (Result, error) { sizes = append(sizes, n); return Result{Took: 1}, nil })
	if err := r.Round(); err != nil || len(sizes) != 1 || sizes[0] != 3 {
		t.Errorf("batches have %d runs: %v", sizes, err)
	}
	broken := errors.New("broken")
	r.Add(func(uint32) (Result, error) { return Result{}, broken })
	if err := r.Round(); !errors.Is(err, broken) {
		t.Errorf("a round with a runner that fails gives %v", err)
	}
}

func TestInTurn(t *testing.T) {
	r, err := InTurn([]Runner{steady(3, 1), steady(4, 2)})(10)
	if want := (Result{Ret: 2, Took: 70, Executed: 10}); r != want || err != nil {
		t.Errorf("gives %+v, %v, want %+v", r, err, want)
	}
}

func TestOnAll(t *testing.T) {
	took := make(chan time.Duration, 3)
	for _, one := range []time.Duration{5, 9, 2} {
		took <- one
	}
	r, err := OnAll(3, func(n uint32) (Result, error) { return steady(<-took, 7)(n) })(10)
	if r.Ret != 7 || r.Took != 90 || err != nil {
		t.Errorf("gives %+v, %v", r, err)
	}
	broken := errors.New("broken")
	if _, err := OnAll(2, func(uint32) (Result, error) { return Result{}, broken })(1); !errors.Is(err, broken) {
		t.Errorf("an error becomes %v", err)
	}
}

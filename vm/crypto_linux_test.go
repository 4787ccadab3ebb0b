package vm_test

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
)

// cryptoParams is a struct bpf_crypto_params.
type cryptoParams struct {
	Type     [14]byte
	Reserved [2]byte
	Algo     [128]byte
	Key      [256]byte
	KeyLen   uint32
	AuthSize uint32
}

// cryptoRunners are the programs that make and use ciphers, on every machine.
func cryptoRunners(t *testing.T) (create, crypt []runner) {
	t.Helper()
	testenv.KernelFrom(t, 6, 10, "there were no ciphers for programs")
	open := func() *ebpf.CollectionSpec {
		p, err := program.Open(filepath.Join("testdata", "kfunc", "crypto.bpf.o"))
		if err != nil {
			t.Fatal(err)
		}
		return p.Spec
	}
	kernel, err := ebpf.NewCollection(open())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kernel.Close)
	vars := func(name string) variable { return kernel.Variables[name] }
	create = append(create, runner{"kernel", kernel.Programs["create"].Run, vars})
	crypt = append(crypt, runner{"kernel", kernel.Programs["crypt"].Run, vars})
	for _, mode := range engine.Modes() {
		coll, err := vm.NewCollectionWithOptions(open(), vm.CollectionOptions{Programs: vm.ProgramOptions{Mode: mode}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(coll.Close)
		vars := func(name string) variable { return coll.Variables[name] }
		create = append(create, runner{mode.String(), coll.Programs["create"].Run, vars})
		crypt = append(crypt, runner{mode.String(), coll.Programs["crypt"].Run, vars})
	}
	return create, crypt
}

// TestCryptoKfuncs makes ciphers of right and wrong parameters, and encrypts and decrypts
// with them, as Linux does.
func TestCryptoKfuncs(t *testing.T) {
	create, crypt := cryptoRunners(t)
	rnd := rand.New(rand.NewPCG(7, 11))
	same := func(on []runner, in *kfuncInput, set map[string]any) {
		t.Helper()
		var want kfuncResult
		for i, r := range on {
			for name, v := range set {
				if err := r.vars(name).Set(v); err != nil {
					t.Fatal(err)
				}
			}
			got := r.do(t, in)
			if i == 0 {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%d, %+v: kernel - / %s +\n%s", in.In, set, r.name, diff)
			}
		}
	}
	one := func(of ...string) string { return of[rnd.IntN(len(of))] }
	for range 200 {
		var p cryptoParams
		copy(p.Type[:], one("skcipher", "skcipher", "skcipher", "skcipher", "aead", ""))
		copy(p.Algo[:], one("ecb(aes)", "ecb(aes)", "cbc(aes)", "cbc(aes)", "ctr(aes)", "aes", ""))
		p.KeyLen = []uint32{16, 16, 24, 32, 0, 15, 255, 256, 257}[rnd.IntN(9)]
		p.AuthSize = []uint32{0, 0, 0, 0, 16}[rnd.IntN(5)]
		p.Reserved[1] = []byte{0, 0, 0, 0, 1}[rnd.IntN(5)]
		for i := range p.Key {
			p.Key[i] = byte(rnd.Uint32())
		}
		size := []uint64{uint64(binary.Size(p)), uint64(binary.Size(p)), uint64(binary.Size(p)), 400}[rnd.IntN(4)]
		same(create, &kfuncInput{In: [8]uint64{size}}, map[string]any{"params": p})
		for range 10 {
			in := kfuncInput{Data: make([]byte, 64)}
			length := func() uint64 { return []uint64{16, 32, 48, 64, 0, 8, 17}[rnd.IntN(7)] }
			in.In = [8]uint64{length(), length(), []uint64{0, 16, 16, 17, 32}[rnd.IntN(5)], rnd.Uint64N(2)}
			var vector [32]byte
			for i := range in.Text[0] {
				in.Text[0][i] = byte(rnd.Uint32())
			}
			for i := range vector {
				vector[i] = byte(rnd.Uint32())
			}
			same(crypt, &in, map[string]any{"vector": vector})
		}
	}
}

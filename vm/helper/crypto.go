package helper

import (
	"crypto/aes"
	"crypto/cipher"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
)

// Programs encrypt with ciphers that are given all of their input at once, which in
// Linux are the block modes ECB and CBC. Of block ciphers there is AES.

// A struct bpf_crypto_ctx is the program's to hold and not to look into. Here it has
// the cipher's mode and key behind what the kernel's structure has.
const (
	cryptoMode   = 64 // a byte
	cryptoKeyLen = 65 // a byte
	cryptoKey    = 66
	maxAESKey    = 32
)

var cryptoLayout = object.Layout{Name: "struct bpf_crypto_ctx", Size: 104, ReadOnly: true}

// cipherModes are the algorithms by their numbers in a struct bpf_crypto_ctx, from 1.
var cipherModes = []string{"ecb(aes)", "cbc(aes)"}

const modeCBC = 2

// streamModes are algorithms that Linux has, and which cannot be given all input at once.
var streamModes = []string{"ctr(aes)", "xts(aes)", "cts(cbc(aes))"}

// Offsets in a struct bpf_crypto_params, and its size.
const (
	paramsType     = 0
	paramsReserved = 14
	paramsAlgo     = 16
	paramsKey      = 144
	paramsKeyLen   = 400
	paramsAuthSize = 404
	paramsSize     = 408
)

func init() {
	crypt := []Arg{ArgPtrToObject, ArgPtrToSlot, ArgPtrToSlot, ArgPtrToSlotOrNull}
	registerKfuncs("6.10", only([]ebpf.ProgramType{ebpf.Syscall},
		&Helper{Name: "bpf_crypto_ctx_create", Func: cryptoCreate, Flags: Acquire | RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToMemOrNull, ArgConstSizeOrZero, ArgPtrToInt}},
		&Helper{Name: "bpf_crypto_ctx_acquire", Func: acquireObject, Flags: Acquire | RetNull, Ret: RetPtrToObject, Args: []Arg{ArgPtrToObject}},
		&Helper{Name: "bpf_crypto_ctx_release", Func: dropObject, Flags: Release, Ret: RetVoid, Args: []Arg{ArgPtrToOwned}},
	)...)
	registerKfuncs("6.10", only([]ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP},
		&Helper{Name: "bpf_crypto_encrypt", Func: crypto(encrypt), Args: crypt},
		&Helper{Name: "bpf_crypto_decrypt", Func: crypto(decrypt), Args: crypt},
	)...)
}

// cryptoCreate makes a cipher of a struct bpf_crypto_params. The error goes where the
// third argument points.
func cryptoCreate(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	mode, key, err := cipherOf(view(r1, uint64(uint32(r2))))
	if err != 0 {
		*at[int32](r3) = int32(negative(err))
		return 0
	}
	ctx := object.New(&cryptoLayout)
	if ctx == 0 {
		*at[int32](r3) = int32(negative(errno.ENOMEM))
		return 0
	}
	b := view(uint64(ctx), uint64(cryptoLayout.Size))
	b[cryptoMode], b[cryptoKeyLen] = mode, byte(len(key))
	copy(b[cryptoKey:], key)
	*at[int32](r3) = 0
	return gives(s, ctx)
}

// cipherOf reads a struct bpf_crypto_params.
func cipherOf(params []byte) (mode byte, key []byte, err errno.Errno) {
	if len(params) != paramsSize || params[paramsReserved] != 0 || params[paramsReserved+1] != 0 {
		return 0, nil, errno.EINVAL
	}
	if string(cString(params[paramsType:paramsReserved])) != "skcipher" {
		return 0, nil, errno.ENOENT
	}
	name := string(cString(params[paramsAlgo:paramsKey]))
	at := slices.Index(cipherModes, name)
	switch {
	case at < 0 && !slices.Contains(streamModes, name), le.Uint32(params[paramsAuthSize:]) != 0:
		return 0, nil, errno.EOPNOTSUPP
	case at < 0:
		return 0, nil, errno.EINVAL
	}
	switch n := le.Uint32(params[paramsKeyLen:]); n {
	case 16, 24, maxAESKey:
		return byte(at + 1), params[paramsKey : paramsKey+n], 0
	}
	return 0, nil, errno.EINVAL
}

// crypto makes a function that writes to one dynptr what f makes of another, with an
// initialization vector in a third, which is left for the data that follows.
func crypto(f func(b cipher.Block, mode byte, to, iv []byte)) Func {
	return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
		ctx := view(r1, uint64(cryptoLayout.Size))
		mode := ctx[cryptoMode]
		from, to := dynptrAt(r2), dynptrAt(r3)
		var iv dynptr
		if r4 != 0 {
			iv = *dynptrAt(r4)
		}
		var want uint32
		if mode == modeCBC {
			want = aes.BlockSize
		}
		n := from.len()
		in, out, vector := from.slice(s, 0, n), to.writable(s, 0, to.len()), iv.writable(s, 0, want)
		if n == 0 || n > to.len() || in == 0 || out == 0 || iv.len() != want || want != 0 && vector == 0 {
			return result32(negative(errno.EINVAL))
		}
		block, err := aes.NewCipher(ctx[cryptoKey : cryptoKey+int(ctx[cryptoKeyLen])])
		if err != nil {
			return result32(negative(errno.EINVAL))
		}
		whole := uint64(n) &^ (aes.BlockSize - 1)
		if b := view(uint64(out), whole); whole > 0 {
			copy(b, view(uint64(in), whole))
			f(block, mode, b, view(uint64(vector), uint64(want)))
		}
		if whole < uint64(n) { // of which Linux knows only now
			return result32(negative(errno.EINVAL))
		}
		return 0
	}
}

func encrypt(block cipher.Block, mode byte, b, iv []byte) {
	if mode == modeCBC {
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(b, b)
		copy(iv, b[len(b)-len(iv):])
		return
	}
	for ; len(b) > 0; b = b[aes.BlockSize:] {
		block.Encrypt(b, b)
	}
}

func decrypt(block cipher.Block, mode byte, b, iv []byte) {
	if mode == modeCBC {
		next := slices.Clone(b[len(b)-len(iv):])
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(b, b)
		copy(iv, next)
		return
	}
	for ; len(b) > 0; b = b[aes.BlockSize:] {
		block.Decrypt(b, b)
	}
}

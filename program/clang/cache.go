package clang

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"time"

	"github.com/skep-ebpf/skep/internal/usercache"
)

// kept is an object in the cache, with the state of what it was made from.
type kept struct {
	Object *Object
	Sums   []string // of Object.Depends
}

// Cached is [Compile], or what that gave before for the same source, if neither
// the files that it was made from have changed since, nor the compilers.
func Cached(ctx context.Context, source string, o *Options) (*Object, error) {
	path, err := place(source, o)
	if err != nil {
		return nil, err
	}
	if object := lookup(path); object != nil {
		return object, nil
	}
	begin := time.Now()
	object, err := Compile(ctx, source, o)
	if err != nil {
		return nil, err
	}
	k := kept{Object: object}
	for _, file := range object.Depends {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		if info.ModTime().After(begin) {
			return object, nil // clang may have seen what was there before
		}
		sum, err := sumOf(file)
		if err != nil {
			return nil, err
		}
		k.Sums = append(k.Sums, sum)
	}
	data, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return object, usercache.Write(path, data)
}

// place is where the object of a source is kept: one for each way to compile it.
func place(source string, o *Options) (string, error) {
	args, err := o.args()
	if err != nil {
		return "", err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	key, err := json.Marshal([]any{dir, source, args, identity()})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(key)
	return usercache.Path("objects", hex.EncodeToString(sum[:16])+".json")
}

// lookup gives a kept object, or nil if there is none that still holds. One that
// cannot be read is made again.
func lookup(path string) *Object {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var k kept
	if json.Unmarshal(data, &k) != nil || k.Object == nil || len(k.Sums) != len(k.Object.Depends) {
		return nil
	}
	for i, file := range k.Object.Depends {
		if sum, err := sumOf(file); err != nil || sum != k.Sums[i] {
			return nil
		}
	}
	return k.Object
}

func sumOf(file string) (string, error) {
	data, err := os.ReadFile(file)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), err
}

CLANG      ?= clang
LLVM_STRIP ?= llvm-strip

# Line information names files relative to the root, and nothing else of the
# machine that builds gets into an object.
BPF_CFLAGS := -target bpfel -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-const-variable \
	-Wno-gnu -nostdinc -Iexamples/include -fdebug-compilation-dir=.

objects := $(patsubst %.bpf.c,%.bpf.o,$(wildcard examples/*/*.bpf.c))

examples/%.bpf.o: examples/%.bpf.c $(wildcard examples/include/*.h)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@
	$(LLVM_STRIP) --strip-debug $@

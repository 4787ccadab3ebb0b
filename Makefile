# Everything here needs Go and nothing else, except generate, which needs clang 18
# or newer, and race, which needs a C compiler.

GO ?= go

# make generate CLANG=clang-19 LLVM_STRIP=llvm-strip-19
export CLANG      ?= clang
export LLVM_STRIP ?= llvm-strip

# How long each fuzz target runs, and each benchmark.
FUZZTIME  ?= 60s
BENCHTIME ?= 1s

# How long all map types are hammered under the race detector.
HAMMERTIME ?= 60s

export CGO_ENABLED ?= 0

.PHONY: build install demo test deep vm vmtest arm64 race bench fuzz cross lint generate loaders

build:
	$(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/skep

install:
	$(GO) install -trimpath -ldflags '-s -w' ./cmd/skep

demo: build
	bin/skep run examples/firewall/firewall.bpf.o --pcap examples/firewall/traffic.pcap

test:
	$(GO) test ./...

# More random programs and sequences than one waits for. Linux is the oracle, so
# but for the runs that the verifier foresees, this does nothing where there is none.
deep:
	SKEP_RUNS=100000 $(GO) test ./verifier -run '^TestSound$$'
	$(GO) test ./vm/difftest -run '^TestEnginesAgree$$' -agree 100000 -timeout 30m
	$(GO) test ./vm/difftest -run '^TestRandomPrograms$$' -programs 20000
	$(GO) test ./vm/maps -run LikeTheKernel -sequences 2000
	$(GO) test ./hook/netdev -run LikeTheKernel -networks 20
	$(GO) test ./program/vmlinux -run '^TestKernels$$' -all -timeout 30m
	SKEP_EDGE=50000 $(GO) test ./verifier -run '^TestAgainstKernel$$' -timeout 30m
	SKEP_EDGE=20000 $(GO) test ./verifier -run '^TestStates$$' -timeout 30m

# The same comparisons in virtual machines with these kernels. VM says which, as
# arguments of go test; all packages that compare, if it is empty.
KERNELS ?= 5.10 6.1 6.12 7.2
VM      ?=

vm:
	GO=$(GO) KERNELS="$(KERNELS)" scripts/vm $(VM)

# The tests of attached programs in all of these, as a table in docs/kernels.md.
vmtest:
	GO=$(GO) KERNELS="$(KERNELS)" scripts/vm -table

# The JIT's tests for arm64, in an emulator. ARM64 has arguments of go test.
ARM64 ?=

arm64:
	GO=$(GO) scripts/arm64 $(ARM64)

# The race detector needs cgo, the project does not.
race:
	CGO_ENABLED=1 $(GO) test -race -short ./vm/...
	CGO_ENABLED=1 $(GO) test -race ./vm/maps -run '^TestHammer$$' -hammer $(HAMMERTIME)

# Tables of ratios: what is compared was measured in the same run.
bench:
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./... | $(GO) run ./internal/benchtable

fuzz:
	GO=$(GO) FUZZTIME=$(FUZZTIME) scripts/fuzz

# Builds for every system and processor that skep supports.
cross:
	CI=1 $(GO) test -run '^TestBuildsEverywhere$$' -v .

lint:
	GO=$(GO) scripts/lint

# The objects and captures of the examples are committed, so that nobody needs
# clang to begin. Line information names files relative to the root; nothing else
# of the machine that builds gets into an object.
BPF_CFLAGS := -target bpfel -mcpu=v3 -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-gnu -Wno-unused-const-variable \
	-Wno-unused-parameter -nostdinc -Iexamples/include -isystem program/clang/include -fdebug-compilation-dir=.

generate: $(patsubst %.bpf.c,%.bpf.o,$(wildcard examples/*/*.bpf.c vm/testdata/kfunc/*.bpf.c vm/attached/testdata/*.bpf.c internal/cli/testdata/kernel/*.bpf.c internal/bench/testdata/*.bpf.c kernel/testdata/*.bpf.c)) kernel/testdata/probed
	$(GO) run ./examples/internal/traffic
	$(GO) generate ./...

# The programs of light skeletons, which need bpftool.
loaders:
	cd vm/testdata/loader && $(GO) run generate.go $(abspath examples/protocount/protocount.bpf.o examples/firewall/firewall.bpf.o \
		examples/mistakes/stale_pointer.bpf.o vm/testdata/kfunc/types.bpf.o)

# These declare kernel functions, which needs clang 19.
vm/%.bpf.o: vm/%.bpf.c vm/testdata/kfunc/kfunc.h vm/attached/testdata/attached.h vm/attached/testdata/congestion.h
	$(CLANG) $(BPF_CFLAGS) -Wno-visibility -Wno-unused-function -Wno-uninitialized -c $< -o $@
	$(LLVM_STRIP) --strip-debug $@

%.bpf.o: %.bpf.c $(wildcard examples/include/*.h program/clang/include/bpf/*.h)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@
	$(LLVM_STRIP) --strip-debug $@

# A program for amd64 to attach to, which needs a C++ compiler.
kernel/testdata/probed: kernel/testdata/probed.cc
	$(CXX) -O1 -static -nostdlib -no-pie -fno-exceptions -fno-rtti -fno-stack-protector -fno-asynchronous-unwind-tables \
		-Wl,--build-id=none -Wl,-z,norelro -Wl,-z,noseparate-code -o $@ $<

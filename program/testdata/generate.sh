#!/bin/sh
# Builds the fixtures. Needs clang 18 or newer.
set -e
cd "$(dirname "$0")"
for source in *.c; do
	case $source in
	v4.c) cpu=v4 ;;
	*) cpu=v3 ;;
	esac
	"${CLANG:-clang}" -target bpfel -mcpu=$cpu -g -O2 -Wall -Wno-unused-variable -fdebug-compilation-dir=. \
		-c "$source" -o "${source%.c}.o"
	"${LLVM_STRIP:-llvm-strip}" -g "${source%.c}.o"
done

#!/bin/sh
# Runs the conformance suite on an engine built with the address and undefined-behaviour sanitizers, into build/sanitize.
# usage: ./sanitize.sh [arguments of `candle check cpu`]; PYTHON=... chooses the interpreter, which must have candle installed
set -e
cd "$(dirname "$0")"
python=${PYTHON:-python3}
into=build/sanitize
mkdir -p "$into"
cp -r candle_cpu "$into/"
rm -f "$into"/candle_cpu/_engine*
CANDLE_CPU_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g" \
    "$python" setup.py -q build_ext --build-lib "$into" --build-temp "$into/objects"
export LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
PYTHONPATH="$PWD/$into:$PYTHONPATH" "$python" -m candle.cli check cpu "$@"

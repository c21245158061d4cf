#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the kernels and one of their test programs for AArch64 and runs it under qemu-user.
#   run.sh SOURCE_DIR BUILD_DIR TEST        (TEST as test_kernels)
# Without cross compiler or emulator it says so and counts as skipped.
set -eu
source_dir=$1 build_dir=$2 test=$3
here=$source_dir/tests/unit/engine/arm64
compiler=${SLUICE_ARM64_CC:-aarch64-linux-gnu-gcc}
emulator=${SLUICE_ARM64_RUN:-qemu-aarch64 -L /usr/aarch64-linux-gnu}
for tool in "$compiler" "${emulator%% *}"; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "skipped: $tool is not installed"
        echo "0 passed, 0 failed, 1 skipped"
        exit 0
    fi
done
out=$build_dir/arm64-$test
mkdir -p "$out"
flags="-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wno-sign-conversion -fno-math-errno \
-fno-trapping-math -ffp-contract=off -I$here -I$source_dir/tests/support -I$source_dir/engine \
-I$source_dir/engine/include -I$source_dir/base/include"
objects=
compile() { # compile FILE [FLAG...]
    file=$1
    shift
    object=$out/$(basename "$file" .c).o
    "$compiler" $flags "$@" -c "$file" -o "$object"
    objects="$objects $object"
}
for name in attend codes gguf gguf_parse kernels_dispatch kernels_ref matmul quant_blocks thread_pool; do
    compile "$source_dir/engine/$name.c"
done
neon="-march=armv8.2-a+dotprod -ffp-contract=fast"
compile "$source_dir/engine/kernels_neon.c" $neon
compile "$source_dir/engine/kernels_neon_panel.c" $neon -fno-schedule-insns
compile "$source_dir/engine/kernels_neon_i8mm.c" $neon -march=armv8.2-a+dotprod+i8mm
for name in buf err clock log secret utf8; do
    compile "$source_dir/base/$name.c"
done
compile "$here/check_shim.c"
compile "$source_dir/tests/unit/engine/$test.c"
"$compiler" -static $objects -lm -lpthread -o "$out/$test"
exec $emulator "$out/$test"

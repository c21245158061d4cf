# SPDX-License-Identifier: Apache-2.0
# Files, formats, products. SIMD flags belong to the one file that needs them, so the binary starts
# on any CPU of its architecture; kernels_dispatch.c asks the CPU before it calls into such a file.
# Those files are left out of link-time optimisation, which would mix their flags with the rest.
set(ENGINE_WEIGHTS_SOURCES
  attend.c codes.c gguf.c gguf_parse.c kernels_dispatch.c kernels_ref.c matmul.c quant_blocks.c
  quantize.c quantize_blocks.c quantize_mix.c thread_pool.c)

# -ffp-contract=fast: a * b + c of vector types is one instruction. -O3 outside of debug builds:
# these loops are what it is for.
set(simd_options -ffp-contract=fast -fno-lto $<$<CONFIG:Release>:-O3>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  list(APPEND ENGINE_WEIGHTS_SOURCES kernels_avx2.c kernels_avx2_packed.c kernels_avx2_panel.c
    kernels_avxvnni_packed.c kernels_avxvnni_panel.c kernels_avx512.c kernels_avx512_packed.c
    kernels_avx512_panel.c kernels_avx512bf16.c)
  set_source_files_properties(kernels_avx2.c kernels_avx2_packed.c kernels_avx2_panel.c PROPERTIES
    COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;${simd_options}")
  set_source_files_properties(kernels_avxvnni_packed.c kernels_avxvnni_panel.c PROPERTIES
    COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-mavxvnni;${simd_options}")
  set(avx512_options -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c
    -mprefer-vector-width=512 ${simd_options})
  set_source_files_properties(kernels_avx512.c kernels_avx512_packed.c kernels_avx512_panel.c
    PROPERTIES COMPILE_OPTIONS "${avx512_options}")
  set_source_files_properties(kernels_avx512bf16.c PROPERTIES
    COMPILE_OPTIONS "${avx512_options};-mavx512bf16")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(APPEND ENGINE_WEIGHTS_SOURCES kernels_neon.c kernels_neon_i8mm.c kernels_neon_panel.c)
  set(neon_options -march=armv8.2-a+dotprod ${simd_options})
  set_source_files_properties(kernels_neon.c PROPERTIES COMPILE_OPTIONS "${neon_options}")
  set_source_files_properties(kernels_neon_i8mm.c PROPERTIES
    COMPILE_OPTIONS "${neon_options};-march=armv8.2-a+dotprod+i8mm")
  set_source_files_properties(kernels_neon_panel.c PROPERTIES
    COMPILE_OPTIONS "${neon_options};$<$<C_COMPILER_ID:GNU>:-fno-schedule-insns>")
endif()

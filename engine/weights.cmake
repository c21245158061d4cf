# SPDX-License-Identifier: Apache-2.0
# Files, formats, products. SIMD flags belong to the one file that needs them, so the binary starts
# on any CPU of its architecture; kernels_dispatch.c asks the CPU before it calls into such a file.
# Those files are left out of link-time optimisation, which would mix their flags with the rest.
set(ENGINE_WEIGHTS_SOURCES
  attend.c codes.c gguf.c kernels_dispatch.c kernels_ref.c matmul.c quant_blocks.c thread_pool.c)

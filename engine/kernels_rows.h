/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of kernels of AVX2 and NEON, made of generic functions that both have under one name:
 * float_rows, plain_rows and super_rows (inlined: unpacking and counts are constants), and the
 * vector_ functions of kernels_vector.h and kernels_attend.h.
 */
#ifndef SLUICE_ENGINE_KERNELS_ROWS_H
#define SLUICE_ENGINE_KERNELS_ROWS_H

#include "kernels_matmul.h"

/* A function of one type: the generic one with its constants, once for each count of tokens. */
#define ROWS(name, generic, unpack, constant, last)                                                \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows,                      \
                     const struct sl_activations *x, uint32_t first, uint32_t tokens, float *y,    \
                     size_t y_stride)                                                              \
    {                                                                                              \
        if (tokens == 1)                                                                           \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 1, y, y_stride);   \
        else if (tokens == 2)                                                                      \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 2, y, y_stride);   \
        else if (tokens == 3)                                                                      \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 3, y, y_stride);   \
        else                                                                                       \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 4, y, y_stride);   \
    }

#define ROWS_QUANTIZED                                                                             \
    ROWS(rows_q4_0, plain_rows, plain_q4_0, sizeof(struct sl_block_q4_0), false)                   \
    ROWS(rows_q4_1, plain_rows, plain_q4_1, sizeof(struct sl_block_q4_1), true)                    \
    ROWS(rows_q5_0, plain_rows, plain_q5_0, sizeof(struct sl_block_q5_0), false)                   \
    ROWS(rows_q5_1, plain_rows, plain_q5_1, sizeof(struct sl_block_q5_1), true)                    \
    ROWS(rows_q8_0, plain_rows, plain_q8_0, sizeof(struct sl_block_q8_0), false)                   \
    ROWS(rows_iq4_nl, plain_rows, plain_iq4_nl, sizeof(struct sl_block_iq4_nl), false)             \
    ROWS(rows_q2_k, super_rows, super_q2_k, sizeof(struct sl_block_q2_k), true)                    \
    ROWS(rows_q3_k, super_rows, super_q3_k, sizeof(struct sl_block_q3_k), false)                   \
    ROWS(rows_q4_k, super_rows, super_q4_k, sizeof(struct sl_block_q4_k), true)                    \
    ROWS(rows_q5_k, super_rows, super_q5_k, sizeof(struct sl_block_q5_k), true)                    \
    ROWS(rows_q6_k, super_rows, super_q6_k, sizeof(struct sl_block_q6_k), false)                   \
    ROWS(rows_iq4_xs, super_rows, super_iq4_xs, sizeof(struct sl_block_iq4_xs), false)

#define VECTOR_KERNELS(its_name, its_matmul)                                                       \
    {                                                                                              \
        .name = its_name, VECTOR_ROW_KERNELS, .rope = sl_ref_rope, .attend = vector_attend,        \
        .matmul = its_matmul,                                                                      \
    }

#endif

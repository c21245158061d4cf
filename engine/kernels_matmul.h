/* SPDX-License-Identifier: Apache-2.0
 *
 * What matmul.c asks of a CPU's kernels, and the forms that activations take to meet them.
 * Private to matmul.c and kernels_*.c.
 *
 * Two ways through a matrix:
 *  - `rows`: some rows, as stored, times up to SL_TOKEN_TILE tokens. Weights are read once from
 *    memory and expanded in registers: generation, where memory bandwidth is the limit.
 *  - `panel`: SL_PANEL_ROWS rows are expanded once into worker scratch, interleaved so that one
 *    register holds the same columns of all of them, and multiplied with every token of a batch:
 *    prefill, where arithmetic is the limit. A CPU without a panel form uses `rows` for batches.
 *
 * And one form of weights that is not the file's: `packing` has them in panels of SL_PANEL_ROWS rows,
 * interleaved but not expanded, so as many bytes as in the file. Made once, at load (sl_matrix_pack).
 * Up to `packed_tokens_max` tokens meet them as they lie: one stream through memory, and no sums
 * across lanes. More tokens meet them as a panel, which is cheap to make from there.
 */
#ifndef SLUICE_ENGINE_KERNELS_MATMUL_H
#define SLUICE_ENGINE_KERNELS_MATMUL_H

#include "kernels.h"

#define SL_TOKEN_TILE 4   /* tokens that `rows` handles at once: accumulators fit 16 registers */
#define SL_PANEL_ROWS SL_PACK_ROWS /* two 512-bit registers of floats */
#define SL_PANEL_TILE_TOKENS 6 /* that meet a panel together; see kernels_avx512_panel.c */
#define SL_SUB_BLOCK 16   /* the finest run of weights with a scale of its own (Q2_K, Q3_K, Q6_K) */

/* x (tokens, cols) as kernels want it. For quantized weights: x[i] = d[i / 32] * q[i]. */
struct sl_activations {
    uint32_t cols;
    uint32_t tokens;
    const float *x;    /* (token, col), x_stride floats apart: for F32, F16, BF16 weights */
    size_t x_stride;
    int8_t *q;         /* (token, col), q_stride bytes apart, zero from cols to q_stride */
    size_t q_stride;   /* multiple of 64 */
    float *d;          /* (token, block of 32), d_stride floats apart, zero past the last block */
    size_t d_stride;   /* multiple of 16 */
    float *sums;       /* (token, run of 16): d * sum of q; 2 * d_stride floats apart */
    int32_t *offsets;  /* (token, run of 16): -128 * sum of q, as wide as sums: what weights stored
                        * with 128 added contribute too much */
    bool by_runs;      /* some weights have a scale for each run of 16 */
    uint8_t *tiles;    /* (tile of SL_PANEL_TILE_TOKENS), tile_bytes apart: as the panels want it */
    size_t tile_bytes;
};

/* y[t * y_stride + r] = row r of `weights` . token first_token + t, for r < rows, t < tokens <=
 * SL_TOKEN_TILE. */
typedef void sl_rows_fn(const uint8_t *weights, size_t row_bytes, uint32_t rows,
                        const struct sl_activations *x, uint32_t first_token, uint32_t tokens,
                        float *y, size_t y_stride);

/* Expands up to SL_PANEL_ROWS rows (missing ones become zero) of `cols` into `panel`. */
typedef void sl_panel_pack_fn(const uint8_t *weights, size_t row_bytes, uint32_t rows,
                              uint32_t cols, void *panel);
/* All tokens times the panel; writes the first `rows` of each token. */
typedef void sl_panel_multiply_fn(const void *panel, uint32_t rows, const struct sl_activations *x,
                                  float *y, size_t y_stride);

struct sl_panel {
    sl_panel_pack_fn *pack;         /* NULL: this type has no panel form here */
    sl_panel_multiply_fn *multiply;
};

/* A type's form for this CPU. All panels of a matrix have the same size; the rows that the last
 * one lacks weigh zero. */
struct sl_packing {
    size_t (*bytes)(uint32_t cols); /* of a panel; a multiple of SL_SCRATCH_ALIGN */
    /* Up to SL_PANEL_ROWS rows as stored become `packed`. */
    void (*pack)(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                 uint8_t *packed);
    /* The panel that sl_panel.pack would have made of the same rows. */
    void (*expand)(const uint8_t *packed, uint32_t cols, void *panel);
    /* One row of a panel as floats. */
    void (*row)(const uint8_t *packed, uint32_t row, uint32_t cols, float *out);
    /* As sl_panel.multiply, without a panel: better up to packed_tokens_max. */
    void (*multiply)(const uint8_t *packed, uint32_t rows, const struct sl_activations *x,
                     float *y, size_t y_stride);
};

struct sl_matmul_kernels {
    /* Fills row `token` of q, d, sums and offsets from x. */
    void (*quantize)(struct sl_activations *activations, uint32_t token);
    sl_rows_fn *rows[SL_TYPE_COUNT];
    const struct sl_panel *panels; /* (SL_TYPE_COUNT), NULL: no panel forms here */
    uint32_t panel_tokens_min;     /* from how many tokens on a panel pays */
    uint32_t float_panel_tokens_min; /* likewise for float weights; 0: as for the others */
    /* (SL_TYPE_COUNT), NULL: none here; bytes NULL: this type stays as stored. Every type of it has
     * a panel form as well. */
    const struct sl_packing *packings;
    uint32_t packed_tokens_max; /* of rearranged weights that meet them as they lie */
    /* Fills tile `idx` from its quantized tokens; needed before panels of quantized weights. */
    void (*fill_tile)(struct sl_activations *activations, uint32_t idx);
};

/* Bytes of the largest panel form: floats. The int8 form with a scale and a minimum per run of 16
 * takes 1.5 bytes a weight. */
static inline size_t sl_panel_bytes_max(uint32_t cols)
{
    return ((size_t)cols + 63) / 64 * 64 * SL_PANEL_ROWS * sizeof(float) + 4096;
}

/* Bytes of a tile of activations: codes, and seven numbers for each block of 32 (scale, and sum and
 * offset of the block and of its two runs). */
static inline size_t sl_tile_bytes(uint32_t cols)
{
    const size_t blocks = ((size_t)cols + SL_BLOCK - 1) / SL_BLOCK;
    return (blocks * SL_PANEL_TILE_TOKENS * (SL_BLOCK + 7 * sizeof(float)) + 63) / 64 * 64;
}

/* The field `rows` of a table whose functions are called rows_TYPE. */
#define ROWS_TABLE                                                                                 \
    {                                                                                              \
        [SL_TYPE_F32] = rows_f32, [SL_TYPE_F16] = rows_f16, [SL_TYPE_BF16] = rows_bf16,            \
        [SL_TYPE_Q4_0] = rows_q4_0, [SL_TYPE_Q4_1] = rows_q4_1, [SL_TYPE_Q5_0] = rows_q5_0,        \
        [SL_TYPE_Q5_1] = rows_q5_1, [SL_TYPE_Q8_0] = rows_q8_0, [SL_TYPE_Q2_K] = rows_q2_k,        \
        [SL_TYPE_Q3_K] = rows_q3_k, [SL_TYPE_Q4_K] = rows_q4_k, [SL_TYPE_Q5_K] = rows_q5_k,        \
        [SL_TYPE_Q6_K] = rows_q6_k, [SL_TYPE_IQ4_NL] = rows_iq4_nl,                                \
        [SL_TYPE_IQ4_XS] = rows_iq4_xs,                                                            \
    }

/* ---- the plain form of quantized weights ---- */

/* 256 weights (or fewer, for plain blocks) as w = scale[i / 16] * code[i] + min[i / 16]. */
struct sl_codes {
    int8_t code[SL_SUPER_BLOCK];
    float scale[SL_SUPER_BLOCK / SL_SUB_BLOCK];
    float min[SL_SUPER_BLOCK / SL_SUB_BLOCK];
};

/* Unpacks one block of a quantized type: the reference for every other unpacking. */
typedef void sl_codes_fn(const void *block, struct sl_codes *out);
extern sl_codes_fn *const sl_codes_unpack[SL_TYPE_COUNT];

/* Portable pieces that the tables of several CPUs share. */
float sl_ref_quantize_block(const float *x, int8_t *q);
void sl_ref_quantize(struct sl_activations *activations, uint32_t token);
void sl_ref_rope(float *x, uint32_t heads, uint32_t head_dim, uint32_t rot_dims,
                 const float *cos_sin, enum sl_rope_style style);
void sl_ref_attend(const struct sl_attend *attend);

extern const struct sl_kernels sl_kernels_ref;
#if defined(__x86_64__)
extern const struct sl_kernels sl_kernels_avx2;
extern const struct sl_kernels sl_kernels_avxvnni;
extern const struct sl_kernels sl_kernels_avx512;
extern const struct sl_kernels sl_kernels_avx512bf16;
#elif defined(__aarch64__)
extern const struct sl_kernels sl_kernels_neon;
extern const struct sl_kernels sl_kernels_i8mm;
#endif

#endif

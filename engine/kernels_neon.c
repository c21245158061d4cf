/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for AArch64 with the dot product extension (Armv8.2: Cortex-A55 and A76 on, Raspberry
 * Pi 5, Apple, Graviton). sdot adds four products of signed bytes to each word, so codes are signed
 * here and need no correction.
 *
 * One row at a time for up to four tokens, as on AVX2; batches go through the same code. Types that
 * the default models do not use (Q2_K, Q3_K, IQ4_XS) are unpacked by the portable code and
 * multiplied here.
 *
 * Threads: pure functions.
 */
#include <arm_neon.h>

#define VF_LANES 4
#define VF_QUERY_TILE 2
#include "kernels_attend.h"

static inline vf vf_load_f16(const sl_f16 *x)
{
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

static inline void vf_store_f16(sl_f16 *out, vf x)
{
    vst1_u16(out, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x)));
}

static inline float vf_sum(vf x)
{
    return vaddvq_f32((float32x4_t)x);
}

static inline float vf_largest(vf x)
{
    return vmaxvq_f32((float32x4_t)x);
}

/* ---- plain blocks ---- */

struct plain {
    int8x16_t low, high; /* 32 signed codes */
    float d, m;
};

typedef struct plain plain_fn(const void *block);

INLINE float widen(sl_f16 half)
{
    float16x4_t value = vreinterpret_f16_u16(vdup_n_u16(half));
    return vgetq_lane_f32(vcvt_f32_f16(value), 0);
}

INLINE int8x16_t low_nibbles(uint8x16_t bytes)
{
    return vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
}

INLINE int8x16_t high_nibbles(uint8x16_t bytes)
{
    return vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
}

/* Bits 0 to 15 of two bytes as 16 in each of sixteen bytes. */
INLINE int8x16_t fifth_bits(const uint8_t *two)
{
    static const uint8_t bit_of[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bytes = vcombine_u8(vdup_n_u8(two[0]), vdup_n_u8(two[1]));
    const uint8x16_t is_set = vtstq_u8(bytes, vld1q_u8(bit_of));
    return vreinterpretq_s8_u8(vandq_u8(is_set, vdupq_n_u8(16)));
}

INLINE struct plain plain_q4_0(const void *data)
{
    const struct sl_block_q4_0 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    const int8x16_t eight = vdupq_n_s8(8);
    return (struct plain){vsubq_s8(low_nibbles(bytes), eight),
                          vsubq_s8(high_nibbles(bytes), eight), widen(block->d), 0};
}

INLINE struct plain plain_q4_1(const void *data)
{
    const struct sl_block_q4_1 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    return (struct plain){low_nibbles(bytes), high_nibbles(bytes), widen(block->d),
                          widen(block->m)};
}

INLINE struct plain plain_q5_0(const void *data)
{
    const struct sl_block_q5_0 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    const int8x16_t sixteen = vdupq_n_s8(16);
    return (struct plain){
        vsubq_s8(vorrq_s8(low_nibbles(bytes), fifth_bits(block->high)), sixteen),
        vsubq_s8(vorrq_s8(high_nibbles(bytes), fifth_bits(block->high + 2)), sixteen),
        widen(block->d), 0};
}

INLINE struct plain plain_q5_1(const void *data)
{
    const struct sl_block_q5_1 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    return (struct plain){vorrq_s8(low_nibbles(bytes), fifth_bits(block->high)),
                          vorrq_s8(high_nibbles(bytes), fifth_bits(block->high + 2)),
                          widen(block->d), widen(block->m)};
}

INLINE struct plain plain_q8_0(const void *data)
{
    const struct sl_block_q8_0 *block = data;
    return (struct plain){vld1q_s8(block->q), vld1q_s8(block->q + 16), widen(block->d), 0};
}

INLINE struct plain plain_iq4_nl(const void *data)
{
    const struct sl_block_iq4_nl *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    const int8x16_t values = vld1q_s8(sl_iq4_values);
    return (struct plain){vqtbl1q_s8(values, vreinterpretq_u8_s8(low_nibbles(bytes))),
                          vqtbl1q_s8(values, vreinterpretq_u8_s8(high_nibbles(bytes))),
                          widen(block->d), 0};
}

/* `tokens` is a constant after inlining. */
INLINE void plain_rows(plain_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    const int8_t *q = x->q + first_token * x->q_stride;
    const float *d = x->d + first_token * x->d_stride;
    const float *sums = x->sums + first_token * 2 * x->d_stride;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        float32x4_t acc[SL_TOKEN_TILE];
        float mins[SL_TOKEN_TILE] = {0};
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = vdupq_n_f32(0);
        for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
            const struct plain w = unpack(weights + block * block_bytes);
            for (uint32_t t = 0; t < tokens; t++) {
                const int8_t *codes = q + t * x->q_stride + block * SL_BLOCK;
                const int32x4_t low = vdotq_s32(vdupq_n_s32(0), w.low, vld1q_s8(codes));
                const int32x4_t sum = vdotq_s32(low, w.high, vld1q_s8(codes + 16));
                acc[t] = vfmaq_n_f32(acc[t], vcvtq_f32_s32(sum),
                                     w.d * d[t * x->d_stride + block]);
                if (has_min) {
                    const float *run = sums + t * 2 * x->d_stride + 2 * block;
                    mins[t] += w.m * (run[0] + run[1]);
                }
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vaddvq_f32(acc[t]) + mins[t];
    }
}

/* ---- super-blocks ---- */

INLINE void k_scales(const uint8_t *packed, float d, float dmin, struct sl_codes *out)
{
    uint8_t scales[8], mins[8];
    sl_k_scales_unpack(packed, scales, mins);
    for (size_t i = 0; i < 16; i++) {
        out->scale[i] = d * (float)scales[i / 2];
        out->min[i] = -dmin * (float)mins[i / 2];
    }
}

static void super_q4_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q4_k *block = data;
    for (size_t i = 0; i < 8; i++) { /* 16 bytes: 16 weights of two sub-blocks */
        const uint8x16_t bytes = vld1q_u8(block->q + 16 * i);
        int8_t *code = out->code + i / 2 * 64 + i % 2 * 16;
        vst1q_s8(code, low_nibbles(bytes));
        vst1q_s8(code + 32, high_nibbles(bytes));
    }
    k_scales(block->scales, widen(block->d), widen(block->dmin), out);
}

/* Bit `idx` of each byte, as 16. */
INLINE int8x16_t bit_as_16(uint8x16_t bytes, int idx)
{
    const uint8x16_t bit = vshlq_u8(bytes, vdupq_n_s8((int8_t)(4 - idx)));
    return vreinterpretq_s8_u8(vandq_u8(bit, vdupq_n_u8(16)));
}

static void super_q5_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q5_k *block = data;
    for (size_t i = 0; i < 8; i++) {
        const uint8x16_t bytes = vld1q_u8(block->q + 16 * i);
        const uint8x16_t high = vld1q_u8(block->high + i % 2 * 16);
        int8_t *code = out->code + i / 2 * 64 + i % 2 * 16;
        const int sub = (int)(i / 2 * 2);
        vst1q_s8(code, vorrq_s8(low_nibbles(bytes), bit_as_16(high, sub)));
        vst1q_s8(code + 32, vorrq_s8(high_nibbles(bytes), bit_as_16(high, sub + 1)));
    }
    k_scales(block->scales, widen(block->d), widen(block->dmin), out);
}

/* Bits 2 * idx and 2 * idx + 1 of each byte, as 16 and 32. */
INLINE int8x16_t two_bits_as_16(uint8x16_t bytes, int idx)
{
    const uint8x16_t bits = vshlq_u8(bytes, vdupq_n_s8((int8_t)(4 - 2 * idx)));
    return vreinterpretq_s8_u8(vandq_u8(bits, vdupq_n_u8(0x30)));
}

static void super_q6_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q6_k *block = data;
    const int8x16_t offset = vdupq_n_s8(32);
    const float d = widen(block->d);
    for (size_t half = 0; half < 2; half++)
        for (size_t i = 0; i < 4; i++) { /* 16 of the 64 bytes of low nibbles */
            const uint8x16_t low = vld1q_u8(block->low + 64 * half + 16 * i);
            const uint8x16_t high = vld1q_u8(block->high + 32 * half + i % 2 * 16);
            int8_t *code = out->code + 128 * half + 16 * i;
            const int8x16_t first =
                vorrq_s8(low_nibbles(low), two_bits_as_16(high, (int)(i / 2)));
            const int8x16_t second =
                vorrq_s8(high_nibbles(low), two_bits_as_16(high, (int)(i / 2) + 2));
            vst1q_s8(code, vsubq_s8(first, offset));
            vst1q_s8(code + 64, vsubq_s8(second, offset));
        }
    for (size_t i = 0; i < 16; i++) {
        out->scale[i] = d * (float)block->scales[i];
        out->min[i] = 0;
    }
}

static void super_q2_k(const void *data, struct sl_codes *out)
{
    sl_codes_unpack[SL_TYPE_Q2_K](data, out);
}

static void super_q3_k(const void *data, struct sl_codes *out)
{
    sl_codes_unpack[SL_TYPE_Q3_K](data, out);
}

static void super_iq4_xs(const void *data, struct sl_codes *out)
{
    sl_codes_unpack[SL_TYPE_IQ4_XS](data, out);
}

typedef void super_fn(const void *block, struct sl_codes *out);

/* One super-block times one token. */
INLINE float32x4_t super_step(const struct sl_codes *w, bool has_min, const int8_t *q,
                              const float *d, const float *sums, float32x4_t acc)
{
    for (size_t run = 0; run < 16; run++) {
        const int32x4_t sum = vdotq_s32(vdupq_n_s32(0), vld1q_s8(w->code + 16 * run),
                                        vld1q_s8(q + 16 * run));
        acc = vfmaq_n_f32(acc, vcvtq_f32_s32(sum), w->scale[run] * d[run / 2]);
    }
    for (size_t i = 0; i < 16 && has_min; i += 4)
        acc = vfmaq_f32(acc, vld1q_f32(w->min + i), vld1q_f32(sums + i));
    return acc;
}

INLINE void super_rows(super_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        float32x4_t acc[SL_TOKEN_TILE];
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = vdupq_n_f32(0);
        for (size_t block = 0; block < x->cols / SL_SUPER_BLOCK; block++) {
            struct sl_codes w;
            unpack(weights + block * block_bytes, &w);
            for (uint32_t t = 0; t < tokens; t++) {
                const size_t token = first_token + t;
                acc[t] = super_step(&w, has_min,
                                    x->q + token * x->q_stride + block * SL_SUPER_BLOCK,
                                    x->d + token * x->d_stride + block * 8,
                                    x->sums + token * 2 * x->d_stride + block * 16, acc[t]);
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vaddvq_f32(acc[t]);
    }
}

/* ---- float weights ---- */

INLINE float32x4_t load_f32(const void *row, size_t i)
{
    return vld1q_f32((const float *)row + i);
}

INLINE float32x4_t load_f16(const void *row, size_t i)
{
    return (float32x4_t)vf_load_f16((const sl_f16 *)row + i);
}

INLINE float32x4_t load_bf16(const void *row, size_t i)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16((const sl_bf16 *)row + i), 16));
}

INLINE float one_f32(const void *row, size_t i)
{
    return ((const float *)row)[i];
}

INLINE float one_f16(const void *row, size_t i)
{
    return sl_f16_to_f32(((const sl_f16 *)row)[i]);
}

INLINE float one_bf16(const void *row, size_t i)
{
    return sl_bf16_to_f32(((const sl_bf16 *)row)[i]);
}

INLINE void float_rows(float32x4_t (*load)(const void *, size_t), size_t unused,
                       float (*one)(const void *, size_t), const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    const float *values = x->x + first_token * x->x_stride;
    const size_t whole = x->cols / 8 * 8;
    (void)unused;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        float32x4_t acc[2][SL_TOKEN_TILE];
        float rest[SL_TOKEN_TILE] = {0};
        for (uint32_t t = 0; t < tokens; t++)
            acc[0][t] = acc[1][t] = vdupq_n_f32(0);
        for (size_t i = 0; i < whole; i += 8)
            for (size_t half = 0; half < 2; half++) {
                const float32x4_t w = load(weights, i + 4 * half);
                for (uint32_t t = 0; t < tokens; t++)
                    acc[half][t] = vfmaq_f32(acc[half][t], w,
                                             vld1q_f32(values + t * x->x_stride + i + 4 * half));
            }
        for (size_t i = whole; i < x->cols; i++)
            for (uint32_t t = 0; t < tokens; t++)
                rest[t] += one(weights, i) * values[t * x->x_stride + i];
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vaddvq_f32(vaddq_f32(acc[0][t], acc[1][t])) + rest[t];
    }
}

/* ---- the table ---- */

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

ROWS(rows_f32, float_rows, load_f32, 0, one_f32)
ROWS(rows_f16, float_rows, load_f16, 0, one_f16)
ROWS(rows_bf16, float_rows, load_bf16, 0, one_bf16)
ROWS(rows_q4_0, plain_rows, plain_q4_0, sizeof(struct sl_block_q4_0), false)
ROWS(rows_q4_1, plain_rows, plain_q4_1, sizeof(struct sl_block_q4_1), true)
ROWS(rows_q5_0, plain_rows, plain_q5_0, sizeof(struct sl_block_q5_0), false)
ROWS(rows_q5_1, plain_rows, plain_q5_1, sizeof(struct sl_block_q5_1), true)
ROWS(rows_q8_0, plain_rows, plain_q8_0, sizeof(struct sl_block_q8_0), false)
ROWS(rows_iq4_nl, plain_rows, plain_iq4_nl, sizeof(struct sl_block_iq4_nl), false)
ROWS(rows_q2_k, super_rows, super_q2_k, sizeof(struct sl_block_q2_k), true)
ROWS(rows_q3_k, super_rows, super_q3_k, sizeof(struct sl_block_q3_k), false)
ROWS(rows_q4_k, super_rows, super_q4_k, sizeof(struct sl_block_q4_k), true)
ROWS(rows_q5_k, super_rows, super_q5_k, sizeof(struct sl_block_q5_k), true)
ROWS(rows_q6_k, super_rows, super_q6_k, sizeof(struct sl_block_q6_k), false)
ROWS(rows_iq4_xs, super_rows, super_iq4_xs, sizeof(struct sl_block_iq4_xs), false)

static const struct sl_matmul_kernels matmul = {
    .quantize = vector_quantize,
    .rows = {
        [SL_TYPE_F32] = rows_f32,       [SL_TYPE_F16] = rows_f16,
        [SL_TYPE_BF16] = rows_bf16,     [SL_TYPE_Q4_0] = rows_q4_0,
        [SL_TYPE_Q4_1] = rows_q4_1,     [SL_TYPE_Q5_0] = rows_q5_0,
        [SL_TYPE_Q5_1] = rows_q5_1,     [SL_TYPE_Q8_0] = rows_q8_0,
        [SL_TYPE_Q2_K] = rows_q2_k,     [SL_TYPE_Q3_K] = rows_q3_k,
        [SL_TYPE_Q4_K] = rows_q4_k,     [SL_TYPE_Q5_K] = rows_q5_k,
        [SL_TYPE_Q6_K] = rows_q6_k,     [SL_TYPE_IQ4_NL] = rows_iq4_nl,
        [SL_TYPE_IQ4_XS] = rows_iq4_xs,
    },
};

const struct sl_kernels sl_kernels_neon = {
    .name = "neon",
    .dot = vector_dot,
    .add = vector_add,
    .mul = vector_mul,
    .scale = vector_scale,
    .rms_norm = vector_rms_norm,
    .layer_norm = vector_layer_norm,
    .silu_mul = vector_silu_mul,
    .gelu_mul = vector_gelu_mul,
    .softcap = vector_softcap,
    .softmax = vector_softmax,
    .softmax_moments = vector_softmax_moments,
    .rope = sl_ref_rope,
    .f32_to_f16 = vector_f32_to_f16,
    .f16_to_f32 = vector_f16_to_f32,
    .f32_to_q8_0 = vector_f32_to_q8_0,
    .attend = vector_attend,
    .matmul = &matmul,
};

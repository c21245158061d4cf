/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for AVX2, FMA and F16C: any x86-64 since 2013. The widest multiplication of bytes there,
 * vpmaddubsw, takes unsigned by signed and adds pairs in 16 bits: it gets |w| and x with w's sign,
 * so that a pair is at most 2 * 128 * 127 and cannot saturate.
 *
 * One row at a time; the row's codes are expanded once for up to four tokens. Batches go through
 * the same code, four tokens a pass.
 *
 * Threads: pure functions.
 */
#include <immintrin.h>

#define VF_LANES 8
#define VF_QUERY_TILE 2
#include "kernels_attend.h"

static inline vf vf_load_f16(const sl_f16 *x)
{
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
}

static inline void vf_store_f16(sl_f16 *out, vf x)
{
    _mm_storeu_si128((__m128i *)out, _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
}

static inline float vf_sum(vf x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128((__m256)x),
                                   _mm256_extractf128_ps((__m256)x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float vf_largest(vf x)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128((__m256)x),
                                   _mm256_extractf128_ps((__m256)x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

INLINE float widen(sl_f16 half)
{
    return _cvtsh_ss(half);
}

/* ---- codes of a block ---- */

/* Nibbles of 16 bytes as 32 codes, low nibbles first. */
INLINE __m256i nibbles(const uint8_t *q)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)q);
    const __m256i both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* Bit i of `high` as 16 in byte i. */
INLINE __m256i fifth_bits(const uint8_t *high)
{
    uint32_t bits;
    memcpy(&bits, high, sizeof bits);
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                              0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), spread);
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    return _mm256_and_si256(is_set, _mm256_set1_epi8(16));
}

INLINE __m256i iq4_codes(__m256i codes)
{
    const __m128i values = _mm_loadu_si128((const __m128i *)sl_iq4_values);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes);
}

/* One plain block: 32 signed codes, scale and minimum. */
struct plain {
    __m256i codes;
    float d, m;
};

typedef struct plain plain_fn(const void *block);

INLINE struct plain plain_q4_0(const void *data)
{
    const struct sl_block_q4_0 *block = data;
    return (struct plain){_mm256_sub_epi8(nibbles(block->q), _mm256_set1_epi8(8)),
                          widen(block->d), 0};
}

INLINE struct plain plain_q4_1(const void *data)
{
    const struct sl_block_q4_1 *block = data;
    return (struct plain){nibbles(block->q), widen(block->d), widen(block->m)};
}

INLINE struct plain plain_q5_0(const void *data)
{
    const struct sl_block_q5_0 *block = data;
    const __m256i codes = _mm256_or_si256(nibbles(block->q), fifth_bits(block->high));
    return (struct plain){_mm256_sub_epi8(codes, _mm256_set1_epi8(16)), widen(block->d), 0};
}

INLINE struct plain plain_q5_1(const void *data)
{
    const struct sl_block_q5_1 *block = data;
    return (struct plain){_mm256_or_si256(nibbles(block->q), fifth_bits(block->high)),
                          widen(block->d), widen(block->m)};
}

INLINE struct plain plain_q8_0(const void *data)
{
    const struct sl_block_q8_0 *block = data;
    return (struct plain){_mm256_loadu_si256((const __m256i *)block->q), widen(block->d), 0};
}

INLINE struct plain plain_iq4_nl(const void *data)
{
    const struct sl_block_iq4_nl *block = data;
    return (struct plain){iq4_codes(nibbles(block->q)), widen(block->d), 0};
}

/* ---- products of blocks ---- */

/* Sums of four neighbouring products, each pair of bytes weighted by `scales` (16 words). */
INLINE __m256i multiply(__m256i codes, __m256i x, __m256i scales)
{
    const __m256i pairs =
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
    return _mm256_madd_epi16(pairs, scales);
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
        __m256 acc[SL_TOKEN_TILE];
        float mins[SL_TOKEN_TILE] = {0};
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = _mm256_setzero_ps();
        for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
            const struct plain w = unpack(weights + block * block_bytes);
            for (uint32_t t = 0; t < tokens; t++) {
                const __m256i codes =
                    _mm256_loadu_si256((const __m256i *)(q + t * x->q_stride + block * SL_BLOCK));
                const __m256i sum = multiply(w.codes, codes, _mm256_set1_epi16(1));
                const float scale = w.d * d[t * x->d_stride + block];
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale), acc[t]);
                if (has_min) {
                    const float *run = sums + t * 2 * x->d_stride + 2 * block;
                    mins[t] += w.m * (run[0] + run[1]);
                }
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vf_sum((vf)acc[t]) + mins[t];
    }
}

/* A super-block: 8 x 32 signed codes, their integer scales (a word for each pair of weights), the
 * float scale of all, and the sixteen minimums. */
struct super {
    __m256i codes[8];
    __m256i scales[8];
    float d;
    __m256 mins[2];
};

typedef void super_fn(const void *block, struct super *out);

INLINE void super_rows(super_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        __m256 acc[SL_TOKEN_TILE];
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = _mm256_setzero_ps();
        for (size_t block = 0; block < x->cols / SL_SUPER_BLOCK; block++) {
            struct super w;
            unpack(weights + block * block_bytes, &w);
            for (uint32_t t = 0; t < tokens; t++) {
                const size_t token = first_token + t;
                const int8_t *q = x->q + token * x->q_stride + block * SL_SUPER_BLOCK;
                const float *d = x->d + token * x->d_stride + block * 8;
                const float *sums = x->sums + token * 2 * x->d_stride + block * 16;
                for (int i = 0; i < 8; i++) {
                    const __m256i codes = _mm256_loadu_si256((const __m256i *)(q + 32 * i));
                    const __m256i sum = multiply(w.codes[i], codes, w.scales[i]);
                    acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(w.d * d[i]),
                                             acc[t]);
                }
                for (int i = 0; i < 2 && has_min; i++)
                    acc[t] = _mm256_fmadd_ps(w.mins[i], _mm256_loadu_ps(sums + 8 * i), acc[t]);
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vf_sum((vf)acc[t]);
    }
}

/* ---- super-blocks ---- */

/* Scales of 16 runs (signed bytes) as eight registers of words, a run's on its eight pairs. */
INLINE void run_scales(__m128i scales, __m256i out[8])
{
    const __m256i words = _mm256_cvtepi8_epi16(scales);
    const __m256i low = _mm256_permute2x128_si256(words, words, 0x00);
    const __m256i high = _mm256_permute2x128_si256(words, words, 0x11);
    for (int i = 0; i < 8; i++) {
        const int pair = 2 * (i % 4); /* word of the first run, as byte index / 2 */
        const __m256i which = _mm256_set_m128i(
            _mm_set1_epi16((short)((2 * (pair + 1) + 1) << 8 | 2 * (pair + 1))),
            _mm_set1_epi16((short)((2 * pair + 1) << 8 | 2 * pair)));
        out[i] = _mm256_shuffle_epi8(i < 4 ? low : high, which);
    }
}

INLINE void sub_block_scales(const uint8_t scales[8], __m256i out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = _mm256_set1_epi16(scales[i]);
}

/* Minimums of 16 runs, times `factor`. */
INLINE void run_mins(__m128i mins, float factor, __m256 out[2])
{
    const __m256 scale = _mm256_set1_ps(factor);
    out[0] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(mins)), scale);
    out[1] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(mins, 8))),
                           scale);
}

/* Two bits a code, `i` of eight registers. */
INLINE __m256i crumbs(const uint8_t *q, int i)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(q + i / 4 * 32));
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 2 * (i % 4)), _mm256_set1_epi8(3));
}

/* Bit i of each byte of `high`, in place `to`. */
INLINE __m256i high_bit(__m256i high, int i, int to)
{
    const __m256i bit = _mm256_and_si256(_mm256_srli_epi16(high, i), _mm256_set1_epi8(1));
    return _mm256_slli_epi16(bit, to);
}

INLINE void super_q2_k(const void *data, struct super *out)
{
    const struct sl_block_q2_k *block = data;
    const __m128i packed = _mm_loadu_si128((const __m128i *)block->scales);
    const __m128i low = _mm_set1_epi8(15);
    for (int i = 0; i < 8; i++)
        out->codes[i] = crumbs(block->q, i);
    run_scales(_mm_and_si128(packed, low), out->scales);
    run_mins(_mm_and_si128(_mm_srli_epi16(packed, 4), low), -widen(block->dmin), out->mins);
    out->d = widen(block->d);
}

INLINE void super_q3_k(const void *data, struct super *out)
{
    const struct sl_block_q3_k *block = data;
    const __m256i high = _mm256_loadu_si256((const __m256i *)block->high);
    uint8_t scales[16];
    for (int i = 0; i < 8; i++)
        out->codes[i] = _mm256_sub_epi8(
            _mm256_or_si256(crumbs(block->q, i), high_bit(high, i, 2)), _mm256_set1_epi8(4));
    sl_q3_k_scales_unpack(block->scales, scales);
    run_scales(_mm_sub_epi8(_mm_loadu_si128((const __m128i *)scales), _mm_set1_epi8(32)),
               out->scales);
    out->d = widen(block->d);
}

INLINE __m256i k_nibbles(const uint8_t *q, int i)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(q + i / 2 * 32));
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4 * (i % 2)), _mm256_set1_epi8(15));
}

INLINE void k_scales(const uint8_t *packed, float dmin, struct super *out)
{
    uint8_t scales[8], mins[8];
    sl_k_scales_unpack(packed, scales, mins);
    sub_block_scales(scales, out->scales);
    const __m128i eight = _mm_loadl_epi64((const __m128i *)mins);
    run_mins(_mm_unpacklo_epi8(eight, eight), -dmin, out->mins);
}

INLINE void super_q4_k(const void *data, struct super *out)
{
    const struct sl_block_q4_k *block = data;
    for (int i = 0; i < 8; i++)
        out->codes[i] = k_nibbles(block->q, i);
    k_scales(block->scales, widen(block->dmin), out);
    out->d = widen(block->d);
}

INLINE void super_q5_k(const void *data, struct super *out)
{
    const struct sl_block_q5_k *block = data;
    const __m256i high = _mm256_loadu_si256((const __m256i *)block->high);
    for (int i = 0; i < 8; i++)
        out->codes[i] = _mm256_or_si256(k_nibbles(block->q, i), high_bit(high, i, 4));
    k_scales(block->scales, widen(block->dmin), out);
    out->d = widen(block->d);
}

INLINE void super_q6_k(const void *data, struct super *out)
{
    const struct sl_block_q6_k *block = data;
    for (int i = 0; i < 8; i++) {
        const uint8_t *low = block->low + i / 4 * 64 + i % 2 * 32;
        const __m256i nibble = _mm256_and_si256(
            _mm256_srli_epi16(_mm256_loadu_si256((const __m256i *)low), 4 * (i / 2 % 2)),
            _mm256_set1_epi8(15));
        const __m256i top = _mm256_slli_epi16(crumbs(block->high, i), 4);
        out->codes[i] = _mm256_sub_epi8(_mm256_or_si256(nibble, top), _mm256_set1_epi8(32));
    }
    run_scales(_mm_loadu_si128((const __m128i *)block->scales), out->scales);
    out->d = widen(block->d);
}

INLINE void super_iq4_xs(const void *data, struct super *out)
{
    const struct sl_block_iq4_xs *block = data;
    for (int i = 0; i < 8; i++) {
        out->codes[i] = iq4_codes(nibbles(block->q + 16 * i));
        out->scales[i] =
            _mm256_set1_epi16((short)((int)sl_iq4_xs_scale(block, (uint32_t)i) - 32));
    }
    out->d = widen(block->d);
}

/* ---- float weights ---- */

INLINE vf load_f32(const void *row, size_t i)
{
    return vf_load((const float *)row + i);
}

INLINE vf load_f16(const void *row, size_t i)
{
    return vf_load_f16((const sl_f16 *)row + i);
}

INLINE vf load_bf16(const void *row, size_t i)
{
    const __m128i halves = _mm_loadu_si128((const __m128i *)((const sl_bf16 *)row + i));
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

INLINE void float_rows(vf (*load)(const void *, size_t), sl_dequantize_fn *tail, size_t width,
                       const uint8_t *weights, size_t row_bytes, uint32_t rows,
                       const struct sl_activations *x, uint32_t first_token, uint32_t tokens,
                       float *y, size_t y_stride)
{
    const float *values = x->x + first_token * x->x_stride;
    const size_t whole = x->cols / VF_LANES * VF_LANES, left = x->cols - whole;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        vf acc[2][SL_TOKEN_TILE];
        for (uint32_t t = 0; t < tokens; t++)
            acc[0][t] = acc[1][t] = vf_set(0);
        size_t i = 0;
        for (; i + 2 * VF_LANES <= whole; i += 2 * VF_LANES)
            for (size_t half = 0; half < 2; half++) {
                const vf w = load(weights, i + half * VF_LANES);
                for (uint32_t t = 0; t < tokens; t++)
                    acc[half][t] += w * vf_load(values + t * x->x_stride + i + half * VF_LANES);
            }
        if (i < whole) {
            const vf w = load(weights, i);
            for (uint32_t t = 0; t < tokens; t++)
                acc[0][t] += w * vf_load(values + t * x->x_stride + i);
        }
        if (left != 0) {
            float rest[VF_LANES] = {0};
            tail(weights + whole * width, rest, left);
            for (uint32_t t = 0; t < tokens; t++)
                acc[1][t] += vf_load(rest) *
                             vf_load_some(values + t * x->x_stride + whole, left, 0);
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vf_sum((acc[0][t] + acc[1][t]));
    }
}

static void tail_f32(const void *row, float *out, size_t n)
{
    memcpy(out, row, n * sizeof *out);
}

static void tail_f16(const void *row, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sl_f16_to_f32(((const sl_f16 *)row)[i]);
}

static void tail_bf16(const void *row, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sl_bf16_to_f32(((const sl_bf16 *)row)[i]);
}

/* ---- the table ---- */

/* A function of one type: the generic one with its constants, once for each count of tokens. */
#define ROWS(name, generic, unpack, constant, last)                                                \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows,                      \
                     const struct sl_activations *x, uint32_t first, uint32_t tokens, float *y,    \
                     size_t y_stride)                                                              \
    {                                                                                              \
        switch (tokens) {                                                                          \
        case 1:                                                                                    \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 1, y, y_stride);   \
            break;                                                                                 \
        case 2:                                                                                    \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 2, y, y_stride);   \
            break;                                                                                 \
        case 3:                                                                                    \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 3, y, y_stride);   \
            break;                                                                                 \
        default:                                                                                   \
            generic(unpack, constant, last, weights, row_bytes, rows, x, first, 4, y, y_stride);   \
            break;                                                                                 \
        }                                                                                          \
    }

ROWS(rows_f32, float_rows, load_f32, tail_f32, sizeof(float))
ROWS(rows_f16, float_rows, load_f16, tail_f16, sizeof(sl_f16))
ROWS(rows_bf16, float_rows, load_bf16, tail_bf16, sizeof(sl_bf16))
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

const struct sl_kernels sl_kernels_avx2 = {
    .name = "avx2",
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

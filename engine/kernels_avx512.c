/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for AVX-512 with VNNI: Cascade Lake, Zen 4 and later. Rows of weights as stored, for
 * generation with types that are not rearranged at load (kernels_avx512_packed.c); batches are in
 * kernels_avx512_panel.c.
 *
 * Generation is bound by memory, so what counts is that weights arrive as fast as they can: one row
 * after the other, in the order of the file. Four rows side by side shared the loads of
 * activations and were twice as fast from the cache, but the CPU's prefetcher lost the thread of
 * four interleaved streams: 15 GB/s from memory where one stream reaches 30 (Zen 5). Two sums a
 * token hide the latency of additions instead. Codes are unsigned with a constant offset:
 *     sum (code - offset) x = sum code x - offset sum x,
 * where the second sum starts the accumulator for plain blocks, and for super-blocks joins the
 * minimums: both are scale times a known sum of activations.
 *
 * Threads: pure functions.
 */
#include "kernels_avx512.h"

#define VF_LANES 16
#define VF_EXP
#define VF_QUANTIZE
#define VF_TRANSPOSE
#define VF_REDUCE
#define VF_QUERY_TILE 8
#define VF_DIM_VECTORS 2
#include "kernels_attend.h"

#define SUMS 2 /* independent sums a token */

static inline vf vf_load_f16(const sl_f16 *x)
{
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
}

static inline void vf_store_f16(sl_f16 *out, vf x)
{
    _mm256_storeu_si256((__m256i *)out, _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
}

static inline float vf_sum(vf x)
{
    return _mm512_reduce_add_ps((__m512)x);
}

static inline float vf_largest(vf x)
{
    return _mm512_reduce_max_ps((__m512)x);
}

static inline void vf_sum_each(const vf x[VF_QUERY_TILE], float out[VF_QUERY_TILE])
{
    for (int i = 0; i < VF_QUERY_TILE; i += 4)
        _mm_storeu_ps(out + i, quarters_sum(fold_four((const __m512 *)x + i)));
}

static inline void vf_largest_each(const vf x[VF_QUERY_TILE], float out[VF_QUERY_TILE])
{
    for (int i = 0; i < VF_QUERY_TILE; i += 4)
        _mm_storeu_ps(out + i, largest_of_four((const __m512 *)x + i));
}

static inline vf vf_sums(const vf x[VF_LANES])
{
    const __m512 *v = (const __m512 *)x;
    const __m512 a = fold_four(v), b = fold_four(v + 4), c = fold_four(v + 8), d = fold_four(v + 12);
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88),
                                    _mm512_shuffle_f32x4(a, b, 0xdd));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x88),
                                    _mm512_shuffle_f32x4(c, d, 0xdd));
    return (vf)_mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88),
                             _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

static inline void vf_transpose(vf rows[VF_LANES])
{
    __m512i r[16];
    for (int i = 0; i < 16; i++)
        r[i] = (__m512i)rows[i];
    transpose(r);
    for (int i = 0; i < 16; i++)
        rows[i] = (vf)r[i];
}

/* As the portable one; vscalefps multiplies by 2^n for any n, so results that are subnormal, zero
 * or infinite need no cases. The operand order of the bounds lets NaN through. */
static inline vf vf_exp(vf value)
{
    const __m512 x = _mm512_min_ps(_mm512_set1_ps(100.0f),
                                   _mm512_max_ps(_mm512_set1_ps(-110.0f), (__m512)value));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r =
        _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f),
                        _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x));
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return (vf)_mm512_scalef_ps(p, n);
}

/* ---- rotary embedding ---- */

/* Sixteen neighbours, eight pairs: (a, b) becomes (a cos - b sin, b cos + a sin). */
INLINE512 void rope_pairs(float *x, const float *cos_sin)
{
    const __m512 value = _mm512_loadu_ps(x), angles = _mm512_loadu_ps(cos_sin);
    const __m512 swapped = _mm512_permute_ps(value, 0xb1);
    _mm512_storeu_ps(x, _mm512_fmaddsub_ps(value, _mm512_moveldup_ps(angles),
                                           _mm512_mul_ps(swapped, _mm512_movehdup_ps(angles))));
}

/* Sixteen of one half with sixteen of the other. */
INLINE512 void rope_halves(float *x, float *y, const float *cos_sin)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512 low = _mm512_loadu_ps(cos_sin), high = _mm512_loadu_ps(cos_sin + 16);
    const __m512 cosines = _mm512_permutex2var_ps(low, even, high);
    const __m512 sines = _mm512_permutex2var_ps(low, odd, high);
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(y);
    _mm512_storeu_ps(x, _mm512_fmsub_ps(a, cosines, _mm512_mul_ps(b, sines)));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(b, cosines, _mm512_mul_ps(a, sines)));
}

static void rope(float *x, uint32_t heads, uint32_t head_dim, uint32_t rot_dims,
                 const float *cos_sin, enum sl_rope_style style)
{
    if (rot_dims % 32 != 0) {
        sl_ref_rope(x, heads, head_dim, rot_dims, cos_sin, style);
        return;
    }
    for (uint32_t head = 0; head < heads; head++, x += head_dim)
        if (style == SL_ROPE_PAIRS)
            for (uint32_t i = 0; i < rot_dims; i += 16)
                rope_pairs(x + i, cos_sin + i);
        else
            for (uint32_t i = 0; i < rot_dims / 2; i += 16)
                rope_halves(x + i, x + rot_dims / 2 + i, cos_sin + 2 * i);
}

/* ---- activations ---- */

INLINE512 void store_codes_of(const float *x, __m512 scale, int8_t *q)
{
    for (int i = 0; i < SL_BLOCK; i += 16)
        _mm_storeu_si128((__m128i *)(q + i),
                         _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(
                             _mm512_mul_ps(_mm512_loadu_ps(x + i), scale))));
}

/* One block: codes to q, its scale returned. As quantize_block of the reference, bit for bit. */
INLINE512 float quantize_block(const float *x, int8_t *q)
{
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    const __m512 largest = _mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b));
    const __mmask16 bad = _mm512_cmp_ps_mask(_mm512_add_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)),
                                             _mm512_set1_ps(3.4028234e38f), _CMP_NLE_UQ);
    const float d = _mm512_reduce_max_ps(largest) / 127.0f;
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    if (bad != 0 || !(inverse <= 3.4028234e38f))
        return sl_ref_quantize_block(x, q); /* infinite, NaN, subnormal or enormous: rare */
    store_codes_of(x, _mm512_set1_ps(inverse), q);
    return d;
}

/* Four blocks side by side, as four times quantize_block: the latency of the largest lane and of two
 * divisions is paid once. */
INLINE512 void quantize_four(const float *x, int8_t *q, float *d)
{
    __m512 largest[4];
    __mmask16 bad = 0;
    for (int i = 0; i < 4; i++) {
        const __m512 a = _mm512_abs_ps(_mm512_loadu_ps(x + i * SL_BLOCK));
        const __m512 b = _mm512_abs_ps(_mm512_loadu_ps(x + i * SL_BLOCK + 16));
        largest[i] = _mm512_max_ps(a, b);
        bad |= _mm512_cmp_ps_mask(_mm512_add_ps(a, b), _mm512_set1_ps(3.4028234e38f), _CMP_NLE_UQ);
    }
    const __m128 scales = _mm_div_ps(largest_of_four(largest), _mm_set1_ps(127.0f));
    const __mmask8 used = _mm_cmp_ps_mask(scales, _mm_setzero_ps(), _CMP_GT_OQ);
    const __m128 inverses = _mm_maskz_div_ps(used, _mm_set1_ps(1.0f), scales);
    const __mmask8 huge = _mm_cmp_ps_mask(inverses, _mm_set1_ps(3.4028234e38f), _CMP_NLE_UQ);
    if (bad != 0 || huge != 0) {
        for (int i = 0; i < 4; i++)
            d[i] = quantize_block(x + i * SL_BLOCK, q + i * SL_BLOCK);
        return;
    }
    _mm_storeu_ps(d, scales);
    for (int i = 0; i < 4; i++)
        store_codes_of(x + i * SL_BLOCK,
                       _mm512_permutexvar_ps(_mm512_set1_epi32(i), _mm512_castps128_ps512(inverses)),
                       q + i * SL_BLOCK);
}

static void quantize(struct sl_activations *activations, uint32_t token)
{
    const float *x = activations->x + token * activations->x_stride;
    int8_t *q = activations->q + token * activations->q_stride;
    float *d = activations->d + token * activations->d_stride;
    float *sums = activations->sums + token * 2 * activations->d_stride;
    int32_t *offsets = activations->offsets + token * 2 * activations->d_stride;
    const size_t blocks = activations->cols / SL_BLOCK;
    const __m512i each_fourth = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    size_t block = 0;
    for (; block + 4 <= blocks; block += 4)
        quantize_four(x + block * SL_BLOCK, q + block * SL_BLOCK, d + block);
    for (; block < blocks; block++)
        d[block] = quantize_block(x + block * SL_BLOCK, q + block * SL_BLOCK);
    memset(q + blocks * SL_BLOCK, 0, activations->q_stride - blocks * SL_BLOCK);
    memset(d + blocks, 0, (activations->d_stride - blocks) * sizeof *d);
    /* Sums of runs of 16, four at a time. */
    for (size_t run = 0; run < 2 * activations->d_stride; run += 4) {
        __m128i total = _mm_setzero_si128();
        if (run < 2 * blocks) {
            const __m512i codes = _mm512_loadu_si512(q + run * SL_SUB_BLOCK);
            __m512i sum =
                _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), codes);
            sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_CDAB));
            sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_BADC));
            total = _mm512_castsi512_si128(_mm512_permutexvar_epi32(each_fourth, sum));
        }
        const __m128 scales = _mm_setr_ps(d[run / 2], d[run / 2], d[run / 2 + 1], d[run / 2 + 1]);
        _mm_storeu_ps(sums + run, _mm_mul_ps(_mm_cvtepi32_ps(total), scales));
        _mm_storeu_si128((__m128i *)(offsets + run),
                         _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(total, 7)));
    }
}

/* ---- plain blocks ---- */

/* The halves at two addresses, widened, on the lanes of their blocks. */
INLINE512 __m512 two_halves(const uint8_t *block, size_t apart, bool has_second)
{
    uint16_t first, second = 0;
    memcpy(&first, block, sizeof first);
    if (has_second)
        memcpy(&second, block + apart, sizeof second);
    const __m256i both = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_set1_epi16((short)first)), _mm_set1_epi16((short)second), 1);
    return _mm512_cvtph_ps(both);
}

/* One pair of blocks of a row times `tokens` tokens. All of unpack, block_bytes, offset, has_min,
 * tokens and has_second are constants after inlining. */
INLINE512 void plain_step(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                          const uint8_t *row, const struct sl_activations *x, size_t first_token,
                          int tokens, size_t block, bool has_second, __m512 acc[SL_TOKEN_TILE])
{
    const uint8_t *data = row + block * block_bytes;
    const __m512i w = unpack(data, has_second);
    const __m512 scale = two_halves(data, block_bytes, has_second);
    const __m512 min = has_min ? two_halves(data + 2, block_bytes, has_second) : scale;
    for (int t = 0; t < tokens; t++) {
        const size_t token = first_token + (size_t)t;
        const float *d = x->d + token * x->d_stride + block;
        const __m512i codes = _mm512_loadu_si512(x->q + token * x->q_stride + block * SL_BLOCK);
        const __m512 both =
            _mm512_insertf32x8(_mm512_set1_ps(d[0]), _mm256_set1_ps(d[1]), 1);
        __m512i sum = _mm512_setzero_si512();
        if (offset != 0)
            sum = _mm512_sub_epi32(sum, _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(offset), codes));
        sum = _mm512_dpbusd_epi32(sum, w, codes);
        acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, both), acc[t]);
        if (has_min) { /* on one lane of each block */
            const float *sums = x->sums + token * 2 * x->d_stride + 2 * block;
            const __m512 lanes = _mm512_insertf32x8(_mm512_set1_ps(sums[0] + sums[1]),
                                                    _mm256_set1_ps(sums[2] + sums[3]), 1);
            acc[t] = _mm512_fmadd_ps(min, _mm512_maskz_mov_ps(0x0101, lanes), acc[t]);
        }
    }
}

INLINE512 void plain_row(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                         const uint8_t *row, const struct sl_activations *x, size_t first_token,
                         int tokens, float *y, size_t y_stride)
{
    __m512 acc[SUMS][SL_TOKEN_TILE];
    const size_t blocks = x->cols / SL_BLOCK;
    size_t block = 0;
    for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm512_setzero_ps();
    for (; block + 2 * SUMS <= blocks; block += 2 * SUMS)
        for (int i = 0; i < SUMS; i++)
            plain_step(unpack, block_bytes, offset, has_min, row, x, first_token, tokens,
                       block + 2 * (size_t)i, true, acc[i]);
    if (block + 2 <= blocks) {
        plain_step(unpack, block_bytes, offset, has_min, row, x, first_token, tokens, block, true,
                   acc[0]);
        block += 2;
    }
    if (block < blocks)
        plain_step(unpack, block_bytes, offset, has_min, row, x, first_token, tokens, block, false,
                   acc[1]);
    for (int t = 0; t < tokens; t++)
        y[(size_t)t * y_stride] = _mm512_reduce_add_ps(_mm512_add_ps(acc[0][t], acc[1][t]));
}

/* ---- super-blocks ---- */

/* Scales of runs 4 * i to 4 * i + 3 on the four lanes that each run's products have. */
INLINE512 __m512 spread_runs(__m512 scales, int i)
{
    const __m512i base = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(_mm512_add_epi32(base, _mm512_set1_epi32(4 * i)), scales);
}

/* As plain_row; `offset` is folded into the minimums. */
INLINE512 void super_row(sl_super_fn *unpack, size_t block_bytes, char offset, bool has_min,
                         const uint8_t *row, const struct sl_activations *x, size_t first_token,
                         int tokens, float *y, size_t y_stride)
{
    __m512 acc[SUMS][SL_TOKEN_TILE];
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512 shift = _mm512_set1_ps(-(float)(uint8_t)offset);
    for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm512_setzero_ps();
    for (size_t block = 0; block < x->cols / SL_SUPER_BLOCK; block++) {
        struct sl_super w;
        unpack(row + block * block_bytes, &w);
        if (offset != 0)
            w.mins = has_min ? _mm512_fmadd_ps(w.scales, shift, w.mins)
                             : _mm512_mul_ps(w.scales, shift);
        for (int t = 0; t < tokens; t++) {
            const size_t token = first_token + (size_t)t;
            const int8_t *q = x->q + token * x->q_stride + block * SL_SUPER_BLOCK;
            const __m256 d = _mm256_loadu_ps(x->d + token * x->d_stride + block * 8);
            const __m512 scales =
                _mm512_mul_ps(w.scales, _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(d)));
            for (int i = 0; i < 4; i++) {
                const __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w.codes[i],
                                                        _mm512_loadu_si512(q + 64 * i));
                acc[i % SUMS][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum),
                                                   spread_runs(scales, i), acc[i % SUMS][t]);
            }
            if (has_min || offset != 0)
                acc[0][t] = _mm512_fmadd_ps(
                    w.mins, _mm512_loadu_ps(x->sums + token * 2 * x->d_stride + block * 16),
                    acc[0][t]);
        }
    }
    for (int t = 0; t < tokens; t++)
        y[(size_t)t * y_stride] = _mm512_reduce_add_ps(_mm512_add_ps(acc[0][t], acc[1][t]));
}

/* ---- float weights ---- */

typedef __m512 load_fn(const void *row, size_t i, __mmask16 mask);

INLINE512 __m512 load_f32(const void *row, size_t i, __mmask16 mask)
{
    return _mm512_maskz_loadu_ps(mask, (const float *)row + i);
}

INLINE512 __m512 load_f16(const void *row, size_t i, __mmask16 mask)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const sl_f16 *)row + i));
}

INLINE512 __m512 load_bf16(const void *row, size_t i, __mmask16 mask)
{
    const __m256i halves = _mm256_maskz_loadu_epi16(mask, (const sl_bf16 *)row + i);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

INLINE512 void float_row(load_fn *load, size_t unused, char offset, bool has_min,
                         const uint8_t *row, const struct sl_activations *x, size_t first_token,
                         int tokens, float *y, size_t y_stride)
{
    __m512 acc[SUMS][SL_TOKEN_TILE];
    const float *values = x->x + first_token * x->x_stride;
    size_t col = 0;
    (void)unused;
    (void)offset;
    (void)has_min;
    for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm512_setzero_ps();
    for (; col + 32 <= x->cols; col += 32)
        for (size_t i = 0; i < SUMS; i++) {
            const __m512 w = load(row, col + 16 * i, 0xffff);
            for (int t = 0; t < tokens; t++)
                acc[i][t] = _mm512_fmadd_ps(
                    w, _mm512_loadu_ps(values + (size_t)t * x->x_stride + col + 16 * i),
                    acc[i][t]);
        }
    for (; col < x->cols; col += 16) {
        const size_t left = x->cols - col;
        const __mmask16 mask = (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1);
        const __m512 w = load(row, col, mask);
        for (int t = 0; t < tokens; t++)
            acc[0][t] = _mm512_fmadd_ps(
                w, _mm512_maskz_loadu_ps(mask, values + (size_t)t * x->x_stride + col), acc[0][t]);
    }
    for (int t = 0; t < tokens; t++)
        y[(size_t)t * y_stride] = _mm512_reduce_add_ps(_mm512_add_ps(acc[0][t], acc[1][t]));
}

/* ---- the table ---- */

/* A function of one type: the generic one with its constants, for each count of tokens. */
#define EACH_ROW(generic, unpack, bytes, offset, has_min, count)                                   \
    for (uint32_t row = 0; row < rows; row++)                                                      \
    generic(unpack, bytes, offset, has_min, weights + row * row_bytes, x, first, count, y + row,   \
            y_stride)

#define ROWS(name, generic, unpack, bytes, offset, has_min)                                        \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows,                      \
                     const struct sl_activations *x, uint32_t first, uint32_t tokens, float *y,    \
                     size_t y_stride)                                                              \
    {                                                                                              \
        if (tokens == 1)                                                                           \
            EACH_ROW(generic, unpack, bytes, offset, has_min, 1);                                  \
        else if (tokens == 2)                                                                      \
            EACH_ROW(generic, unpack, bytes, offset, has_min, 2);                                  \
        else if (tokens == 3)                                                                      \
            EACH_ROW(generic, unpack, bytes, offset, has_min, 3);                                  \
        else                                                                                       \
            EACH_ROW(generic, unpack, bytes, offset, has_min, 4);                                  \
    }

ROWS(rows_f32, float_row, load_f32, 0, 0, false)
ROWS(rows_f16, float_row, load_f16, 0, 0, false)
ROWS(rows_bf16, float_row, load_bf16, 0, 0, false)
ROWS(rows_q4_0, plain_row, pair_q4_0, sizeof(struct sl_block_q4_0), 8, false)
ROWS(rows_q4_1, plain_row, pair_q4_1, sizeof(struct sl_block_q4_1), 0, true)
ROWS(rows_q5_0, plain_row, pair_q5_0, sizeof(struct sl_block_q5_0), 16, false)
ROWS(rows_q5_1, plain_row, pair_q5_1, sizeof(struct sl_block_q5_1), 0, true)
ROWS(rows_q8_0, plain_row, pair_q8_0, sizeof(struct sl_block_q8_0), (char)128, false)
ROWS(rows_iq4_nl, plain_row, pair_iq4_nl, sizeof(struct sl_block_iq4_nl), (char)128, false)
ROWS(rows_q2_k, super_row, super_q2_k, sizeof(struct sl_block_q2_k), 0, true)
ROWS(rows_q3_k, super_row, super_q3_k, sizeof(struct sl_block_q3_k), 4, false)
ROWS(rows_q4_k, super_row, super_q4_k, sizeof(struct sl_block_q4_k), 0, true)
ROWS(rows_q5_k, super_row, super_q5_k, sizeof(struct sl_block_q5_k), 0, true)
ROWS(rows_q6_k, super_row, super_q6_k, sizeof(struct sl_block_q6_k), 32, false)
ROWS(rows_iq4_xs, super_row, super_iq4_xs, sizeof(struct sl_block_iq4_xs), (char)128, false)

static const struct sl_matmul_kernels matmul = {
    .quantize = quantize,
    .rows = ROWS_TABLE,
    .panels = sl_avx512_panels,
    .packings = sl_avx512_packings,
    .packed_tokens_max = 24, /* behind it expanding, a fifth of a tile's work, has paid */
    .fill_tile = sl_avx512_fill_tile,
    .panel_tokens_min = SL_AVX512_PANEL_TOKENS_MIN,
};

const struct sl_kernels sl_kernels_avx512 = {
    VECTOR_ROW_KERNELS,
    .name = "avx512",
    .rope = rope,
    .attend = vector_attend,
    .matmul = &matmul,
};

const struct sl_kernels sl_kernels_avx512bf16 = {
    VECTOR_ROW_KERNELS,
    .name = "avx512bf16",
    .rope = rope,
    .attend_begin = sl_avx512bf16_attend_begin,
    .attend = sl_avx512bf16_attend,
    .matmul = &matmul,
};

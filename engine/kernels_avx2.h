/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of quantized weights in 256-bit registers, for the two ways through a matrix on AVX2:
 * kernels_avx2.c (rows) and kernels_avx2_panel.h (panels). Needs AVX2 and F16C.
 *
 * Codes are signed: a weight is scale * code + min, 32 neighbouring weights to a register, in
 * order. Whoever wants them unsigned adds the offset of the type.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX2_H
#define SLUICE_ENGINE_KERNELS_AVX2_H

#include "kernels_matmul.h"

#include <immintrin.h>

#define INLINE256 static inline __attribute__((always_inline))

extern const struct sl_panel sl_avx2_panels[SL_TYPE_COUNT];
extern const struct sl_panel sl_avxvnni_panels[SL_TYPE_COUNT];
extern const struct sl_packing sl_avx2_packings[SL_TYPE_COUNT];
extern const struct sl_packing sl_avxvnni_packings[SL_TYPE_COUNT];
/* What both have: tiles, and panels of float weights. */
void sl_avx2_fill_tile(struct sl_activations *x, uint32_t idx);
sl_panel_pack_fn sl_avx2_pack_f32, sl_avx2_pack_f16, sl_avx2_pack_bf16;
sl_panel_multiply_fn sl_avx2_multiply_float;

INLINE256 float widen(sl_f16 half)
{
    return _cvtsh_ss(half);
}

/* ---- codes of a block ---- */

/* Nibbles of 16 bytes as 32 codes, low nibbles first. */
INLINE256 __m256i nibbles(const uint8_t *q)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)q);
    const __m256i both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* Bit i of `high` as 16 in byte i. */
INLINE256 __m256i fifth_bits(const uint8_t *high)
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

INLINE256 __m256i iq4_codes(__m256i codes)
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

INLINE256 struct plain plain_q4_0(const void *data)
{
    const struct sl_block_q4_0 *block = data;
    return (struct plain){_mm256_sub_epi8(nibbles(block->q), _mm256_set1_epi8(8)),
                          widen(block->d), 0};
}

INLINE256 struct plain plain_q4_1(const void *data)
{
    const struct sl_block_q4_1 *block = data;
    return (struct plain){nibbles(block->q), widen(block->d), widen(block->m)};
}

INLINE256 struct plain plain_q5_0(const void *data)
{
    const struct sl_block_q5_0 *block = data;
    const __m256i codes = _mm256_or_si256(nibbles(block->q), fifth_bits(block->high));
    return (struct plain){_mm256_sub_epi8(codes, _mm256_set1_epi8(16)), widen(block->d), 0};
}

INLINE256 struct plain plain_q5_1(const void *data)
{
    const struct sl_block_q5_1 *block = data;
    return (struct plain){_mm256_or_si256(nibbles(block->q), fifth_bits(block->high)),
                          widen(block->d), widen(block->m)};
}

INLINE256 struct plain plain_q8_0(const void *data)
{
    const struct sl_block_q8_0 *block = data;
    return (struct plain){_mm256_loadu_si256((const __m256i *)block->q), widen(block->d), 0};
}

INLINE256 struct plain plain_iq4_nl(const void *data)
{
    const struct sl_block_iq4_nl *block = data;
    return (struct plain){iq4_codes(nibbles(block->q)), widen(block->d), 0};
}

/* ---- super-blocks ---- */

/* 8 x 32 signed codes; the integer scales of the sixteen runs, signed bytes; the float scale of
 * all; the minimums of the runs, zero where the type has none. */
struct super {
    __m256i codes[8];
    __m128i scales;
    float d;
    __m256 mins[2];
};

typedef void super_fn(const void *block, struct super *out);

/* Eight scales, each on the two runs of its 32 weights. */
INLINE256 __m128i twice(const uint8_t eight[8])
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)eight);
    return _mm_unpacklo_epi8(bytes, bytes);
}

INLINE256 void run_mins(__m128i mins, float factor, __m256 out[2])
{
    const __m256 scale = _mm256_set1_ps(factor);
    out[0] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(mins)), scale);
    out[1] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(mins, 8))),
                           scale);
}

INLINE256 void no_mins(struct super *out)
{
    out->mins[0] = out->mins[1] = _mm256_setzero_ps();
}

/* Two bits a code, `i` of eight registers. */
INLINE256 __m256i crumbs(const uint8_t *q, int i)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(q + i / 4 * 32));
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 2 * (i % 4)), _mm256_set1_epi8(3));
}

/* Bit i of each byte of `high`, in place `to`. */
INLINE256 __m256i high_bit(__m256i high, int i, int to)
{
    const __m256i bit = _mm256_and_si256(_mm256_srli_epi16(high, i), _mm256_set1_epi8(1));
    return _mm256_slli_epi16(bit, to);
}

INLINE256 void super_q2_k(const void *data, struct super *out)
{
    const struct sl_block_q2_k *block = data;
    const __m128i packed = _mm_loadu_si128((const __m128i *)block->scales);
    const __m128i low = _mm_set1_epi8(15);
    for (int i = 0; i < 8; i++)
        out->codes[i] = crumbs(block->q, i);
    out->scales = _mm_and_si128(packed, low);
    run_mins(_mm_and_si128(_mm_srli_epi16(packed, 4), low), -widen(block->dmin), out->mins);
    out->d = widen(block->d);
}

INLINE256 void super_q3_k(const void *data, struct super *out)
{
    const struct sl_block_q3_k *block = data;
    const __m256i high = _mm256_loadu_si256((const __m256i *)block->high);
    uint8_t scales[16];
    for (int i = 0; i < 8; i++)
        out->codes[i] = _mm256_sub_epi8(
            _mm256_or_si256(crumbs(block->q, i), high_bit(high, i, 2)), _mm256_set1_epi8(4));
    sl_q3_k_scales_unpack(block->scales, scales);
    out->scales = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)scales), _mm_set1_epi8(32));
    out->d = widen(block->d);
    no_mins(out);
}

INLINE256 __m256i k_nibbles(const uint8_t *q, int i)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(q + i / 2 * 32));
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4 * (i % 2)), _mm256_set1_epi8(15));
}

INLINE256 void k_scales(const uint8_t *packed, float dmin, struct super *out)
{
    uint8_t scales[8], mins[8];
    sl_k_scales_unpack(packed, scales, mins);
    out->scales = twice(scales);
    run_mins(twice(mins), -dmin, out->mins);
}

INLINE256 void super_q4_k(const void *data, struct super *out)
{
    const struct sl_block_q4_k *block = data;
    for (int i = 0; i < 8; i++)
        out->codes[i] = k_nibbles(block->q, i);
    k_scales(block->scales, widen(block->dmin), out);
    out->d = widen(block->d);
}

INLINE256 void super_q5_k(const void *data, struct super *out)
{
    const struct sl_block_q5_k *block = data;
    const __m256i high = _mm256_loadu_si256((const __m256i *)block->high);
    for (int i = 0; i < 8; i++)
        out->codes[i] = _mm256_or_si256(k_nibbles(block->q, i), high_bit(high, i, 4));
    k_scales(block->scales, widen(block->dmin), out);
    out->d = widen(block->d);
}

INLINE256 void super_q6_k(const void *data, struct super *out)
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
    out->scales = _mm_loadu_si128((const __m128i *)block->scales);
    out->d = widen(block->d);
    no_mins(out);
}

INLINE256 void super_iq4_xs(const void *data, struct super *out)
{
    const struct sl_block_iq4_xs *block = data;
    uint8_t scales[8];
    for (int i = 0; i < 8; i++) {
        out->codes[i] = iq4_codes(nibbles(block->q + 16 * i));
        scales[i] = (uint8_t)sl_iq4_xs_scale(block, (uint32_t)i);
    }
    out->scales = _mm_sub_epi8(twice(scales), _mm_set1_epi8(32));
    out->d = widen(block->d);
    no_mins(out);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of quantized weights in 512-bit registers, for the ways through a matrix on AVX-512:
 * kernels_avx512.c (rows), kernels_avx512_panel.c (panels) and kernels_avx512_packed.c (weights
 * rearranged at load); then what the last two share. Needs F, BW, DQ, VL and VNNI.
 *
 * vpdpbusd multiplies unsigned by signed bytes, so codes are unsigned here: a weight is
 * scale * (code - offset) + min with an offset that is a constant of the type. 64 neighbouring
 * weights fill a register, in order.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX512_H
#define SLUICE_ENGINE_KERNELS_AVX512_H

#include "kernels_avx512_lanes.h"
#include "kernels_matmul.h"

extern const struct sl_panel sl_avx512_panels[SL_TYPE_COUNT];
extern const struct sl_packing sl_avx512_packings[SL_TYPE_COUNT];
#define SL_AVX512_PANEL_TOKENS_MIN 5 /* rows in tiles of four read the weights again for each tile */
void sl_avx512_fill_tile(struct sl_activations *x, uint32_t idx);
/* kernels_avx512bf16.c; may be called only where the CPU has AVX512_BF16. */
void sl_avx512bf16_attend_begin(const struct sl_attend *attend);
void sl_avx512bf16_attend(const struct sl_attend *attend);

/* ---- plain blocks, two at a time ---- */

/* 64 codes of two neighbouring blocks. Without the second, its half is whatever: activations past
 * the last column are zero, but nothing past the block may be read. */
typedef __m512i sl_pair_fn(const uint8_t *blocks, bool has_second);

/* 16 bytes from each of two addresses, `apart` bytes from each other. */
INLINE512 __m256i load_two_16(const uint8_t *data, size_t apart, bool has_second)
{
    const __m128i first = _mm_loadu_si128((const __m128i *)data);
    const __m128i second =
        has_second ? _mm_loadu_si128((const __m128i *)(data + apart)) : _mm_setzero_si128();
    return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
}

/* Two runs of 16 bytes of nibble pairs to 64 codes: low nibbles, high nibbles, low, high. */
INLINE512 __m512i two_nibble_blocks(__m256i bytes)
{
    const __m512i twice = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3),
                                                   _mm512_castsi256_si512(bytes));
    const __m512i shifts = _mm512_setr_epi64(0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0,
                                             0x0004000400040004, 0x0004000400040004);
    return _mm512_and_si512(_mm512_srlv_epi16(twice, shifts), _mm512_set1_epi8(15));
}

/* The fifth bits of two blocks, `apart` bytes from each other, as a mask of 64. */
INLINE512 __mmask64 two_fifth_bits(const uint8_t *data, size_t apart, bool has_second)
{
    uint32_t low, high = 0;
    memcpy(&low, data, sizeof low);
    if (has_second)
        memcpy(&high, data + apart, sizeof high);
    return (__mmask64)high << 32 | low;
}

INLINE512 __m512i add_where(__m512i codes, __mmask64 mask, char value)
{
    return _mm512_mask_add_epi8(codes, mask, codes, _mm512_set1_epi8(value));
}

INLINE512 __m512i pair_q4_0(const uint8_t *blocks, bool has_second)
{
    const size_t size = sizeof(struct sl_block_q4_0);
    return two_nibble_blocks(
        load_two_16(blocks + offsetof(struct sl_block_q4_0, q), size, has_second));
}

INLINE512 __m512i pair_q4_1(const uint8_t *blocks, bool has_second)
{
    const size_t size = sizeof(struct sl_block_q4_1);
    return two_nibble_blocks(
        load_two_16(blocks + offsetof(struct sl_block_q4_1, q), size, has_second));
}

INLINE512 __m512i pair_q5_0(const uint8_t *blocks, bool has_second)
{
    const size_t size = sizeof(struct sl_block_q5_0);
    const __m512i nibbles = two_nibble_blocks(
        load_two_16(blocks + offsetof(struct sl_block_q5_0, q), size, has_second));
    return add_where(
        nibbles,
        two_fifth_bits(blocks + offsetof(struct sl_block_q5_0, high), size, has_second), 16);
}

INLINE512 __m512i pair_q5_1(const uint8_t *blocks, bool has_second)
{
    const size_t size = sizeof(struct sl_block_q5_1);
    const __m512i nibbles = two_nibble_blocks(
        load_two_16(blocks + offsetof(struct sl_block_q5_1, q), size, has_second));
    return add_where(
        nibbles,
        two_fifth_bits(blocks + offsetof(struct sl_block_q5_1, high), size, has_second), 16);
}

INLINE512 __m512i pair_q8_0(const uint8_t *blocks, bool has_second)
{
    const uint8_t *q = blocks + offsetof(struct sl_block_q8_0, q);
    const __m256i first = _mm256_loadu_si256((const __m256i *)q);
    const __m256i second =
        has_second ? _mm256_loadu_si256((const __m256i *)(q + sizeof(struct sl_block_q8_0)))
                   : _mm256_setzero_si256();
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    return _mm512_xor_si512(both, _mm512_set1_epi8(-128)); /* signed to offset 128 */
}

/* The steps of the IQ4 types plus 128. */
INLINE512 __m512i iq4_steps(__m512i codes)
{
    const __m128i values = _mm_xor_si128(_mm_loadu_si128((const __m128i *)sl_iq4_values),
                                         _mm_set1_epi8(-128));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), codes);
}

INLINE512 __m512i pair_iq4_nl(const uint8_t *blocks, bool has_second)
{
    return iq4_steps(pair_q4_0(blocks, has_second)); /* the same layout */
}

/* ---- super-blocks ---- */

struct sl_super {
    __m512i codes[4]; /* 64 each */
    __m512 scales;    /* of the sixteen runs of 16 */
    __m512 mins;      /* likewise; zero where the type has none */
};

typedef void sl_super_fn(const uint8_t *block, struct sl_super *out);

INLINE512 float widen_half(const uint8_t *half)
{
    uint16_t bits;
    memcpy(&bits, half, sizeof bits);
    return _cvtsh_ss(bits);
}

/* 32 bytes in both halves. */
INLINE512 __m512i load_twice(const uint8_t *data)
{
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)data));
}

/* Words of the low half shifted right by `low` bits, of the high half by `high`. */
INLINE512 __m512i shift_halves(__m512i x, short low, short high)
{
    const __m512i counts = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set1_epi16(low)),
                                              _mm256_set1_epi16(high), 1);
    return _mm512_srlv_epi16(x, counts);
}

/* Bytes of the low half that have bit `2 * i`, of the high half that have bit `2 * i + 1`. */
INLINE512 __mmask64 bits_of_halves(__m512i high, int i)
{
    const __m512i bits =
        _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set1_epi8((char)(1 << 2 * i))),
                           _mm256_set1_epi8((char)(1 << (2 * i + 1))), 1);
    return _mm512_test_epi8_mask(high, bits);
}

INLINE512 __m512 floats_of(__m128i bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

INLINE512 void super_q2_k(const uint8_t *data, struct sl_super *out)
{
    const uint8_t *q = data + offsetof(struct sl_block_q2_k, q);
    const __m512i low = load_twice(q), high = load_twice(q + 32), three = _mm512_set1_epi8(3);
    const __m128i packed = _mm_loadu_si128((const __m128i *)data);
    const __m128i nibble = _mm_set1_epi8(15);
    out->codes[0] = _mm512_and_si512(shift_halves(low, 0, 2), three);
    out->codes[1] = _mm512_and_si512(shift_halves(low, 4, 6), three);
    out->codes[2] = _mm512_and_si512(shift_halves(high, 0, 2), three);
    out->codes[3] = _mm512_and_si512(shift_halves(high, 4, 6), three);
    out->scales = _mm512_mul_ps(
        floats_of(_mm_and_si128(packed, nibble)),
        _mm512_set1_ps(widen_half(data + offsetof(struct sl_block_q2_k, d))));
    out->mins = _mm512_mul_ps(
        floats_of(_mm_and_si128(_mm_srli_epi16(packed, 4), nibble)),
        _mm512_set1_ps(-widen_half(data + offsetof(struct sl_block_q2_k, dmin))));
}

INLINE512 void super_q3_k(const uint8_t *data, struct sl_super *out)
{
    const uint8_t *q = data + offsetof(struct sl_block_q3_k, q);
    const __m512i low = load_twice(q), high = load_twice(q + 32), three = _mm512_set1_epi8(3);
    const __m512i tops = load_twice(data);
    out->codes[0] = _mm512_and_si512(shift_halves(low, 0, 2), three);
    out->codes[1] = _mm512_and_si512(shift_halves(low, 4, 6), three);
    out->codes[2] = _mm512_and_si512(shift_halves(high, 0, 2), three);
    out->codes[3] = _mm512_and_si512(shift_halves(high, 4, 6), three);
    for (int i = 0; i < 4; i++)
        out->codes[i] = add_where(out->codes[i], bits_of_halves(tops, i), 4);
    /* As sl_q3_k_scales_unpack, but never through memory: reading sixteen bytes that were just
     * written as four words stalls for a dozen cycles. */
    uint32_t words[3];
    memcpy(words, data + offsetof(struct sl_block_q3_k, scales), sizeof words);
    const __m128i lows = _mm_setr_epi32((int)words[0], (int)words[1], (int)(words[0] >> 4),
                                        (int)(words[1] >> 4));
    const __m128i highs = _mm_sllv_epi32(
        _mm_and_si128(_mm_srlv_epi32(_mm_set1_epi32((int)words[2]), _mm_setr_epi32(0, 2, 4, 6)),
                      _mm_set1_epi8(3)),
        _mm_set1_epi32(4));
    const __m128i scales = _mm_or_si128(_mm_and_si128(lows, _mm_set1_epi8(15)), highs);
    const __m512i signed_scales =
        _mm512_sub_epi32(_mm512_cvtepu8_epi32(scales), _mm512_set1_epi32(32));
    out->scales =
        _mm512_mul_ps(_mm512_cvtepi32_ps(signed_scales),
                      _mm512_set1_ps(widen_half(data + offsetof(struct sl_block_q3_k, d))));
    out->mins = _mm512_setzero_ps();
}

/* Scales and minimums of Q4_K and Q5_K, whose blocks start alike; each serves two runs. */
INLINE512 void k_scales(const uint8_t *data, struct sl_super *out)
{
    uint64_t scales, mins;
    sl_k_scales_unpack(data + offsetof(struct sl_block_q4_k, scales), (uint8_t *)&scales,
                       (uint8_t *)&mins);
    const __m128i eight = _mm_cvtsi64_si128((long long)scales);
    const __m128i eight_mins = _mm_cvtsi64_si128((long long)mins);
    out->scales = _mm512_mul_ps(floats_of(_mm_unpacklo_epi8(eight, eight)),
                                _mm512_set1_ps(widen_half(data)));
    out->mins = _mm512_mul_ps(floats_of(_mm_unpacklo_epi8(eight_mins, eight_mins)),
                              _mm512_set1_ps(-widen_half(data + 2)));
}

INLINE512 void super_q4_k(const uint8_t *data, struct sl_super *out)
{
    const uint8_t *q = data + offsetof(struct sl_block_q4_k, q);
    for (int i = 0; i < 4; i++)
        out->codes[i] = _mm512_and_si512(shift_halves(load_twice(q + 32 * i), 0, 4),
                                         _mm512_set1_epi8(15));
    k_scales(data, out);
}

INLINE512 void super_q5_k(const uint8_t *data, struct sl_super *out)
{
    const uint8_t *q = data + offsetof(struct sl_block_q5_k, q);
    const __m512i tops = load_twice(data + offsetof(struct sl_block_q5_k, high));
    for (int i = 0; i < 4; i++)
        out->codes[i] = add_where(_mm512_and_si512(shift_halves(load_twice(q + 32 * i), 0, 4),
                                                   _mm512_set1_epi8(15)),
                                  bits_of_halves(tops, i), 16);
    k_scales(data, out);
}

INLINE512 void super_q6_k(const uint8_t *data, struct sl_super *out)
{
    const __m512i nibble = _mm512_set1_epi8(15), top = _mm512_set1_epi8(0x30);
    for (int half = 0; half < 2; half++) {
        const __m512i low = _mm512_loadu_si512(data + 64 * half);
        const __m512i high = load_twice(data + offsetof(struct sl_block_q6_k, high) + 32 * half);
        /* Bits 0..1 and 2..3 of `high` go up to bits 4..5; bits 4..5 are there, 6..7 go down. */
        const __m512i up = _mm512_sllv_epi16(
            high, _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set1_epi16(4)),
                                     _mm256_set1_epi16(2), 1));
        out->codes[2 * half] =
            _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(up, top));
        out->codes[2 * half + 1] =
            _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble),
                            _mm512_and_si512(shift_halves(high, 0, 2), top));
    }
    const __m128i scales =
        _mm_loadu_si128((const __m128i *)(data + offsetof(struct sl_block_q6_k, scales)));
    out->scales =
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)),
                      _mm512_set1_ps(widen_half(data + offsetof(struct sl_block_q6_k, d))));
    out->mins = _mm512_setzero_ps();
}

INLINE512 void super_iq4_xs(const uint8_t *data, struct sl_super *out)
{
    const uint8_t *q = data + offsetof(struct sl_block_iq4_xs, q);
    uint32_t low;
    uint16_t high;
    memcpy(&low, data + offsetof(struct sl_block_iq4_xs, scales_low), sizeof low);
    memcpy(&high, data + offsetof(struct sl_block_iq4_xs, scales_high), sizeof high);
    for (int i = 0; i < 4; i++)
        out->codes[i] = iq4_steps(
            two_nibble_blocks(_mm256_loadu_si256((const __m256i *)(q + 32 * i))));
    /* Lane i gets scale i / 2: its nibble and its two top bits. */
    const __m512i sub = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512i nibbles = _mm512_and_si512(
        _mm512_srlv_epi32(_mm512_set1_epi32((int)low), _mm512_slli_epi32(sub, 2)),
        _mm512_set1_epi32(15));
    const __m512i tops = _mm512_and_si512(
        _mm512_srlv_epi32(_mm512_set1_epi32(high), _mm512_slli_epi32(sub, 1)),
        _mm512_set1_epi32(3));
    const __m512i scales = _mm512_sub_epi32(_mm512_or_si512(nibbles, _mm512_slli_epi32(tops, 4)),
                                            _mm512_set1_epi32(32));
    out->scales = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), _mm512_set1_ps(widen_half(data)));
    out->mins = _mm512_setzero_ps();
}

/* ---- panels and tiles: the drawing is in kernels_avx512_panel.c ---- */

#define TILE_TOKENS 6
#define HALF_ROWS 16
#define HALF_CODES 512                /* bytes of codes of a half in a step */
#define CODES_BYTES (2 * HALF_CODES)
#define LANE_BYTES 64                 /* sixteen floats */
#define UNROLLED _Pragma("GCC unroll 16")

_Static_assert(SL_PANEL_ROWS == 2 * HALF_ROWS, "a panel has two halves");
_Static_assert(TILE_TOKENS == SL_PANEL_TILE_TOKENS, "scratch is sized for these tiles");

/* How many runs of sixteen floats stand behind the codes of a step, for each half. */
INLINE512 size_t lanes_of(bool by_runs, bool has_min)
{
    return (by_runs ? 2u : 1u) * (has_min ? 2u : 1u);
}

INLINE512 size_t step_bytes_of(bool by_runs, bool has_min)
{
    return CODES_BYTES + 2 * lanes_of(by_runs, has_min) * LANE_BYTES;
}

/* The parts of a tile of activations. */
struct tile {
    int8_t *q;
    float *d;
    int32_t *offsets;
    float *sums;
    int32_t *run_offsets;
    float *run_sums;
};

INLINE512 struct tile tile_at(const struct sl_activations *x, size_t idx)
{
    const size_t blocks = x->cols / SL_BLOCK, params = blocks * TILE_TOKENS;
    struct tile tile = {.q = (int8_t *)x->tiles + idx * x->tile_bytes};
    tile.d = (float *)(tile.q + params * SL_BLOCK);
    tile.offsets = (int32_t *)(tile.d + params);
    tile.sums = (float *)(tile.offsets + params);
    tile.run_offsets = (int32_t *)(tile.sums + params);
    tile.run_sums = (float *)(tile.run_offsets + 2 * params);
    return tile;
}

/* Four activations of one token on all rows. */
INLINE512 __m512i broadcast_four(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm512_set1_epi32(four);
}

/* The sums of a tile's `width` tokens to their places, as many rows and tokens as there are. */
INLINE512 void store_tile(__m512 acc[2][TILE_TOKENS], int width, uint32_t rows, size_t token,
                          size_t tokens, float *y, size_t y_stride)
{
    for (size_t half = 0; half < 2; half++) {
        const uint32_t left = rows > half * HALF_ROWS ? rows - (uint32_t)half * HALF_ROWS : 0;
        const __mmask16 mask = (__mmask16)(left >= HALF_ROWS ? 0xffffu : (1u << left) - 1);
        UNROLLED for (int t = 0; t < width; t++)
            if (token + (size_t)t < tokens)
                _mm512_mask_storeu_ps(y + (token + (size_t)t) * y_stride + half * HALF_ROWS, mask,
                                      acc[half][t]);
    }
}

#endif

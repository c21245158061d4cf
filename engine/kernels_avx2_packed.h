/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights rearranged at load for 256-bit registers: 32 rows lie interleaved, in the bits that the
 * file has. Here the layout, and the products. kernels_avx2_repack.h makes it of the file's rows
 * and back. Included by the files of AVX2 and of AVX-VNNI, which differ in how four products become
 * one sum (kernels_avx2_dot.h, kernels_avxvnni_dot.h).
 *
 * A packed panel is two halves of sixteen rows, one behind the other: each one stream through
 * memory. A half is a run of blocks (32 columns, or the 256 of a super-block), each a head and one
 * or eight steps of 32 columns. In a step, "register" is 32 bytes: 8 rows (octet) times 4 columns
 * (group).
 *
 *   head, plain       d (16 halves) | m (16 halves) where the type has minimums
 *   head, Q4_K Q5_K   d | dmin | for each step: low nibbles of scale and minimum (row, 16 bytes),
 *                     top two bits of both (row and row + 8 in one byte, 8 bytes)
 *   head, Q6_K        d | for each step: scales of two runs (run, row, 32 bytes)
 *   head, Q2_K        d | dmin | for each step: scale and minimum of two runs (run, row, 32 bytes)
 *   head, Q3_K        d | for each step: scales of its first and second run, as scale and minimum
 *                     of Q4_K
 *   head, IQ4_XS      d | for each step: low nibbles of the scales (row and row + 8 in one byte, 8
 *                     bytes), top bits (rows i, i + 4, i + 8, i + 12 in byte i, 4 bytes)
 *   step of 8 bits    codes (8 groups, octet), as in a panel of kernels_avx2_panel.h
 *   step of 4 bits    (4 registers, octet): groups i and i + 4 in the nibbles of register i
 *           5 bits    then the fifth bits (octet): of group i in bit i of each byte
 *           6 bits    then the top two (2 registers, octet): groups i, i + 2, i + 4 and i + 6 in the
 *                     bit pairs of register i
 *   step of 2 bits    (2 registers, octet), as the top two of six
 *           3 bits    then the third bits, as the fifth of five
 *
 * Why: a register holds the same columns of eight rows, so that a product needs a broadcast of four
 * activations and nothing else: no sums across lanes, no scale of one row to broadcast. From the
 * file's order, one token of Q4_0 takes 22 instructions for 32 weights; here 6.
 *
 * Threads: pure functions.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX2_PACKED_H
#define SLUICE_ENGINE_KERNELS_AVX2_PACKED_H

#include "kernels_avx2_panel.h"

enum head { HEAD_PLAIN, HEAD_K, HEAD_6, HEAD_2, HEAD_3, HEAD_X };

/* How a type is rearranged; constants after inlining. */
struct packed {
    struct form form;
    enum head head;
    int panel_offset; /* of the codes of the same type in a panel */
};

#define HALVES_BYTES (HALF_ROWS * sizeof(sl_f16))
#define SIXES_BYTES 24 /* of a head: two numbers of six bits a row */
#define SIXES_TOPS 16  /* where their top bits begin */
#define RUN_BYTES 16   /* of a head: a byte a row */
#define X_BYTES 12     /* of a head of IQ4_XS: scales of one step */
#define X_TOPS 8       /* where their top bits begin */
#define NIBBLES_BYTES 256
#define PAIRS_BYTES 128
#define BITS_BYTES 64
#define SUPER_STEPS 8

INLINE256 size_t steps_of(struct packed packed)
{
    return packed.head == HEAD_PLAIN ? 1 : SUPER_STEPS;
}

/* Of a head: what each step has for itself. */
INLINE256 size_t step_factors_bytes(enum head head)
{
    switch (head) {
    case HEAD_K:
    case HEAD_3: return SIXES_BYTES;
    case HEAD_6:
    case HEAD_2: return 2 * RUN_BYTES;
    case HEAD_X: return X_BYTES;
    default: return 0;
    }
}

INLINE256 size_t head_bytes(struct packed packed)
{
    return HALVES_BYTES * (packed.form.has_min ? 2 : 1) +
           steps_of(packed) * step_factors_bytes(packed.head);
}

INLINE256 size_t packed_step_bytes(struct form form)
{
    switch (form.bits) {
    case 2: return PAIRS_BYTES;
    case 3: return PAIRS_BYTES + BITS_BYTES;
    case 4: return NIBBLES_BYTES;
    case 5: return NIBBLES_BYTES + BITS_BYTES;
    case 6: return NIBBLES_BYTES + PAIRS_BYTES;
    default: return CODES_BYTES;
    }
}

INLINE256 size_t packed_block_bytes(struct packed packed)
{
    return head_bytes(packed) + steps_of(packed) * packed_step_bytes(packed.form);
}

INLINE256 size_t packed_half_bytes(struct packed packed, uint32_t cols)
{
    return cols / (SL_BLOCK * steps_of(packed)) * packed_block_bytes(packed);
}

/* ---- reading ---- */

INLINE256 __m256i load_register(const uint8_t *data, int idx, int octet)
{
    return _mm256_load_si256((const __m256i *)(data + idx * 2 * OCTET_BYTES + octet * OCTET_BYTES));
}

/* Bytes shifted right by `by` bits (left where it is negative); those of other bytes come in. */
INLINE256 __m256i shift_right(__m256i x, int by)
{
    return by >= 0 ? _mm256_srli_epi16(x, by) : _mm256_slli_epi16(x, -by);
}

/* Bits of width `mask` of a group, from bit `at` of a byte on, moved to bit `to`. */
INLINE256 __m256i group_bits(__m256i x, int at, int to, int mask)
{
    return _mm256_and_si256(shift_right(x, at - to), _mm256_set1_epi8((char)(mask << to)));
}

INLINE256 __m256i group_codes(struct form form, const uint8_t *codes, int octet, int group)
{
    if (form.bits == 0 || form.bits == 8)
        return load_register(codes, group, octet);
    if (form.bits < 4) {
        const __m256i two =
            group_bits(load_register(codes, group % 2, octet), group / 2 * 2, 0, 3);
        return form.bits == 2
                   ? two
                   : _mm256_or_si256(two, group_bits(load_register(codes + PAIRS_BYTES, 0, octet),
                                                     group, 2, 1));
    }
    const __m256i four = group_bits(load_register(codes, group % 4, octet), group / 4 * 4, 0, 15);
    if (form.is_iq4) /* offset 0 or 128 */
        return _mm256_xor_si256(iq4_codes(four), _mm256_set1_epi8((char)form.offset));
    if (form.bits == 5)
        return _mm256_or_si256(
            four, group_bits(load_register(codes + NIBBLES_BYTES, 0, octet), group, 4, 1));
    if (form.bits == 6)
        return _mm256_or_si256(
            four, group_bits(load_register(codes + NIBBLES_BYTES, group % 2, octet),
                             group / 2 * 2, 4, 3));
    return four;
}

/* Eight of sixteen bytes as floats. */
INLINE256 __m256 floats_of(__m128i bytes, int octet)
{
    const __m128i eight = octet == 0 ? bytes : _mm_srli_si128(bytes, 8);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
}

INLINE256 __m256 load_halves(const uint8_t *head, size_t part, int octet)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(
        (const __m128i *)(head + part * HALVES_BYTES + (size_t)octet * HALVES_BYTES / 2)));
}

/* Two numbers of six bits for each of sixteen rows, as SIXES_BYTES have them. */
INLINE256 void unpack_sixes(const uint8_t *data, __m128i *first, __m128i *second)
{
    const __m128i nibble = _mm_set1_epi8(15), upper = _mm_set1_epi8(0x30);
    const __m128i lows = _mm_loadu_si128((const __m128i *)data);
    const __m128i eight = _mm_loadl_epi64((const __m128i *)(data + SIXES_TOPS));
    const __m128i tops = _mm_unpacklo_epi64(eight, _mm_srli_epi16(eight, 4));
    *first = _mm_or_si128(_mm_and_si128(lows, nibble),
                          _mm_and_si128(_mm_slli_epi16(tops, 4), upper));
    *second = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(lows, 4), nibble),
                           _mm_and_si128(_mm_slli_epi16(tops, 2), upper));
}

/* The six bits of IQ4_XS for sixteen rows. */
INLINE256 __m128i unpack_x(const uint8_t *data)
{
    int32_t four;
    memcpy(&four, data + X_TOPS, sizeof four);
    const __m128i eight = _mm_loadl_epi64((const __m128i *)data), tops = _mm_cvtsi32_si128(four);
    const __m128i lows = _mm_unpacklo_epi64(eight, _mm_srli_epi16(eight, 4));
    const __m128i low_rows = _mm_unpacklo_epi32(_mm_slli_epi16(tops, 4), _mm_slli_epi16(tops, 2));
    const __m128i high_rows = _mm_unpacklo_epi32(tops, _mm_srli_epi16(tops, 2));
    return _mm_or_si128(
        _mm_and_si128(lows, _mm_set1_epi8(15)),
        _mm_and_si128(_mm_unpacklo_epi64(low_rows, high_rows), _mm_set1_epi8(0x30)));
}

/* Of a run of a step; the run matters where a type scales each 16 columns. */
INLINE256 struct factors factors_of(struct packed packed, const uint8_t *head, size_t step,
                                    size_t run)
{
    const uint8_t *data = head + HALVES_BYTES * (packed.form.has_min ? 2 : 1) +
                          step * step_factors_bytes(packed.head);
    struct factors factors;
    __m128i scales = _mm_setzero_si128(), mins = _mm_setzero_si128();
    switch (packed.head) {
    case HEAD_PLAIN: break;
    case HEAD_K: unpack_sixes(data, &scales, &mins); break;
    case HEAD_3:
        unpack_sixes(data, &scales, &mins);
        scales = _mm_sub_epi8(run == 0 ? scales : mins, _mm_set1_epi8(32));
        break;
    case HEAD_6: scales = _mm_loadu_si128((const __m128i *)(data + run * RUN_BYTES)); break;
    case HEAD_2:
        scales = _mm_loadu_si128((const __m128i *)(data + run * RUN_BYTES));
        mins = _mm_and_si128(_mm_srli_epi16(scales, 4), _mm_set1_epi8(15));
        scales = _mm_and_si128(scales, _mm_set1_epi8(15));
        break;
    case HEAD_X: scales = _mm_sub_epi8(unpack_x(data), _mm_set1_epi8(32)); break;
    }
    UNROLLED for (int octet = 0; octet < 2; octet++) {
        factors.scale[octet] = load_halves(head, 0, octet);
        factors.min[octet] =
            packed.form.has_min ? load_halves(head, 1, octet) : _mm256_setzero_ps();
        if (packed.head == HEAD_PLAIN)
            continue;
        factors.scale[octet] = _mm256_mul_ps(factors.scale[octet], floats_of(scales, octet));
        if (packed.form.has_min) /* taken off, here: -(dmin * min) */
            factors.min[octet] =
                _mm256_mul_ps(_mm256_sub_ps(_mm256_setzero_ps(), factors.min[octet]),
                              floats_of(mins, octet));
    }
    return factors;
}

/* ---- multiplying ---- */

/* Asks for what comes AHEAD bytes later; past the end of the weights that is harmless. The CPU's
 * own prefetcher stops at each page, and with several tokens the window of instructions is too
 * short to reach over the gap. */
#define AHEAD 4096
INLINE256 void prefetch_step(struct packed packed, const uint8_t *head, size_t step)
{
    const size_t bytes = packed_block_bytes(packed) / steps_of(packed); /* and of the head */
    UNROLLED for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(head + AHEAD + step * bytes + i);
}

/* A half times `tokens` tokens from `token` on, which are of one tile. */
INLINE256 void multiply_few(struct packed packed, const uint8_t *half, uint32_t rows,
                            const struct sl_activations *x, size_t token, int tokens, float *y,
                            size_t y_stride)
{
    const struct tile tile = tile_at(x, token / TILE_TOKENS);
    const size_t steps = steps_of(packed), blocks = x->cols / (SL_BLOCK * steps);
    __m256 acc[2][TOKENS_MAX];
    UNROLLED for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *head = half + block * packed_block_bytes(packed);
        for (size_t step = 0; step < steps; step++) {
            const uint8_t *codes =
                head + head_bytes(packed) + step * packed_step_bytes(packed.form);
            prefetch_step(packed, head, step);
            UNROLLED for (size_t run = 0; run < runs_of(packed.form); run++) {
                const struct factors factors = factors_of(packed, head, step, run);
                multiply_run(codes, &factors, &tile, block * steps + step, run,
                             token % TILE_TOKENS, packed.form, tokens, acc);
            }
        }
    }
    store_sums(acc, tokens, rows, y + token * y_stride, y_stride);
}

/* All of a tile at once: sums in floats do not fit the registers beside those in integers, but a
 * load and a store of one for 32 columns cost less than codes that are unpacked twice. */
#define PACKED_TOKENS TILE_TOKENS

INLINE256 void multiply_packed(struct packed packed, const uint8_t *panel, uint32_t rows,
                               const struct sl_activations *x, float *y, size_t y_stride)
{
    const size_t half_bytes = packed_half_bytes(packed, x->cols);
    for (uint32_t first = 0; first < rows; first += HALF_ROWS, panel += half_bytes, y += HALF_ROWS)
        for (size_t token = 0; token < x->tokens; token += PACKED_TOKENS) {
#define FEW(count) multiply_few(packed, panel, rows - first, x, token, count, y, y_stride)
            WITH_TOKENS(x->tokens - token, PACKED_TOKENS, FEW);
#undef FEW
        }
}

#endif

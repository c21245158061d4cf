/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights rearranged at load for AVX-512: 32 rows lie interleaved, in the bits that the file has.
 *
 * A packed panel is a run of blocks (32 columns, or the 256 of a super-block), each a head and one or
 * eight steps of 32 columns. In a step, "register" is 64 bytes: 16 rows times 4 columns ("group").
 *
 *   head, plain       d (32 halves) | m (32 halves) where the type has minimums
 *   head, Q4_K Q5_K   d | dmin | for each step: low nibbles of scale and minimum (row, 32 bytes), top
 *                     two bits of both (row and row + 16 in one byte, 16 bytes)
 *   head, Q6_K        d | for each step: scales of two runs (run, row, 64 bytes)
 *   head, Q2_K        d | dmin | for each step: scale and minimum of two runs (run, row, 64 bytes)
 *   head, Q3_K        d | for each step: scales of its first and second run, as scale and minimum of
 *                     Q4_K
 *   head, IQ4_XS      d | for each step: low nibbles of the scales (row and row + 16 in one byte, 16
 *                     bytes), top bits (rows i, i + 8, i + 16, i + 24 in byte i, 8 bytes)
 *   step of 8 bits    codes (half, 8 groups), unsigned with offset 128
 *   step of 4 bits    (half, 4 registers): groups i and i + 4 in the nibbles of register i
 *           5 bits    then the fifth bits (half, 8 groups, 64 bits)
 *           6 bits    then the top two (half, 2 registers): groups i, i + 2, i + 4, i + 6 in the bit
 *                     pairs of register i
 *   step of 2 bits    (half, 2 registers), as the top two of six
 *           3 bits    then the third bits, as the fifth of five
 *
 * Why: a register holds the same columns of sixteen rows, so a product needs a broadcast of four
 * activations and nothing else: no sums across lanes, no shuffles of scales, and the weights are one
 * stream that the prefetcher follows. From the file's order two tokens cost 1.2 times one, five 2.8
 * times; here five are bound by memory like one.
 *
 * The arithmetic is that of kernels_avx512_panel.c; activations come in its tiles. The number of
 * tokens is a constant of each loop: 1, 2, 4 or 6, those that are missing being zero.
 *
 * Threads: pure functions.
 */
#include "kernels_avx512.h"

enum head { HEAD_PLAIN, HEAD_K, HEAD_6, HEAD_2, HEAD_3, HEAD_X };

/* What a type is made of; constants after inlining. */
struct form {
    uint8_t bits;
    uint8_t offset; /* a weight is scale * (code - offset) + min */
    enum head head;
    bool has_min;
    bool has_steps; /* codes are indices into sl_iq4_values, whose offset is 128 */
};

#define HALVES_BYTES (SL_PANEL_ROWS * sizeof(sl_f16))
#define K_STEP_BYTES 48 /* of a head: scales and minimums of one step */
#define K_TOPS 32       /* where their top bits begin */
#define RUN_BYTES 32    /* of a head: scales of one run */
#define X_STEP_BYTES 24 /* of a head of IQ4_XS: scales of one step */
#define X_TOPS 16       /* where their top bits begin */
#define PAIR_BYTES 256  /* of a step: two bits a code */
#define NIBBLE_BYTES 512
#define FIFTH_HALF_BYTES 64
#define TOP_HALF_BYTES 128
#define SUPER_STEPS 8

INLINE512 bool by_runs(struct form form)
{
    return form.head == HEAD_6 || form.head == HEAD_2 || form.head == HEAD_3;
}

INLINE512 size_t steps_of(struct form form)
{
    return form.head == HEAD_PLAIN ? 1 : SUPER_STEPS;
}

INLINE512 size_t head_bytes(struct form form)
{
    if (form.head == HEAD_K)
        return 2 * HALVES_BYTES + SUPER_STEPS * K_STEP_BYTES;
    if (form.head == HEAD_6)
        return HALVES_BYTES + SUPER_STEPS * 2 * RUN_BYTES;
    if (form.head == HEAD_2)
        return 2 * HALVES_BYTES + SUPER_STEPS * 2 * RUN_BYTES;
    if (form.head == HEAD_3)
        return HALVES_BYTES + SUPER_STEPS * K_STEP_BYTES;
    if (form.head == HEAD_X)
        return HALVES_BYTES + SUPER_STEPS * X_STEP_BYTES;
    return HALVES_BYTES * (form.has_min ? 2 : 1);
}

INLINE512 size_t packed_step_bytes(struct form form)
{
    if (form.bits == 8)
        return CODES_BYTES;
    if (form.bits < 4)
        return PAIR_BYTES + (form.bits == 3 ? 2 * FIFTH_HALF_BYTES : 0);
    return NIBBLE_BYTES + (form.bits == 5 ? 2 * FIFTH_HALF_BYTES : 0) +
           (form.bits == 6 ? 2 * TOP_HALF_BYTES : 0);
}

INLINE512 size_t packed_block_bytes(struct form form)
{
    return head_bytes(form) + steps_of(form) * packed_step_bytes(form);
}

INLINE512 size_t packed_bytes(struct form form, uint32_t cols)
{
    return cols / (SL_BLOCK * steps_of(form)) * packed_block_bytes(form);
}

/* ---- reading ---- */

/* The bit pairs of a group, moved to bits `to` and above. */
INLINE512 __m512i group_pairs(const uint8_t *pairs, int half, int group, int to)
{
    const __m512i four = _mm512_loadu_si512(pairs + half * TOP_HALF_BYTES + 64 * (group % 2));
    const __m512i mask = _mm512_set1_epi8((char)(3 << to));
    switch (to - group / 2 * 2) { /* by how much they move up */
    case 4: return _mm512_and_si512(_mm512_slli_epi16(four, 4), mask);
    case 2: return _mm512_and_si512(_mm512_slli_epi16(four, 2), mask);
    case 0: return _mm512_and_si512(four, mask);
    case -2: return _mm512_and_si512(_mm512_srli_epi16(four, 2), mask);
    case -4: return _mm512_and_si512(_mm512_srli_epi16(four, 4), mask);
    default: return _mm512_and_si512(_mm512_srli_epi16(four, 6), mask);
    }
}

INLINE512 uint64_t group_bits(const uint8_t *bits, int half, int group)
{
    uint64_t mask;
    memcpy(&mask, bits + half * FIFTH_HALF_BYTES + 8 * group, sizeof mask);
    return mask;
}

/* Codes of one group of one half, unsigned with the type's offset. */
INLINE512 __m512i group_codes(struct form form, const uint8_t *step, int half, int group)
{
    if (form.bits == 8)
        return _mm512_loadu_si512(step + half * HALF_CODES + 64 * group);
    if (form.bits < 4) {
        const __m512i codes = group_pairs(step, half, group, 0);
        return form.bits == 2 ? codes
                              : add_where(codes, group_bits(step + PAIR_BYTES, half, group), 4);
    }
    const __m512i pair = _mm512_loadu_si512(step + half * (NIBBLE_BYTES / 2) + 64 * (group % 4));
    const __m512i codes = _mm512_and_si512(group < 4 ? pair : _mm512_srli_epi16(pair, 4),
                                           _mm512_set1_epi8(15));
    if (form.has_steps)
        return iq4_steps(codes);
    if (form.bits == 5)
        return add_where(codes, group_bits(step + NIBBLE_BYTES, half, group), 16);
    if (form.bits == 6)
        return _mm512_or_si512(codes, group_pairs(step + NIBBLE_BYTES, half, group, 4));
    return codes;
}

INLINE512 __m512 half_rows(const uint8_t *head, size_t part, int half)
{
    return _mm512_cvtph_ps(
        _mm256_loadu_si256((const __m256i *)(head + part * HALVES_BYTES + half * 32)));
}

/* Scale and minimum of the sixteen rows of one half: of a step, and where a type scales each 16
 * columns, of one of its runs. */
struct factors {
    __m512 scale, min;
};

/* Two numbers of six bits for each of sixteen rows, as K_STEP_BYTES have them. */
INLINE512 void unpack_sixes(const uint8_t *data, int half, __m128i *first, __m128i *second)
{
    const __m128i nibble = _mm_set1_epi8(15), upper = _mm_set1_epi8(0x30);
    const __m128i lows = _mm_loadu_si128((const __m128i *)(data + 16 * half));
    const __m128i tops =
        _mm_slli_epi16(_mm_loadu_si128((const __m128i *)(data + K_TOPS)), half ? 0 : 4);
    *first = _mm_or_si128(_mm_and_si128(lows, nibble), _mm_and_si128(tops, upper));
    *second = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(lows, 4), nibble),
                           _mm_and_si128(_mm_srli_epi16(tops, 2), upper));
}

/* The six bits of IQ4_XS for sixteen rows. */
INLINE512 __m128i unpack_x(const uint8_t *data, int half)
{
    const __m128i lows = _mm_loadu_si128((const __m128i *)data);
    const __m128i tops = _mm_loadl_epi64((const __m128i *)(data + X_TOPS));
    const __m128i low_rows = half ? tops : _mm_slli_epi16(tops, 4); /* to bits 4 and 5 */
    const __m128i high_rows = half ? _mm_srli_epi16(tops, 2) : _mm_slli_epi16(tops, 2);
    return _mm_or_si128(
        _mm_and_si128(half ? _mm_srli_epi16(lows, 4) : lows, _mm_set1_epi8(15)),
        _mm_and_si128(_mm_unpacklo_epi64(low_rows, high_rows), _mm_set1_epi8(0x30)));
}

/* Unsigned bytes with an offset of 32, as floats. */
INLINE512 __m512 floats_off_32(__m128i bytes)
{
    return _mm512_cvtepi32_ps(
        _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(32)));
}

INLINE512 struct factors factors_of(struct form form, const uint8_t *head, size_t step, int run,
                                    int half)
{
    struct factors factors = {.scale = half_rows(head, 0, half), .min = _mm512_setzero_ps()};
    const uint8_t *data = head + HALVES_BYTES * (form.has_min ? 2 : 1); /* behind d, dmin */
    const size_t at = (step * 2 + (size_t)run) * RUN_BYTES + 16 * (size_t)half;
    __m128i first, second;
    switch (form.head) {
    case HEAD_PLAIN:
        if (form.has_min)
            factors.min = half_rows(head, 1, half);
        break;
    case HEAD_K:
    case HEAD_3:
        unpack_sixes(data + step * K_STEP_BYTES, half, &first, &second);
        if (form.head == HEAD_3) {
            factors.scale = _mm512_mul_ps(factors.scale, floats_off_32(run == 0 ? first : second));
            break;
        }
        factors.scale = _mm512_mul_ps(factors.scale, floats_of(first));
        factors.min = _mm512_mul_ps(
            _mm512_sub_ps(_mm512_setzero_ps(), half_rows(head, 1, half)), floats_of(second));
        break;
    case HEAD_6:
        first = _mm_loadu_si128((const __m128i *)(data + at));
        factors.scale =
            _mm512_mul_ps(factors.scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(first)));
        break;
    case HEAD_2:
        first = _mm_loadu_si128((const __m128i *)(data + at));
        second = _mm_and_si128(_mm_srli_epi16(first, 4), _mm_set1_epi8(15));
        factors.scale =
            _mm512_mul_ps(factors.scale, floats_of(_mm_and_si128(first, _mm_set1_epi8(15))));
        factors.min = _mm512_mul_ps(
            _mm512_sub_ps(_mm512_setzero_ps(), half_rows(head, 1, half)), floats_of(second));
        break;
    case HEAD_X:
        factors.scale = _mm512_mul_ps(factors.scale,
                                      floats_off_32(unpack_x(data + step * X_STEP_BYTES, half)));
        break;
    }
    return factors;
}

/* ---- multiplying ---- */

/* -offset * sum of activations, from the -128 * sum that a tile has. */
INLINE512 __m512i start_sum(struct form form, int32_t offset)
{
    const __m512i whole = _mm512_set1_epi32(offset);
    switch (form.offset) {
    case 0: return _mm512_setzero_si512();
    case 4: return _mm512_srai_epi32(whole, 5);
    case 8: return _mm512_srai_epi32(whole, 4);
    case 16: return _mm512_srai_epi32(whole, 3);
    case 32: return _mm512_srai_epi32(whole, 2);
    default: return whole;
    }
}

/* The columns of one scale times `tokens` tokens. */
INLINE512 void multiply_scaled(struct form form, const uint8_t *head, const uint8_t *codes,
                               size_t step, int run, const struct tile *tile, size_t block,
                               int tokens, __m512 acc[2][TILE_TOKENS])
{
    const int runs = by_runs(form) ? 2 : 1, groups = 8 / runs;
    const size_t at = (block * (size_t)runs + (size_t)run) * TILE_TOKENS;
    const int32_t *offsets = (by_runs(form) ? tile->run_offsets : tile->offsets) + at;
    const int8_t *q = tile->q + block * TILE_TOKENS * SL_BLOCK;
    const float *d = tile->d + block * TILE_TOKENS;
    const float *sums = (by_runs(form) ? tile->run_sums : tile->sums) + at;
    __m512i sum[2][TILE_TOKENS];
    UNROLLED for (int t = 0; t < tokens; t++)
        sum[0][t] = sum[1][t] = start_sum(form, offsets[t]);
    UNROLLED for (int i = 0; i < groups; i++) {
        const int group = run * groups + i;
        const __m512i first = group_codes(form, codes, 0, group);
        const __m512i second = group_codes(form, codes, 1, group);
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m512i four = broadcast_four(q + t * SL_BLOCK + 4 * group);
            sum[0][t] = _mm512_dpbusd_epi32(sum[0][t], first, four);
            sum[1][t] = _mm512_dpbusd_epi32(sum[1][t], second, four);
        }
    }
    UNROLLED for (int half = 0; half < 2; half++) {
        const struct factors factors = factors_of(form, head, step, run, half);
        UNROLLED for (int t = 0; t < tokens; t++)
            acc[half][t] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[half][t]),
                                _mm512_mul_ps(factors.scale, _mm512_set1_ps(d[t])), acc[half][t]);
        if (!form.has_min)
            continue;
        UNROLLED for (int t = 0; t < tokens; t++)
            acc[half][t] = _mm512_fmadd_ps(factors.min, _mm512_set1_ps(sums[t]), acc[half][t]);
    }
}

/* Asks for what comes AHEAD bytes later; past the end of the weights that is harmless. The CPU's
 * own prefetcher stops at each page, and with several tokens the window of instructions is too short
 * to reach over the gap. */
#define AHEAD 4096
INLINE512 void prefetch_step(struct form form, const uint8_t *head, size_t step)
{
    const size_t bytes = packed_block_bytes(form) / steps_of(form); /* its share of the head, too */
    UNROLLED for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(head + AHEAD + step * bytes + i);
}

/* One tile, of which the first `tokens` count. */
INLINE512 void multiply_packed(struct form form, const uint8_t *packed, uint32_t rows,
                               const struct sl_activations *x, size_t idx, int tokens, float *y,
                               size_t y_stride)
{
    const struct tile tile = tile_at(x, idx);
    const size_t steps = steps_of(form), blocks = x->cols / (SL_BLOCK * steps);
    const int runs = by_runs(form) ? 2 : 1;
    __m512 acc[2][TILE_TOKENS];
    UNROLLED for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm512_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *head = packed + block * packed_block_bytes(form);
        for (size_t step = 0; step < steps; step++) {
            prefetch_step(form, head, step);
            UNROLLED for (int run = 0; run < runs; run++)
                multiply_scaled(form, head,
                                head + head_bytes(form) + step * packed_step_bytes(form), step, run,
                                &tile, block * steps + step, tokens, acc);
        }
    }
    store_tile(acc, tokens, rows, idx * TILE_TOKENS, x->tokens, y, y_stride);
}

INLINE512 void multiply_few(struct form form, const uint8_t *packed, uint32_t rows,
                            const struct sl_activations *x, float *y, size_t y_stride)
{
    for (size_t idx = 0; idx * TILE_TOKENS < x->tokens; idx++) {
        const size_t left = x->tokens - idx * TILE_TOKENS;
        if (left == 1)
            multiply_packed(form, packed, rows, x, idx, 1, y, y_stride);
        else if (left == 2)
            multiply_packed(form, packed, rows, x, idx, 2, y, y_stride);
        else if (left <= 4)
            multiply_packed(form, packed, rows, x, idx, 4, y, y_stride);
        else
            multiply_packed(form, packed, rows, x, idx, TILE_TOKENS, y, y_stride);
    }
}

/* ---- expanding ---- */

/* To the panel of kernels_avx512_panel.c: codes with offset 128, factors as floats. */
INLINE512 void expand_panel(struct form form, const uint8_t *packed, uint32_t cols, uint8_t *panel)
{
    const size_t steps = steps_of(form), blocks = cols / (SL_BLOCK * steps);
    const size_t lanes = lanes_of(by_runs(form), form.has_min);
    const int runs = by_runs(form) ? 2 : 1;
    const __m512i shift = _mm512_set1_epi8((char)(128 - form.offset));
    for (size_t i = 0; i < blocks * steps; i++, panel += step_bytes_of(by_runs(form), form.has_min)) {
        const uint8_t *head = packed + i / steps * packed_block_bytes(form);
        const uint8_t *codes = head + head_bytes(form) + i % steps * packed_step_bytes(form);
        for (int half = 0; half < 2; half++) {
            uint8_t *lane = panel + CODES_BYTES + (size_t)half * lanes * LANE_BYTES;
            UNROLLED for (int group = 0; group < 8; group++)
                _mm512_store_si512(panel + half * HALF_CODES + 64 * group,
                                   _mm512_add_epi8(group_codes(form, codes, half, group), shift));
            for (int run = 0; run < runs; run++) {
                const struct factors factors = factors_of(form, head, i % steps, run, half);
                _mm512_store_ps(lane + run * LANE_BYTES, factors.scale);
                if (form.has_min)
                    _mm512_store_ps(lane + (runs + run) * LANE_BYTES, factors.min);
            }
        }
    }
}

/* One row, number by number: rows of an embedding that is also the output matrix. */
INLINE512 void read_row(struct form form, const uint8_t *packed, uint32_t row, uint32_t cols,
                        float *out)
{
    const int half = (int)(row / HALF_ROWS), lane = (int)(row % HALF_ROWS);
    const size_t steps = steps_of(form);
    for (size_t i = 0; i < cols / SL_BLOCK; i++, out += SL_BLOCK) {
        const uint8_t *head = packed + i / steps * packed_block_bytes(form);
        const uint8_t *codes = head + head_bytes(form) + i % steps * packed_step_bytes(form);
        for (int group = 0; group < 8; group++) {
            const struct factors factors = factors_of(form, head, i % steps, group / 4, half);
            const __m512i index = _mm512_set1_epi32(lane);
            const float scale = _mm512_cvtss_f32(_mm512_permutexvar_ps(index, factors.scale));
            const float min = _mm512_cvtss_f32(_mm512_permutexvar_ps(index, factors.min));
            const __m512i four =
                _mm512_permutexvar_epi32(index, group_codes(form, codes, half, group));
            const __m128i code = _mm_sub_epi32(_mm_cvtepu8_epi32(_mm512_castsi512_si128(four)),
                                               _mm_set1_epi32(form.offset));
            _mm_storeu_ps(out + 4 * group,
                          _mm_add_ps(_mm_mul_ps(_mm_cvtepi32_ps(code), _mm_set1_ps(scale)),
                                     _mm_set1_ps(min)));
        }
    }
}

/* ---- packing ---- */

/* One bit of each code. */
INLINE512 void store_bits(const __m512i *groups, char bit, int half, uint8_t *out)
{
    for (int i = 0; i < 8; i++) {
        const uint64_t mask = _mm512_test_epi8_mask(groups[i], _mm512_set1_epi8(bit));
        memcpy(out + half * FIFTH_HALF_BYTES + 8 * i, &mask, sizeof mask);
    }
}

/* Two bits of each code, from bit `from` on. */
INLINE512 void store_pairs(const __m512i *groups, int from, int half, uint8_t *out)
{
    for (int i = 0; i < 2; i++) {
        __m512i pairs = _mm512_setzero_si512();
        for (int j = 0; j < 4; j++) {
            const __m512i pair = _mm512_and_si512(
                _mm512_srlv_epi16(groups[i + 2 * j], _mm512_set1_epi16((short)from)),
                _mm512_set1_epi8(3));
            pairs = _mm512_or_si512(pairs,
                                    _mm512_sllv_epi16(pair, _mm512_set1_epi16((short)(2 * j))));
        }
        _mm512_storeu_si512(out + half * TOP_HALF_BYTES + 64 * i, pairs);
    }
}

/* Stores 32 columns of sixteen rows, turned to eight groups, in the bits of the form. */
INLINE512 void store_step(struct form form, const __m512i *groups, int half, uint8_t *step)
{
    if (form.bits == 8) {
        for (int i = 0; i < 8; i++)
            _mm512_storeu_si512(step + half * HALF_CODES + 64 * i, groups[i]);
        return;
    }
    if (form.bits < 4) {
        store_pairs(groups, 0, half, step);
        if (form.bits == 3)
            store_bits(groups, 4, half, step + PAIR_BYTES);
        return;
    }
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int i = 0; i < 4; i++)
        _mm512_storeu_si512(
            step + half * (NIBBLE_BYTES / 2) + 64 * i,
            _mm512_or_si512(_mm512_and_si512(groups[i], nibble),
                            _mm512_slli_epi16(_mm512_and_si512(groups[i + 4], nibble), 4)));
    if (form.bits == 5)
        store_bits(groups, 16, half, step + NIBBLE_BYTES);
    if (form.bits == 6)
        store_pairs(groups, 4, half, step + NIBBLE_BYTES);
}

/* Codes of 64 columns of sixteen rows into a step and, where there is one, the next. */
INLINE512 void store_two_steps(struct form form, const __m512i rows[16], int half, uint8_t *step,
                               size_t apart, bool has_second)
{
    __m512i turned[16];
    for (int i = 0; i < 16; i++)
        turned[i] = rows[i];
    transpose(turned);
    store_step(form, turned, half, step);
    if (has_second)
        store_step(form, turned + 8, half, step + apart);
}

/* Two blocks of sixteen rows of a plain type, in their own bits. */
INLINE512 void pack_two(struct form form, sl_pair_fn *unpack, size_t file_bytes,
                        const uint8_t *weights, size_t row_bytes, uint32_t rows, int half,
                        size_t block, bool has_second, uint8_t *packed)
{
    const size_t size = packed_block_bytes(form);
    uint8_t *at = packed + block * size;
    __m512i codes[HALF_ROWS];
    for (uint32_t row = 0; row < HALF_ROWS; row++) {
        const uint8_t *data = weights + row * row_bytes + block * file_bytes;
        codes[row] = _mm512_setzero_si512();
        if (row >= rows)
            continue; /* its scales are zero: panels start as zeros */
        codes[row] = unpack(data, has_second);
        for (size_t i = 0; i < (has_second ? 2 : 1); i++)
            for (size_t part = 0; part < (form.has_min ? 2 : 1); part++)
                memcpy(at + i * size + part * HALVES_BYTES + (size_t)half * 32 + row * 2,
                       data + i * file_bytes + part * 2, sizeof(sl_f16));
    }
    store_two_steps(form, codes, half, at + head_bytes(form), size, has_second);
}

INLINE512 void pack_plain(struct form form, sl_pair_fn *unpack, size_t file_bytes,
                          const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                          uint8_t *packed)
{
    const size_t blocks = cols / SL_BLOCK;
    memset(packed, 0, packed_bytes(form, cols));
    for (int half = 0; half < 2 && rows > (uint32_t)half * HALF_ROWS; half++) {
        const uint8_t *data = weights + (size_t)half * HALF_ROWS * row_bytes;
        const uint32_t left = rows - (uint32_t)half * HALF_ROWS;
        size_t block = 0;
        for (; block + 2 <= blocks; block += 2)
            pack_two(form, unpack, file_bytes, data, row_bytes, left, half, block, true, packed);
        if (block < blocks)
            pack_two(form, unpack, file_bytes, data, row_bytes, left, half, block, false, packed);
    }
}

/* Two numbers of six bits of one row, as unpack_sixes reads them. */
INLINE512 void pack_sixes(uint8_t first, uint8_t second, int half, uint32_t row, uint8_t *data)
{
    const uint8_t tops = (uint8_t)(first >> 4 | second >> 4 << 2);
    data[16 * (size_t)half + row] = (uint8_t)((first & 15) | (second & 15) << 4);
    data[K_TOPS + row] = (uint8_t)(data[K_TOPS + row] | tops << (half == 0 ? 0 : 4));
}

/* Where the halves and the scales of a super-block are in the file. */
struct places {
    size_t d, dmin, scales;
};

INLINE512 struct places places_of(enum head head)
{
    switch (head) {
    case HEAD_6:
        return (struct places){.d = offsetof(struct sl_block_q6_k, d),
                               .scales = offsetof(struct sl_block_q6_k, scales)};
    case HEAD_2:
        return (struct places){.d = offsetof(struct sl_block_q2_k, d),
                               .dmin = offsetof(struct sl_block_q2_k, dmin),
                               .scales = offsetof(struct sl_block_q2_k, scales)};
    case HEAD_3:
        return (struct places){.d = offsetof(struct sl_block_q3_k, d),
                               .scales = offsetof(struct sl_block_q3_k, scales)};
    case HEAD_X: return (struct places){.d = offsetof(struct sl_block_iq4_xs, d)};
    default:
        return (struct places){.d = offsetof(struct sl_block_q4_k, d),
                               .dmin = offsetof(struct sl_block_q4_k, dmin),
                               .scales = offsetof(struct sl_block_q4_k, scales)};
    }
}

/* The factors of one row of a super-block to their places in the head. */
INLINE512 void pack_factors(struct form form, const uint8_t *data, int half, uint32_t row,
                            uint8_t *head)
{
    const struct places places = places_of(form.head);
    const size_t at = (size_t)half * 32 + row * 2;
    uint8_t *rest = head + HALVES_BYTES * (form.has_min ? 2 : 1);
    uint8_t first[16], second[8];
    memcpy(head + at, data + places.d, sizeof(sl_f16));
    if (form.has_min)
        memcpy(head + HALVES_BYTES + at, data + places.dmin, sizeof(sl_f16));
    if (form.head == HEAD_6 || form.head == HEAD_2)
        for (size_t run = 0; run < 2 * SUPER_STEPS; run++)
            rest[run * RUN_BYTES + 16 * (size_t)half + row] = data[places.scales + run];
    if (form.head == HEAD_K) {
        sl_k_scales_unpack(data + places.scales, first, second);
        for (size_t step = 0; step < SUPER_STEPS; step++)
            pack_sixes(first[step], second[step], half, row, rest + step * K_STEP_BYTES);
    }
    if (form.head == HEAD_3) {
        sl_q3_k_scales_unpack(data + places.scales, first);
        for (size_t step = 0; step < SUPER_STEPS; step++)
            pack_sixes(first[2 * step], first[2 * step + 1], half, row,
                       rest + step * K_STEP_BYTES);
    }
    for (uint32_t step = 0; form.head == HEAD_X && step < SUPER_STEPS; step++) {
        const uint32_t six = sl_iq4_xs_scale((const struct sl_block_iq4_xs *)(const void *)data, step);
        uint8_t *low = rest + step * X_STEP_BYTES + row, *top = low - row + X_TOPS + row % 8;
        *low = (uint8_t)(*low | (six & 15) << (half == 0 ? 0 : 4));
        *top = (uint8_t)(*top | six >> 4 << (4 * half + (row < 8 ? 0 : 2)));
    }
}

/* The codes of IQ4_XS without their steps. */
INLINE512 void super_iq4_raw(const uint8_t *data, struct sl_super *out)
{
    const uint8_t *q = data + offsetof(struct sl_block_iq4_xs, q);
    for (int i = 0; i < 4; i++)
        out->codes[i] = two_nibble_blocks(_mm256_loadu_si256((const __m256i *)(q + 32 * i)));
}

INLINE512 void pack_super(struct form form, sl_super_fn *unpack, size_t file_bytes,
                          const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                          uint8_t *packed)
{
    const size_t apart = packed_step_bytes(form);
    memset(packed, 0, packed_bytes(form, cols));
    for (size_t block = 0; block < cols / SL_SUPER_BLOCK; block++) {
        uint8_t *head = packed + block * packed_block_bytes(form);
        for (int half = 0; half < 2; half++) {
            __m512i codes[4][HALF_ROWS];
            for (uint32_t row = 0; row < HALF_ROWS; row++) {
                const uint32_t idx = (uint32_t)half * HALF_ROWS + row;
                const uint8_t *data = weights + idx * row_bytes + block * file_bytes;
                struct sl_super w;
                for (int i = 0; i < 4; i++)
                    w.codes[i] = _mm512_setzero_si512();
                if (idx < rows) {
                    unpack(data, &w);
                    pack_factors(form, data, half, row, head);
                }
                for (int i = 0; i < 4; i++)
                    codes[i][row] = w.codes[i];
            }
            for (size_t i = 0; i < 4; i++)
                store_two_steps(form, codes[i], half, head + head_bytes(form) + 2 * i * apart,
                                apart, true);
        }
    }
}

/* ---- the table ---- */

#define PACKED(name, pack_rows, unpack, block, ...)                                                \
    static const struct form form_##name = {__VA_ARGS__};                                          \
    static size_t bytes_##name(uint32_t cols)                                                      \
    {                                                                                              \
        return packed_bytes(form_##name, cols);                                                    \
    }                                                                                              \
    static void pack_##name(const uint8_t *weights, size_t row_bytes, uint32_t rows,               \
                            uint32_t cols, uint8_t *packed)                                        \
    {                                                                                              \
        pack_rows(form_##name, unpack, sizeof(struct block), weights, row_bytes, rows, cols,       \
                  packed);                                                                         \
    }                                                                                              \
    static void expand_##name(const uint8_t *packed, uint32_t cols, void *panel)                   \
    {                                                                                              \
        expand_panel(form_##name, packed, cols, panel);                                            \
    }                                                                                              \
    static void row_##name(const uint8_t *packed, uint32_t row, uint32_t cols, float *out)         \
    {                                                                                              \
        read_row(form_##name, packed, row, cols, out);                                             \
    }                                                                                              \
    static void multiply_##name(const uint8_t *packed, uint32_t rows,                              \
                                const struct sl_activations *x, float *y, size_t y_stride)         \
    {                                                                                              \
        multiply_few(form_##name, packed, rows, x, y, y_stride);                                   \
    }
#define ROW(name) {bytes_##name, pack_##name, expand_##name, row_##name, multiply_##name}

PACKED(q8_0, pack_plain, pair_q8_0, sl_block_q8_0, 8, 128, HEAD_PLAIN, false, false)
PACKED(q4_0, pack_plain, pair_q4_0, sl_block_q4_0, 4, 8, HEAD_PLAIN, false, false)
PACKED(q4_1, pack_plain, pair_q4_1, sl_block_q4_1, 4, 0, HEAD_PLAIN, true, false)
PACKED(q5_0, pack_plain, pair_q5_0, sl_block_q5_0, 5, 16, HEAD_PLAIN, false, false)
PACKED(q5_1, pack_plain, pair_q5_1, sl_block_q5_1, 5, 0, HEAD_PLAIN, true, false)
PACKED(iq4_nl, pack_plain, pair_q4_0, sl_block_iq4_nl, 4, 128, HEAD_PLAIN, false, true)
PACKED(q4_k, pack_super, super_q4_k, sl_block_q4_k, 4, 0, HEAD_K, true, false)
PACKED(q5_k, pack_super, super_q5_k, sl_block_q5_k, 5, 0, HEAD_K, true, false)
PACKED(q2_k, pack_super, super_q2_k, sl_block_q2_k, 2, 0, HEAD_2, true, false)
PACKED(q3_k, pack_super, super_q3_k, sl_block_q3_k, 3, 4, HEAD_3, false, false)
PACKED(iq4_xs, pack_super, super_iq4_raw, sl_block_iq4_xs, 4, 128, HEAD_X, false, true)
PACKED(q6_k, pack_super, super_q6_k, sl_block_q6_k, 6, 32, HEAD_6, false, false)

const struct sl_packing sl_avx512_packings[SL_TYPE_COUNT] = {
    [SL_TYPE_Q8_0] = ROW(q8_0),     [SL_TYPE_Q4_0] = ROW(q4_0), [SL_TYPE_Q4_1] = ROW(q4_1),
    [SL_TYPE_Q5_0] = ROW(q5_0),     [SL_TYPE_Q5_1] = ROW(q5_1), [SL_TYPE_Q4_K] = ROW(q4_k),
    [SL_TYPE_Q2_K] = ROW(q2_k),     [SL_TYPE_Q3_K] = ROW(q3_k), [SL_TYPE_IQ4_XS] = ROW(iq4_xs),
    [SL_TYPE_IQ4_NL] = ROW(iq4_nl), [SL_TYPE_Q5_K] = ROW(q5_k), [SL_TYPE_Q6_K] = ROW(q6_k),
};

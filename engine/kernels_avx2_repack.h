/* SPDX-License-Identifier: Apache-2.0
 *
 * Ways into the layout of kernels_avx2_packed.h and out of it: rows as the file has them are
 * packed, a packed panel is expanded for batches, a row is read as floats. Then the functions of
 * all types and their table, for the files of AVX2 and of AVX-VNNI.
 *
 * Threads: pure functions.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX2_REPACK_H
#define SLUICE_ENGINE_KERNELS_AVX2_REPACK_H

#include "kernels_avx2_packed.h"

/* ---- expanding ---- */

INLINE256 void expand_step(struct packed packed, const uint8_t *head, const uint8_t *codes,
                           size_t step, uint8_t *out)
{
    const __m256i shift = _mm256_set1_epi8((char)(packed.panel_offset - packed.form.offset));
    float *scales = (float *)(out + CODES_BYTES);
    float *mins = scales + runs_of(packed.form) * HALF_ROWS;
    UNROLLED for (int octet = 0; octet < 2; octet++)
        UNROLLED for (int group = 0; group < 8; group++)
            _mm256_store_si256(
                (__m256i *)(out + group * GROUP_BYTES + octet * OCTET_BYTES),
                _mm256_add_epi8(group_codes(packed.form, codes, octet, group), shift));
    for (size_t run = 0; run < runs_of(packed.form); run++) {
        const struct factors factors = factors_of(packed, head, step, run);
        UNROLLED for (int octet = 0; octet < 2; octet++) {
            _mm256_store_ps(scales + run * HALF_ROWS + 8 * octet, factors.scale[octet]);
            if (packed.form.has_min)
                _mm256_store_ps(mins + run * HALF_ROWS + 8 * octet, factors.min[octet]);
        }
    }
}

/* To the panel that the same CPU makes of the same rows. */
INLINE256 void expand_panel(struct packed packed, const uint8_t *panel, uint32_t cols, uint8_t *out)
{
    const size_t steps = steps_of(packed), blocks = cols / (SL_BLOCK * steps);
    for (size_t i = 0; i < 2 * blocks; i++, panel += packed_block_bytes(packed))
        for (size_t step = 0; step < steps; step++, out += step_bytes_of(packed.form))
            expand_step(packed, panel,
                        panel + head_bytes(packed) + step * packed_step_bytes(packed.form), step,
                        out);
}

/* One row: of an embedding that is also the output matrix. */
INLINE256 void read_row(struct packed packed, const uint8_t *panel, uint32_t row, uint32_t cols,
                        float *out)
{
    const size_t steps = steps_of(packed), lane = row % 8, octet = row % HALF_ROWS / 8;
    const uint8_t *half = panel + row / HALF_ROWS * packed_half_bytes(packed, cols);
    for (size_t i = 0; i < cols / SL_BLOCK; i++) {
        const uint8_t *head = half + i / steps * packed_block_bytes(packed);
        const uint8_t *codes =
            head + head_bytes(packed) + i % steps * packed_step_bytes(packed.form);
        for (int group = 0; group < 8; group++) {
            const struct factors factors = factors_of(packed, head, i % steps, (size_t)group / 4);
            uint8_t eight[OCTET_BYTES];
            float scale[8], min[8];
            _mm256_storeu_si256((__m256i *)eight,
                                group_codes(packed.form, codes, (int)octet, group));
            _mm256_storeu_ps(scale, factors.scale[octet]);
            _mm256_storeu_ps(min, factors.min[octet]);
            for (size_t col = 0; col < 4; col++) {
                const int code = eight[4 * lane + col];
                const bool is_signed = packed.form.offset == 0 &&
                                       (packed.form.is_iq4 || packed.form.bits == 8);
                const int number = is_signed ? (int8_t)code : code - packed.form.offset;
                *out++ = scale[lane] * (float)number + min[lane];
            }
        }
    }
}

/* ---- packing ---- */

/* Bit `bit` of each code of eight groups, to one register. */
INLINE256 void store_bits(const __m256i groups[8], int bit, uint8_t *out)
{
    __m256i bits = _mm256_setzero_si256();
    UNROLLED for (int i = 0; i < 8; i++)
        bits = _mm256_or_si256(bits, group_bits(groups[i], bit, i, 1));
    _mm256_store_si256((__m256i *)out, bits);
}

/* Two bits of each code, from bit `from` on. */
INLINE256 void store_pairs(const __m256i groups[8], int from, uint8_t *out)
{
    UNROLLED for (int i = 0; i < 2; i++) {
        __m256i pairs = _mm256_setzero_si256();
        UNROLLED for (int j = 0; j < 4; j++)
            pairs = _mm256_or_si256(pairs, group_bits(groups[i + 2 * j], from, 2 * j, 3));
        _mm256_store_si256((__m256i *)(out + i * 2 * OCTET_BYTES), pairs);
    }
}

/* 32 columns of eight rows, turned to eight groups, in the bits of the form. */
INLINE256 void store_step(struct form form, const __m256i groups[8], uint8_t *step)
{
    if (form.bits == 8) {
        UNROLLED for (int i = 0; i < 8; i++)
            _mm256_store_si256((__m256i *)(step + i * GROUP_BYTES), groups[i]);
        return;
    }
    if (form.bits < 4) {
        store_pairs(groups, 0, step);
        if (form.bits == 3)
            store_bits(groups, 2, step + PAIRS_BYTES);
        return;
    }
    UNROLLED for (int i = 0; i < 4; i++)
        _mm256_store_si256((__m256i *)(step + i * 2 * OCTET_BYTES),
                           _mm256_or_si256(group_bits(groups[i], 0, 0, 15),
                                           group_bits(groups[i + 4], 0, 4, 15)));
    if (form.bits == 5)
        store_bits(groups, 4, step + NIBBLES_BYTES);
    if (form.bits == 6)
        store_pairs(groups, 4, step + NIBBLES_BYTES);
}

/* Two numbers of six bits of one row, as unpack_sixes reads them. */
INLINE256 void pack_sixes(uint8_t first, uint8_t second, uint32_t row, uint8_t *data)
{
    const int tops = (first >> 4 | second >> 4 << 2) << (row < 8 ? 0 : 4);
    data[row] = (uint8_t)((first & 15) | (second & 15) << 4);
    data[SIXES_TOPS + row % 8] = (uint8_t)(data[SIXES_TOPS + row % 8] | tops);
}

/* The scale of one row of IQ4_XS, as unpack_x reads it. */
INLINE256 void pack_x(uint32_t six, uint32_t row, uint8_t *data)
{
    uint8_t *low = data + row % 8, *top = data + X_TOPS + row % 4;
    *low = (uint8_t)(*low | (six & 15) << (row < 8 ? 0 : 4));
    *top = (uint8_t)(*top | six >> 4 << (2 * (row / 4)));
}

/* Where the halves and the scales of a block are in the file. */
struct places {
    size_t d, min, scales;
};

INLINE256 struct places places_of(enum head head)
{
    switch (head) {
    case HEAD_6:
        return (struct places){offsetof(struct sl_block_q6_k, d), 0,
                               offsetof(struct sl_block_q6_k, scales)};
    case HEAD_2:
        return (struct places){offsetof(struct sl_block_q2_k, d),
                               offsetof(struct sl_block_q2_k, dmin),
                               offsetof(struct sl_block_q2_k, scales)};
    case HEAD_3:
        return (struct places){offsetof(struct sl_block_q3_k, d), 0,
                               offsetof(struct sl_block_q3_k, scales)};
    default: /* all others begin with d, and dmin or m behind it */
        return (struct places){0, sizeof(sl_f16), 2 * sizeof(sl_f16)};
    }
}

/* The factors of one row of a block to their places in the head. */
INLINE256 void pack_factors(struct packed packed, const uint8_t *data, uint32_t row, uint8_t *head)
{
    const struct places places = places_of(packed.head);
    const uint8_t *from = data + places.scales;
    const size_t bytes = step_factors_bytes(packed.head);
    uint8_t *rest = head + HALVES_BYTES * (packed.form.has_min ? 2 : 1);
    uint8_t first[2 * SUPER_STEPS], second[SUPER_STEPS];
    memcpy(head + row * sizeof(sl_f16), data + places.d, sizeof(sl_f16));
    if (packed.form.has_min)
        memcpy(head + HALVES_BYTES + row * sizeof(sl_f16), data + places.min, sizeof(sl_f16));
    if (packed.head == HEAD_K)
        sl_k_scales_unpack(from, first, second);
    if (packed.head == HEAD_3)
        sl_q3_k_scales_unpack(from, first);
    for (size_t i = 0; packed.head != HEAD_PLAIN && i < SUPER_STEPS; i++, rest += bytes) {
        if (packed.head == HEAD_K)
            pack_sixes(first[i], second[i], row, rest);
        else if (packed.head == HEAD_3)
            pack_sixes(first[2 * i], first[2 * i + 1], row, rest);
        else if (packed.head == HEAD_X)
            pack_x(sl_iq4_xs_scale((const void *)data, (uint32_t)i), row, rest);
        else
            for (size_t run = 0; run < 2; run++)
                rest[run * RUN_BYTES + row] = from[2 * i + run];
    }
}

/* Codes of 32 columns of eight rows (row), to which `offset` is added. */
INLINE256 void pack_codes(struct form form, const __m256i rows[8], int offset, uint8_t *step)
{
    __m256i groups[8];
    turn_codes(rows, offset, groups);
    store_step(form, groups, step);
}

/* Eight rows of a half, of which `rows` are there. `offset` makes the codes that `unpack` gives
 * those that are stored. */
INLINE256 void pack_plain_rows(struct packed packed, plain_fn *unpack, size_t block_bytes,
                               int offset, const uint8_t *weights, size_t row_bytes, uint32_t rows,
                               uint32_t cols, uint32_t in_half, uint8_t *half)
{
    for (size_t block = 0; block < cols / SL_BLOCK; block++, half += packed_block_bytes(packed)) {
        __m256i codes[8];
        UNROLLED for (uint32_t row = 0; row < 8; row++) {
            const uint8_t *data = weights + row * row_bytes + block * block_bytes;
            codes[row] = _mm256_setzero_si256();
            if (row >= rows)
                continue; /* weighs zero: panels start as zeros, scales too */
            codes[row] = unpack(data).codes;
            pack_factors(packed, data, in_half + row, half);
        }
        pack_codes(packed.form, codes, offset, half + head_bytes(packed) + in_half * 4);
    }
}

INLINE256 void pack_super_rows(struct packed packed, super_fn *unpack, size_t block_bytes,
                               int offset, const uint8_t *weights, size_t row_bytes, uint32_t rows,
                               uint32_t cols, uint32_t in_half, uint8_t *half)
{
    const size_t step_bytes = packed_step_bytes(packed.form);
    for (size_t block = 0; block < cols / SL_SUPER_BLOCK;
         block++, half += packed_block_bytes(packed)) {
        __m256i codes[SUPER_STEPS][8];
        memset(codes, 0, sizeof codes);
        for (uint32_t row = 0; row < 8 && row < rows; row++) {
            const uint8_t *data = weights + row * row_bytes + block * block_bytes;
            struct super w;
            unpack(data, &w);
            pack_factors(packed, data, in_half + row, half);
            for (int i = 0; i < SUPER_STEPS; i++)
                codes[i][row] = w.codes[i];
        }
        for (size_t i = 0; i < SUPER_STEPS; i++)
            pack_codes(packed.form, codes[i], offset,
                       half + head_bytes(packed) + i * step_bytes + in_half * 4);
    }
}

/* The codes of IQ4_XS without their steps, signed as those of Q4_0 (IQ4_NL lies as Q4_0 does). */
INLINE256 void super_iq4_raw(const void *data, struct super *out)
{
    const struct sl_block_iq4_xs *block = data;
    for (int i = 0; i < 8; i++)
        out->codes[i] = _mm256_sub_epi8(nibbles(block->q + 16 * i), _mm256_set1_epi8(8));
}

/* ---- functions of a type ---- */

#define PACKED(name, rows_fn, unpack, block, raw_offset, ...)                                      \
    static const struct packed packed_##name = {__VA_ARGS__};                                      \
    static size_t bytes_##name(uint32_t cols)                                                      \
    {                                                                                              \
        return 2 * packed_half_bytes(packed_##name, cols);                                         \
    }                                                                                              \
    static void pack_##name(const uint8_t *weights, size_t row_bytes, uint32_t rows,               \
                            uint32_t cols, uint8_t *panel)                                         \
    {                                                                                              \
        memset(panel, 0, bytes_##name(cols));                                                      \
        for (uint32_t first = 0; first < rows; first += 8)                                         \
            rows_fn(packed_##name, unpack, sizeof(struct block), raw_offset,                       \
                    weights + first * row_bytes, row_bytes, rows - first, cols, first % HALF_ROWS, \
                    panel + first / HALF_ROWS * packed_half_bytes(packed_##name, cols));           \
    }                                                                                              \
    static void expand_##name(const uint8_t *panel, uint32_t cols, void *out)                      \
    {                                                                                              \
        expand_panel(packed_##name, panel, cols, out);                                             \
    }                                                                                              \
    static void row_##name(const uint8_t *panel, uint32_t row, uint32_t cols, float *out)          \
    {                                                                                              \
        read_row(packed_##name, panel, row, cols, out);                                            \
    }                                                                                              \
    static void multiply_##name(const uint8_t *panel, uint32_t rows,                               \
                                const struct sl_activations *x, float *y, size_t y_stride)         \
    {                                                                                              \
        multiply_packed(packed_##name, panel, rows, x, y, y_stride);                               \
    }

#define PACKED_ROW(name)                                                                           \
    {                                                                                              \
        bytes_##name, pack_##name, expand_##name, row_##name, multiply_##name                      \
    }

/* Everything of all types: their functions and the table of them. Types with signed codes of eight
 * bits have `byte_offset` added; PANEL(offset) is what the codes of a panel have where these have
 * `offset`. */
#define PACKED_TYPES(table, byte_offset, PANEL)                                                    \
    PACKED(q8_0, pack_plain_rows, plain_q8_0, sl_block_q8_0, byte_offset,                          \
           .form = {.bits = 8, .offset = byte_offset}, .panel_offset = PANEL(byte_offset))         \
    PACKED(q4_0, pack_plain_rows, plain_q4_0, sl_block_q4_0, 8,                                    \
           .form = {.bits = 4, .offset = 8, .depth = 8}, .panel_offset = PANEL(8))                 \
    PACKED(q4_1, pack_plain_rows, plain_q4_1, sl_block_q4_1, 0,                                    \
           .form = {.bits = 4, .depth = 8, .has_min = true}, .panel_offset = PANEL(0))             \
    PACKED(q5_0, pack_plain_rows, plain_q5_0, sl_block_q5_0, 16,                                   \
           .form = {.bits = 5, .offset = 16, .depth = 4}, .panel_offset = PANEL(16))               \
    PACKED(q5_1, pack_plain_rows, plain_q5_1, sl_block_q5_1, 0,                                    \
           .form = {.bits = 5, .depth = 4, .has_min = true}, .panel_offset = PANEL(0))             \
    PACKED(iq4_nl, pack_plain_rows, plain_q4_0, sl_block_iq4_nl, 8,                                \
           .form = {.bits = 4, .offset = byte_offset, .is_iq4 = true},                             \
           .panel_offset = PANEL(byte_offset))                                                     \
    PACKED(q2_k, pack_super_rows, super_q2_k, sl_block_q2_k, 0, .head = HEAD_2,                    \
           .form = {.bits = 2, .depth = 4, .by_runs = true, .has_min = true},                      \
           .panel_offset = PANEL(0))                                                               \
    PACKED(q3_k, pack_super_rows, super_q3_k, sl_block_q3_k, 4, .head = HEAD_3,                    \
           .form = {.bits = 3, .offset = 4, .depth = 4, .by_runs = true},                          \
           .panel_offset = PANEL(4))                                                               \
    PACKED(q4_k, pack_super_rows, super_q4_k, sl_block_q4_k, 0, .head = HEAD_K,                    \
           .form = {.bits = 4, .depth = 8, .has_min = true}, .panel_offset = PANEL(0))             \
    PACKED(q5_k, pack_super_rows, super_q5_k, sl_block_q5_k, 0, .head = HEAD_K,                    \
           .form = {.bits = 5, .depth = 4, .has_min = true}, .panel_offset = PANEL(0))             \
    PACKED(q6_k, pack_super_rows, super_q6_k, sl_block_q6_k, 32, .head = HEAD_6,                   \
           .form = {.bits = 6, .offset = 32, .depth = 2, .by_runs = true},                         \
           .panel_offset = PANEL(32))                                                              \
    PACKED(iq4_xs, pack_super_rows, super_iq4_raw, sl_block_iq4_xs, 8, .head = HEAD_X,             \
           .form = {.bits = 4, .offset = byte_offset, .is_iq4 = true},                             \
           .panel_offset = PANEL(byte_offset))                                                     \
    const struct sl_packing table[SL_TYPE_COUNT] = {                                               \
        [SL_TYPE_Q8_0] = PACKED_ROW(q8_0), [SL_TYPE_IQ4_NL] = PACKED_ROW(iq4_nl),                  \
        [SL_TYPE_Q4_0] = PACKED_ROW(q4_0), [SL_TYPE_Q4_1] = PACKED_ROW(q4_1),                      \
        [SL_TYPE_Q5_0] = PACKED_ROW(q5_0), [SL_TYPE_Q5_1] = PACKED_ROW(q5_1),                      \
        [SL_TYPE_Q2_K] = PACKED_ROW(q2_k), [SL_TYPE_Q3_K] = PACKED_ROW(q3_k),                      \
        [SL_TYPE_Q4_K] = PACKED_ROW(q4_k), [SL_TYPE_Q5_K] = PACKED_ROW(q5_k),                      \
        [SL_TYPE_Q6_K] = PACKED_ROW(q6_k), [SL_TYPE_IQ4_XS] = PACKED_ROW(iq4_xs),                  \
    }

#endif

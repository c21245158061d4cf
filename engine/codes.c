/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of quantized weights as signed 8-bit codes with a scale and a minimum per run of 16: one
 * plain form for all types. The reference product is made of it, and slower paths of fast kernels
 * use it where a type is not worth code of its own.
 *
 * Threads: pure functions.
 */
#include "kernels_matmul.h"

/* The same scale and minimum for runs [first, first + count). */
static void fill_runs(struct sl_codes *out, size_t first, size_t count, float scale, float min)
{
    for (size_t i = first; i < first + count; i++) {
        out->scale[i] = scale;
        out->min[i] = min;
    }
}

/* Sixteen bytes of nibble pairs to 32 codes, low nibbles first. */
static void nibbles(const uint8_t q[16], int8_t code[32])
{
    for (size_t i = 0; i < 16; i++) {
        code[i] = (int8_t)(q[i] & 15);
        code[i + 16] = (int8_t)(q[i] >> 4);
    }
}

static void add_to_codes(int8_t *code, size_t count, int offset)
{
    for (size_t i = 0; i < count; i++)
        code[i] = (int8_t)(code[i] + offset);
}

static void add_fifth_bits(const uint8_t high[4], int8_t code[32])
{
    for (size_t i = 0; i < 32; i++)
        code[i] = (int8_t)(code[i] | (high[i / 8] >> (i % 8) & 1) << 4);
}

static void unpack_q4_0(const void *data, struct sl_codes *out)
{
    const struct sl_block_q4_0 *block = data;
    nibbles(block->q, out->code);
    add_to_codes(out->code, SL_BLOCK, -8);
    fill_runs(out, 0, 2, sl_f16_to_f32(block->d), 0);
}

static void unpack_q4_1(const void *data, struct sl_codes *out)
{
    const struct sl_block_q4_1 *block = data;
    nibbles(block->q, out->code);
    fill_runs(out, 0, 2, sl_f16_to_f32(block->d), sl_f16_to_f32(block->m));
}

static void unpack_q5_0(const void *data, struct sl_codes *out)
{
    const struct sl_block_q5_0 *block = data;
    nibbles(block->q, out->code);
    add_fifth_bits(block->high, out->code);
    add_to_codes(out->code, SL_BLOCK, -16);
    fill_runs(out, 0, 2, sl_f16_to_f32(block->d), 0);
}

static void unpack_q5_1(const void *data, struct sl_codes *out)
{
    const struct sl_block_q5_1 *block = data;
    nibbles(block->q, out->code);
    add_fifth_bits(block->high, out->code);
    fill_runs(out, 0, 2, sl_f16_to_f32(block->d), sl_f16_to_f32(block->m));
}

static void unpack_q8_0(const void *data, struct sl_codes *out)
{
    const struct sl_block_q8_0 *block = data;
    memcpy(out->code, block->q, SL_BLOCK);
    fill_runs(out, 0, 2, sl_f16_to_f32(block->d), 0);
}

/* Two-bit codes of Q2_K and Q3_K. */
static void crumbs(const uint8_t q[64], int8_t code[SL_SUPER_BLOCK])
{
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        code[i] = (int8_t)(q[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3);
}

static void unpack_q2_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q2_k *block = data;
    const float d = sl_f16_to_f32(block->d), dmin = sl_f16_to_f32(block->dmin);
    crumbs(block->q, out->code);
    for (size_t run = 0; run < 16; run++)
        fill_runs(out, run, 1, d * (float)(block->scales[run] & 15),
                  -dmin * (float)(block->scales[run] >> 4));
}

static void unpack_q3_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q3_k *block = data;
    uint8_t scales[16];
    crumbs(block->q, out->code);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        if ((block->high[i % 32] >> (i / 32) & 1) == 0)
            out->code[i] = (int8_t)(out->code[i] - 4);
    sl_q3_k_scales_unpack(block->scales, scales);
    for (size_t run = 0; run < 16; run++)
        fill_runs(out, run, 1, sl_f16_to_f32(block->d) * (float)(scales[run] - 32), 0);
}

/* What Q4_K and Q5_K share: low nibbles, scales and minimums. */
static void unpack_k_common(const uint8_t q[128], const uint8_t packed[12], sl_f16 d, sl_f16 dmin,
                            struct sl_codes *out)
{
    uint8_t scales[8], mins[8];
    sl_k_scales_unpack(packed, scales, mins);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        out->code[i] = (int8_t)(q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15);
    for (size_t sub = 0; sub < 8; sub++)
        fill_runs(out, 2 * sub, 2, sl_f16_to_f32(d) * (float)scales[sub],
                  -sl_f16_to_f32(dmin) * (float)mins[sub]);
}

static void unpack_q4_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q4_k *block = data;
    unpack_k_common(block->q, block->scales, block->d, block->dmin, out);
}

static void unpack_q5_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q5_k *block = data;
    unpack_k_common(block->q, block->scales, block->d, block->dmin, out);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        out->code[i] = (int8_t)(out->code[i] | (block->high[i % 32] >> (i / 32) & 1) << 4);
}

static void unpack_q6_k(const void *data, struct sl_codes *out)
{
    const struct sl_block_q6_k *block = data;
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++) {
        const int low = block->low[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
        const int high = block->high[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        out->code[i] = (int8_t)((low | high << 4) - 32);
    }
    for (size_t run = 0; run < 16; run++)
        fill_runs(out, run, 1, sl_f16_to_f32(block->d) * (float)block->scales[run], 0);
}

static void iq4_codes(const uint8_t q[16], int8_t code[32])
{
    for (size_t i = 0; i < 16; i++) {
        code[i] = sl_iq4_values[q[i] & 15];
        code[i + 16] = sl_iq4_values[q[i] >> 4];
    }
}

static void unpack_iq4_nl(const void *data, struct sl_codes *out)
{
    const struct sl_block_iq4_nl *block = data;
    iq4_codes(block->q, out->code);
    fill_runs(out, 0, 2, sl_f16_to_f32(block->d), 0);
}

static void unpack_iq4_xs(const void *data, struct sl_codes *out)
{
    const struct sl_block_iq4_xs *block = data;
    const float d = sl_f16_to_f32(block->d);
    for (uint32_t sub = 0; sub < 8; sub++) {
        iq4_codes(block->q + (size_t)sub * 16, out->code + (size_t)sub * SL_BLOCK);
        fill_runs(out, 2 * (size_t)sub, 2, d * (float)((int)sl_iq4_xs_scale(block, sub) - 32), 0);
    }
}

sl_codes_fn *const sl_codes_unpack[SL_TYPE_COUNT] = {
    [SL_TYPE_Q4_0] = unpack_q4_0,     [SL_TYPE_Q4_1] = unpack_q4_1,
    [SL_TYPE_Q5_0] = unpack_q5_0,     [SL_TYPE_Q5_1] = unpack_q5_1,
    [SL_TYPE_Q8_0] = unpack_q8_0,     [SL_TYPE_Q2_K] = unpack_q2_k,
    [SL_TYPE_Q3_K] = unpack_q3_k,     [SL_TYPE_Q4_K] = unpack_q4_k,
    [SL_TYPE_Q5_K] = unpack_q5_k,     [SL_TYPE_Q6_K] = unpack_q6_k,
    [SL_TYPE_IQ4_NL] = unpack_iq4_nl, [SL_TYPE_IQ4_XS] = unpack_iq4_xs,
};

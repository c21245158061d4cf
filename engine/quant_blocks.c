/* SPDX-License-Identifier: Apache-2.0
 *
 * How rows of each type become floats, written for reading: the specification that the fast
 * kernels are tested against. Every product is one float multiplication in the order that the
 * format's reference uses, so that values agree to the last bit.
 *
 * Threads: pure functions.
 */
#include "quant_blocks.h"

const int8_t sl_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static void dequantize_f32(const void *row, float *out, size_t columns)
{
    memcpy(out, row, columns * sizeof *out);
}

static void dequantize_f16(const void *row, float *out, size_t columns)
{
    const sl_f16 *values = row;
    for (size_t i = 0; i < columns; i++)
        out[i] = sl_f16_to_f32(values[i]);
}

static void dequantize_bf16(const void *row, float *out, size_t columns)
{
    const sl_bf16 *values = row;
    for (size_t i = 0; i < columns; i++)
        out[i] = sl_bf16_to_f32(values[i]);
}

static void dequantize_q4_0(const void *row, float *out, size_t columns)
{
    const struct sl_block_q4_0 *block = row;
    for (size_t i = 0; i < columns; i += SL_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d);
        for (size_t j = 0; j < 16; j++) {
            out[i + j] = (float)((block->q[j] & 15) - 8) * d;
            out[i + j + 16] = (float)((block->q[j] >> 4) - 8) * d;
        }
    }
}

static void dequantize_q4_1(const void *row, float *out, size_t columns)
{
    const struct sl_block_q4_1 *block = row;
    for (size_t i = 0; i < columns; i += SL_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d), m = sl_f16_to_f32(block->m);
        for (size_t j = 0; j < 16; j++) {
            out[i + j] = (float)(block->q[j] & 15) * d + m;
            out[i + j + 16] = (float)(block->q[j] >> 4) * d + m;
        }
    }
}

/* Bit 4 of code `idx`, in place. */
static int fifth_bit(const uint8_t high[4], size_t idx)
{
    return (high[idx / 8] >> (idx % 8) & 1) << 4;
}

static void dequantize_q5_0(const void *row, float *out, size_t columns)
{
    const struct sl_block_q5_0 *block = row;
    for (size_t i = 0; i < columns; i += SL_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d);
        for (size_t j = 0; j < 16; j++) {
            const int low = (block->q[j] & 15) | fifth_bit(block->high, j);
            const int high = (block->q[j] >> 4) | fifth_bit(block->high, j + 16);
            out[i + j] = (float)(low - 16) * d;
            out[i + j + 16] = (float)(high - 16) * d;
        }
    }
}

static void dequantize_q5_1(const void *row, float *out, size_t columns)
{
    const struct sl_block_q5_1 *block = row;
    for (size_t i = 0; i < columns; i += SL_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d), m = sl_f16_to_f32(block->m);
        for (size_t j = 0; j < 16; j++) {
            const int low = (block->q[j] & 15) | fifth_bit(block->high, j);
            const int high = (block->q[j] >> 4) | fifth_bit(block->high, j + 16);
            out[i + j] = (float)low * d + m;
            out[i + j + 16] = (float)high * d + m;
        }
    }
}

static void dequantize_q8_0(const void *row, float *out, size_t columns)
{
    const struct sl_block_q8_0 *block = row;
    for (size_t i = 0; i < columns; i += SL_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d);
        for (size_t j = 0; j < SL_BLOCK; j++)
            out[i + j] = (float)block->q[j] * d;
    }
}

static void dequantize_q2_k(const void *row, float *out, size_t columns)
{
    const struct sl_block_q2_k *block = row;
    for (size_t i = 0; i < columns; i += SL_SUPER_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d), dmin = sl_f16_to_f32(block->dmin);
        for (size_t j = 0; j < SL_SUPER_BLOCK; j++) {
            const uint8_t scale = block->scales[j / 16];
            const int code = block->q[j / 128 * 32 + j % 32] >> (j / 32 % 4 * 2) & 3;
            out[i + j] = d * (float)(scale & 15) * (float)code - dmin * (float)(scale >> 4);
        }
    }
}

static void dequantize_q3_k(const void *row, float *out, size_t columns)
{
    const struct sl_block_q3_k *block = row;
    for (size_t i = 0; i < columns; i += SL_SUPER_BLOCK, block++) {
        uint8_t scales[16];
        const float d = sl_f16_to_f32(block->d);
        sl_q3_k_scales_unpack(block->scales, scales);
        for (size_t j = 0; j < SL_SUPER_BLOCK; j++) {
            const int low = block->q[j / 128 * 32 + j % 32] >> (j / 32 % 4 * 2) & 3;
            const int code = low | (block->high[j % 32] >> (j / 32) & 1) << 2;
            out[i + j] = d * (float)(scales[j / 16] - 32) * (float)(code - 4);
        }
    }
}

static void dequantize_q4_k(const void *row, float *out, size_t columns)
{
    const struct sl_block_q4_k *block = row;
    for (size_t i = 0; i < columns; i += SL_SUPER_BLOCK, block++) {
        uint8_t scales[8], mins[8];
        const float d = sl_f16_to_f32(block->d), dmin = sl_f16_to_f32(block->dmin);
        sl_k_scales_unpack(block->scales, scales, mins);
        for (size_t j = 0; j < SL_SUPER_BLOCK; j++) {
            const int code = block->q[j / 64 * 32 + j % 32] >> (j / 32 % 2 * 4) & 15;
            out[i + j] = d * (float)scales[j / 32] * (float)code - dmin * (float)mins[j / 32];
        }
    }
}

static void dequantize_q5_k(const void *row, float *out, size_t columns)
{
    const struct sl_block_q5_k *block = row;
    for (size_t i = 0; i < columns; i += SL_SUPER_BLOCK, block++) {
        uint8_t scales[8], mins[8];
        const float d = sl_f16_to_f32(block->d), dmin = sl_f16_to_f32(block->dmin);
        sl_k_scales_unpack(block->scales, scales, mins);
        for (size_t j = 0; j < SL_SUPER_BLOCK; j++) {
            const int low = block->q[j / 64 * 32 + j % 32] >> (j / 32 % 2 * 4) & 15;
            const int code = low | (block->high[j % 32] >> (j / 32) & 1) << 4;
            out[i + j] = d * (float)scales[j / 32] * (float)code - dmin * (float)mins[j / 32];
        }
    }
}

static void dequantize_q6_k(const void *row, float *out, size_t columns)
{
    const struct sl_block_q6_k *block = row;
    for (size_t i = 0; i < columns; i += SL_SUPER_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d);
        for (size_t j = 0; j < SL_SUPER_BLOCK; j++) {
            const int low = block->low[j / 128 * 64 + j % 64] >> (j / 64 % 2 * 4) & 15;
            const int high = block->high[j / 128 * 32 + j % 32] >> (j / 32 % 4 * 2) & 3;
            out[i + j] = d * (float)block->scales[j / 16] * (float)((low | high << 4) - 32);
        }
    }
}

static void dequantize_iq4_nl(const void *row, float *out, size_t columns)
{
    const struct sl_block_iq4_nl *block = row;
    for (size_t i = 0; i < columns; i += SL_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d);
        for (size_t j = 0; j < 16; j++) {
            out[i + j] = d * (float)sl_iq4_values[block->q[j] & 15];
            out[i + j + 16] = d * (float)sl_iq4_values[block->q[j] >> 4];
        }
    }
}

static void dequantize_iq4_xs(const void *row, float *out, size_t columns)
{
    const struct sl_block_iq4_xs *block = row;
    for (size_t i = 0; i < columns; i += SL_SUPER_BLOCK, block++) {
        const float d = sl_f16_to_f32(block->d);
        for (uint32_t sub = 0; sub < 8; sub++) {
            const float scale = d * (float)((int)sl_iq4_xs_scale(block, sub) - 32);
            for (size_t j = 0; j < 16; j++) {
                const uint8_t pair = block->q[sub * 16 + j];
                out[i + sub * 32 + j] = scale * (float)sl_iq4_values[pair & 15];
                out[i + sub * 32 + j + 16] = scale * (float)sl_iq4_values[pair >> 4];
            }
        }
    }
}

#define QUANTIZED(type_name, weights, block, min, function)                                        \
    {                                                                                              \
        .name = type_name, .block_size = weights, .block_bytes = sizeof(struct block),             \
        .is_quantized = true, .has_min = min, .dequantize = function                               \
    }

static const struct sl_type_traits traits_table[SL_TYPE_COUNT] = {
    [SL_TYPE_F32] = {.name = "F32", .block_size = 1, .block_bytes = 4,
                     .dequantize = dequantize_f32},
    [SL_TYPE_F16] = {.name = "F16", .block_size = 1, .block_bytes = 2,
                     .dequantize = dequantize_f16},
    [SL_TYPE_BF16] = {.name = "BF16", .block_size = 1, .block_bytes = 2,
                      .dequantize = dequantize_bf16},
    [SL_TYPE_Q4_0] = QUANTIZED("Q4_0", SL_BLOCK, sl_block_q4_0, false, dequantize_q4_0),
    [SL_TYPE_Q4_1] = QUANTIZED("Q4_1", SL_BLOCK, sl_block_q4_1, true, dequantize_q4_1),
    [SL_TYPE_Q5_0] = QUANTIZED("Q5_0", SL_BLOCK, sl_block_q5_0, false, dequantize_q5_0),
    [SL_TYPE_Q5_1] = QUANTIZED("Q5_1", SL_BLOCK, sl_block_q5_1, true, dequantize_q5_1),
    [SL_TYPE_Q8_0] = QUANTIZED("Q8_0", SL_BLOCK, sl_block_q8_0, false, dequantize_q8_0),
    [SL_TYPE_Q2_K] = QUANTIZED("Q2_K", SL_SUPER_BLOCK, sl_block_q2_k, true, dequantize_q2_k),
    [SL_TYPE_Q3_K] = QUANTIZED("Q3_K", SL_SUPER_BLOCK, sl_block_q3_k, false, dequantize_q3_k),
    [SL_TYPE_Q4_K] = QUANTIZED("Q4_K", SL_SUPER_BLOCK, sl_block_q4_k, true, dequantize_q4_k),
    [SL_TYPE_Q5_K] = QUANTIZED("Q5_K", SL_SUPER_BLOCK, sl_block_q5_k, true, dequantize_q5_k),
    [SL_TYPE_Q6_K] = QUANTIZED("Q6_K", SL_SUPER_BLOCK, sl_block_q6_k, false, dequantize_q6_k),
    [SL_TYPE_IQ4_NL] = QUANTIZED("IQ4_NL", SL_BLOCK, sl_block_iq4_nl, false, dequantize_iq4_nl),
    [SL_TYPE_IQ4_XS] = QUANTIZED("IQ4_XS", SL_SUPER_BLOCK, sl_block_iq4_xs, false,
                                 dequantize_iq4_xs),
};

const struct sl_type_traits *sl_type_traits(uint32_t type)
{
    return type < SL_TYPE_COUNT && traits_table[type].name != NULL ? &traits_table[type] : NULL;
}

const char *sl_type_name(uint32_t type)
{
    const struct sl_type_traits *traits = sl_type_traits(type);
    return traits != NULL ? traits->name : "an unknown type";
}

size_t sl_type_row_bytes(uint32_t type, size_t columns)
{
    const struct sl_type_traits *traits = sl_type_traits(type);
    return traits != NULL ? columns / traits->block_size * traits->block_bytes : 0;
}

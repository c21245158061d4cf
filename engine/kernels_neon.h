/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of quantized weights in 128-bit registers, for the ways through a matrix on NEON:
 * kernels_neon.c (rows), kernels_neon_panel.c and kernels_neon_i8mm.c (panels). Codes are signed.
 * Types that the default models do not use (Q2_K, Q3_K, IQ4_XS) are unpacked by the portable code.
 */
#ifndef SLUICE_ENGINE_KERNELS_NEON_H
#define SLUICE_ENGINE_KERNELS_NEON_H

#include "kernels_matmul.h"

#include <arm_neon.h>

#define INLINE_NEON static inline __attribute__((always_inline))

extern const struct sl_panel sl_neon_panels[SL_TYPE_COUNT];
void sl_neon_fill_tile(struct sl_activations *x, uint32_t idx);
extern const struct sl_panel sl_i8mm_panels[SL_TYPE_COUNT];
void sl_i8mm_fill_tile(struct sl_activations *x, uint32_t idx);
/* Panels of float weights, which both have. */
sl_panel_pack_fn sl_neon_pack_f32, sl_neon_pack_f16, sl_neon_pack_bf16;
sl_panel_multiply_fn sl_neon_multiply_float;

/* ---- plain blocks ---- */

struct plain {
    int8x16_t low, high; /* 32 signed codes */
    float d, m;
};

typedef struct plain plain_fn(const void *block);

INLINE_NEON float widen(sl_f16 half)
{
    float16x4_t value = vreinterpret_f16_u16(vdup_n_u16(half));
    return vgetq_lane_f32(vcvt_f32_f16(value), 0);
}

INLINE_NEON int8x16_t low_nibbles(uint8x16_t bytes)
{
    return vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
}

INLINE_NEON int8x16_t high_nibbles(uint8x16_t bytes)
{
    return vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
}

/* Bits 0 to 15 of two bytes as 16 in each of sixteen bytes. */
INLINE_NEON int8x16_t fifth_bits(const uint8_t *two)
{
    static const uint8_t bit_of[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bytes = vcombine_u8(vdup_n_u8(two[0]), vdup_n_u8(two[1]));
    const uint8x16_t is_set = vtstq_u8(bytes, vld1q_u8(bit_of));
    return vreinterpretq_s8_u8(vandq_u8(is_set, vdupq_n_u8(16)));
}

INLINE_NEON struct plain plain_q4_0(const void *data)
{
    const struct sl_block_q4_0 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    const int8x16_t eight = vdupq_n_s8(8);
    return (struct plain){vsubq_s8(low_nibbles(bytes), eight),
                          vsubq_s8(high_nibbles(bytes), eight), widen(block->d), 0};
}

INLINE_NEON struct plain plain_q4_1(const void *data)
{
    const struct sl_block_q4_1 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    return (struct plain){low_nibbles(bytes), high_nibbles(bytes), widen(block->d),
                          widen(block->m)};
}

INLINE_NEON struct plain plain_q5_0(const void *data)
{
    const struct sl_block_q5_0 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    const int8x16_t sixteen = vdupq_n_s8(16);
    return (struct plain){
        vsubq_s8(vorrq_s8(low_nibbles(bytes), fifth_bits(block->high)), sixteen),
        vsubq_s8(vorrq_s8(high_nibbles(bytes), fifth_bits(block->high + 2)), sixteen),
        widen(block->d), 0};
}

INLINE_NEON struct plain plain_q5_1(const void *data)
{
    const struct sl_block_q5_1 *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    return (struct plain){vorrq_s8(low_nibbles(bytes), fifth_bits(block->high)),
                          vorrq_s8(high_nibbles(bytes), fifth_bits(block->high + 2)),
                          widen(block->d), widen(block->m)};
}

INLINE_NEON struct plain plain_q8_0(const void *data)
{
    const struct sl_block_q8_0 *block = data;
    return (struct plain){vld1q_s8(block->q), vld1q_s8(block->q + 16), widen(block->d), 0};
}

INLINE_NEON struct plain plain_iq4_nl(const void *data)
{
    const struct sl_block_iq4_nl *block = data;
    const uint8x16_t bytes = vld1q_u8(block->q);
    const int8x16_t values = vld1q_s8(sl_iq4_values);
    return (struct plain){vqtbl1q_s8(values, vreinterpretq_u8_s8(low_nibbles(bytes))),
                          vqtbl1q_s8(values, vreinterpretq_u8_s8(high_nibbles(bytes))),
                          widen(block->d), 0};
}

/* ---- super-blocks ---- */

INLINE_NEON void k_scales(const uint8_t *packed, float d, float dmin, struct sl_codes *out)
{
    uint8_t scales[8], mins[8];
    sl_k_scales_unpack(packed, scales, mins);
    for (size_t i = 0; i < 16; i++) {
        out->scale[i] = d * (float)scales[i / 2];
        out->min[i] = -dmin * (float)mins[i / 2];
    }
}

static inline void super_q4_k(const void *data, struct sl_codes *out)
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
INLINE_NEON int8x16_t bit_as_16(uint8x16_t bytes, int idx)
{
    const uint8x16_t bit = vshlq_u8(bytes, vdupq_n_s8((int8_t)(4 - idx)));
    return vreinterpretq_s8_u8(vandq_u8(bit, vdupq_n_u8(16)));
}

static inline void super_q5_k(const void *data, struct sl_codes *out)
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
INLINE_NEON int8x16_t two_bits_as_16(uint8x16_t bytes, int idx)
{
    const uint8x16_t bits = vshlq_u8(bytes, vdupq_n_s8((int8_t)(4 - 2 * idx)));
    return vreinterpretq_s8_u8(vandq_u8(bits, vdupq_n_u8(0x30)));
}

static inline void super_q6_k(const void *data, struct sl_codes *out)
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

static inline void super_q2_k(const void *data, struct sl_codes *out)
{
    sl_codes_unpack[SL_TYPE_Q2_K](data, out);
}

static inline void super_q3_k(const void *data, struct sl_codes *out)
{
    sl_codes_unpack[SL_TYPE_Q3_K](data, out);
}

static inline void super_iq4_xs(const void *data, struct sl_codes *out)
{
    sl_codes_unpack[SL_TYPE_IQ4_XS](data, out);
}

#endif

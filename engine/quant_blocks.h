/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensor types of GGUF files: their numbers, the layout of their blocks, and how a row becomes
 * floats. Layouts are those of ggml (ggml/src/ggml-common.h, docs/gguf.md), little-endian, packed:
 * a block has no alignment beyond that of its first member, and rows follow each other gaplessly.
 *
 * In every comment `w` is the weight a block stands for, `d` a scale, `m` an offset, `q` an
 * unsigned code. "Sub-block" is a run of 16 or 32 weights of a 256-weight block with its own scale.
 *
 *     const struct sl_type_traits *traits = sl_type_traits(SL_TYPE_Q4_0);   // NULL: unknown type
 *     traits->dequantize(row, floats, columns);
 *
 * Threads: pure functions and constant tables.
 */
#ifndef SLUICE_ENGINE_QUANT_BLOCKS_H
#define SLUICE_ENGINE_QUANT_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum sl_tensor_type {
    SL_TYPE_F32 = 0,
    SL_TYPE_F16 = 1,
    SL_TYPE_Q4_0 = 2,
    SL_TYPE_Q4_1 = 3,
    SL_TYPE_Q5_0 = 6,
    SL_TYPE_Q5_1 = 7,
    SL_TYPE_Q8_0 = 8,
    SL_TYPE_Q8_1 = 9, /* only ever activations; named so that messages can say it */
    SL_TYPE_Q2_K = 10,
    SL_TYPE_Q3_K = 11,
    SL_TYPE_Q4_K = 12,
    SL_TYPE_Q5_K = 13,
    SL_TYPE_Q6_K = 14,
    SL_TYPE_Q8_K = 15, /* as Q8_1 */
    SL_TYPE_IQ4_NL = 20,
    SL_TYPE_IQ4_XS = 23,
    SL_TYPE_BF16 = 30,
    SL_TYPE_COUNT = 31
};

#define SL_BLOCK 32        /* weights in a plain block */
#define SL_SUPER_BLOCK 256 /* weights in a K or IQ4_XS block */

/* IEEE half, as stored. A struct of its own so that it is never mixed up with a number. */
typedef uint16_t sl_f16;
typedef uint16_t sl_bf16;

struct sl_block_q4_0 { /* w = d * (q - 8) */
    sl_f16 d;
    uint8_t q[16]; /* low nibbles: weights 0..15, high: 16..31 */
};

struct sl_block_q4_1 { /* w = d * q + m */
    sl_f16 d, m;
    uint8_t q[16];
};

struct sl_block_q5_0 { /* w = d * (q - 16) */
    sl_f16 d;
    uint8_t high[4]; /* bit i is bit 4 of code i */
    uint8_t q[16];
};

struct sl_block_q5_1 { /* w = d * q + m */
    sl_f16 d, m;
    uint8_t high[4];
    uint8_t q[16];
};

struct sl_block_q8_0 { /* w = d * q */
    sl_f16 d;
    int8_t q[32];
};

struct sl_block_q2_k {  /* w = d * scale * q - dmin * min, sub-blocks of 16 */
    uint8_t scales[16]; /* low nibble: scale, high: min */
    uint8_t q[64];      /* two bits a code: 32 bytes hold 128 weights, shift 0, 2, 4, 6 */
    sl_f16 d, dmin;
};

struct sl_block_q3_k { /* w = d * (scale - 32) * (q - 4), sub-blocks of 16 */
    uint8_t high[32];  /* bit j of byte i is bit 2 of code 32*j + i */
    uint8_t q[64];     /* as Q2_K */
    uint8_t scales[12]; /* sixteen 6-bit scales: low nibbles in 0..7, top bits in 8..11 */
    sl_f16 d;
};

struct sl_block_q4_k { /* w = d * scale * q - dmin * min, sub-blocks of 32 */
    sl_f16 d, dmin;
    uint8_t scales[12]; /* eight 6-bit scales and mins, see sl_k_scales_unpack */
    uint8_t q[128];     /* 32 bytes hold 64 weights: low nibbles first */
};

struct sl_block_q5_k { /* as Q4_K with five bits a code */
    sl_f16 d, dmin;
    uint8_t scales[12];
    uint8_t high[32]; /* bit j of byte i is bit 4 of code 32*j + i */
    uint8_t q[128];
};

struct sl_block_q6_k { /* w = d * scale * (q - 32), sub-blocks of 16 */
    uint8_t low[128];  /* low nibbles; 64 bytes hold 128 weights */
    uint8_t high[64];  /* top two bits; 32 bytes hold 128 weights */
    int8_t scales[16];
    sl_f16 d;
};

struct sl_block_iq4_nl { /* w = d * sl_iq4_values[q] */
    sl_f16 d;
    uint8_t q[16];
};

struct sl_block_iq4_xs { /* w = d * (scale - 32) * sl_iq4_values[q], sub-blocks of 32 */
    sl_f16 d;
    uint16_t scales_high; /* top two bits of eight 6-bit scales */
    uint8_t scales_low[4]; /* low nibbles of them */
    uint8_t q[128];        /* 16 bytes hold 32 weights: low nibbles first */
};

_Static_assert(sizeof(struct sl_block_q4_0) == 18, "layout of Q4_0");
_Static_assert(sizeof(struct sl_block_q4_1) == 20, "layout of Q4_1");
_Static_assert(sizeof(struct sl_block_q5_0) == 22, "layout of Q5_0");
_Static_assert(sizeof(struct sl_block_q5_1) == 24, "layout of Q5_1");
_Static_assert(sizeof(struct sl_block_q8_0) == 34, "layout of Q8_0");
_Static_assert(sizeof(struct sl_block_q2_k) == 84, "layout of Q2_K");
_Static_assert(sizeof(struct sl_block_q3_k) == 110, "layout of Q3_K");
_Static_assert(sizeof(struct sl_block_q4_k) == 144, "layout of Q4_K");
_Static_assert(sizeof(struct sl_block_q5_k) == 176, "layout of Q5_K");
_Static_assert(sizeof(struct sl_block_q6_k) == 210, "layout of Q6_K");
_Static_assert(sizeof(struct sl_block_iq4_nl) == 18, "layout of IQ4_NL");
_Static_assert(sizeof(struct sl_block_iq4_xs) == 136, "layout of IQ4_XS");

/* The sixteen steps of the IQ4 types. */
extern const int8_t sl_iq4_values[16];

typedef void sl_dequantize_fn(const void *row, float *out, size_t columns);

struct sl_type_traits {
    const char *name;      /* as published, "Q4_K" */
    uint32_t block_size;   /* weights */
    uint32_t block_bytes;
    bool is_quantized;     /* weights are codes; activations are quantized to 8 bits to meet them */
    bool has_min;          /* a block has an offset beside its scale */
    sl_dequantize_fn *dequantize; /* exact: the float32 values that the format defines */
};

/* NULL for a type that Sluice does not read. */
const struct sl_type_traits *sl_type_traits(uint32_t type);
/* "Q4_K"; "an unknown type" for what is not in the table: for messages. */
const char *sl_type_name(uint32_t type);
/* Bytes of a row; `columns` must be a multiple of the block size. */
size_t sl_type_row_bytes(uint32_t type, size_t columns);

/* ---- scalar conversions, exact ---- */

static inline float sl_f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t sl_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float sl_f16_to_f32(sl_f16 half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) /* infinity and NaN */
        return sl_f32_from_bits(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude >= 0x400u) /* normal: rebias the exponent from 15 to 127 */
        return sl_f32_from_bits(sign | ((magnitude << 13) + (112u << 23)));
    /* subnormal: magnitude * 2^-24, exact in float */
    const float value = (float)magnitude * 0x1p-24f;
    return sign != 0 ? -value : value;
}

/* Round to nearest, ties to even; overflow becomes infinity. */
static inline sl_f16 sl_f16_from_f32(float value)
{
    const uint32_t bits = sl_f32_bits(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) /* NaN, kept quiet */
        return (sl_f16)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
        return (sl_f16)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: 0.5 more leaves the code in the low bits */
        const float shifted = sl_f32_from_bits(magnitude) + 0.5f;
        return (sl_f16)(sign | (uint16_t)(sl_f32_bits(shifted) - 0x3f000000u));
    }
    const uint32_t odd = magnitude >> 13 & 1u;
    return (sl_f16)(sign | (uint16_t)((magnitude - (112u << 23) + 0xfffu + odd) >> 13));
}

static inline float sl_bf16_to_f32(sl_bf16 value)
{
    return sl_f32_from_bits((uint32_t)value << 16);
}

static inline sl_bf16 sl_bf16_from_f32(float value)
{
    const uint32_t bits = sl_f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (sl_bf16)(bits >> 16 | 0x40u);
    return (sl_bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* The eight 6-bit scales and mins of Q4_K and Q5_K. Bytes 0..3 and 4..7 hold the first four of
 * each in their low six bits; the top two bits of those are bits 4..5 of the last four, whose low
 * nibbles are in bytes 8..11 (scale low, min high). */
static inline void sl_k_scales_unpack(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8])
{
    uint32_t a, b, c;
    memcpy(&a, packed, 4);
    memcpy(&b, packed + 4, 4);
    memcpy(&c, packed + 8, 4);
    const uint32_t scale_low = a & 0x3f3f3f3fu;
    const uint32_t min_low = b & 0x3f3f3f3fu;
    const uint32_t scale_high = (c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u);
    const uint32_t min_high = (c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u);
    memcpy(scales, &scale_low, 4);
    memcpy(scales + 4, &scale_high, 4);
    memcpy(mins, &min_low, 4);
    memcpy(mins + 4, &min_high, 4);
}

/* The sixteen 6-bit scales of Q3_K, still offset by 32. */
static inline void sl_q3_k_scales_unpack(const uint8_t packed[12], uint8_t scales[16])
{
    uint32_t low[2], high;
    memcpy(low, packed, 8);
    memcpy(&high, packed + 8, 4);
    for (uint32_t group = 0; group < 4; group++) {
        const uint32_t nibbles = low[group & 1] >> (4 * (group >> 1)) & 0x0f0f0f0fu;
        const uint32_t tops = (high >> (2 * group) & 0x03030303u) << 4;
        const uint32_t four = nibbles | tops;
        memcpy(scales + 4 * (size_t)group, &four, 4);
    }
}

/* Scale `idx` of an IQ4_XS block, still offset by 32. */
static inline uint32_t sl_iq4_xs_scale(const struct sl_block_iq4_xs *block, uint32_t idx)
{
    const uint32_t low = block->scales_low[idx / 2] >> (4 * (idx & 1)) & 15u;
    return low | (block->scales_high >> (2 * idx) & 3u) << 4;
}

#endif

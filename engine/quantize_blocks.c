/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats to blocks. Plain blocks follow ggml's reference to the byte, so that files can be compared
 * with those that llama-quantize made. Super-blocks leave freedom (which scale, which minimum);
 * here it goes into a search: for each sub-block some candidate scales give codes, the codes give
 * the best scale and minimum by weighted least squares, and the smallest error wins. Then
 * scales are quantized themselves and the codes are taken once more with what remains of them.
 *
 * Weights of the squares: large values matter more in a product, x^2 among them, smaller ones by
 * the sub-block's mean.
 *
 * Threads: pure functions.
 */
#include "quantize_blocks.h"

#include <math.h>

#define CANDIDATES 20       /* scales tried on either side of the obvious one */
#define CANDIDATE_STEP 0.1f /* of a code: the largest value moves by that much */

/* ---- plain blocks ---- */

static float clampf(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* The value of the largest magnitude, with its sign. */
static float extreme(const float *x, size_t n)
{
    float found = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(found))
            found = x[i];
    return found;
}

static void range_of(const float *x, size_t n, float *low, float *high)
{
    *low = *high = x[0];
    for (size_t i = 1; i < n; i++) {
        *low = x[i] < *low ? x[i] : *low;
        *high = x[i] > *high ? x[i] : *high;
    }
}

static float inverse_of(float d)
{
    return d != 0 ? 1.0f / d : 0.0f;
}

/* Codes 0 to `top` of (x - low) / d, half up. */
static void plain_codes(const float *x, float low, float inverse, float bias, int top,
                        uint8_t code[SL_BLOCK])
{
    for (size_t i = 0; i < SL_BLOCK; i++) {
        const int value = (int)((x[i] - low) * inverse + bias);
        code[i] = (uint8_t)(value > top ? top : value < 0 ? 0 : value);
    }
}

static void pack_nibbles(const uint8_t code[SL_BLOCK], uint8_t q[16])
{
    for (size_t i = 0; i < 16; i++)
        q[i] = (uint8_t)((code[i] & 15) | (code[i + 16] & 15) << 4);
}

static void pack_fifth_bits(const uint8_t code[SL_BLOCK], uint8_t high[4])
{
    memset(high, 0, 4);
    for (size_t i = 0; i < SL_BLOCK; i++)
        high[i / 8] = (uint8_t)(high[i / 8] | (code[i] >> 4 & 1) << (i % 8));
}

static void write_q4_0(const float *x, void *out)
{
    struct sl_block_q4_0 *block = out;
    uint8_t code[SL_BLOCK];
    const float d = extreme(x, SL_BLOCK) / -8;
    block->d = sl_f16_from_f32(d);
    plain_codes(x, 0, inverse_of(d), 8.5f, 15, code);
    pack_nibbles(code, block->q);
}

static void write_q4_1(const float *x, void *out)
{
    struct sl_block_q4_1 *block = out;
    uint8_t code[SL_BLOCK];
    float low, high;
    range_of(x, SL_BLOCK, &low, &high);
    const float d = (high - low) / 15;
    block->d = sl_f16_from_f32(d);
    block->m = sl_f16_from_f32(low);
    plain_codes(x, low, inverse_of(d), 0.5f, 15, code);
    pack_nibbles(code, block->q);
}

static void write_q5_0(const float *x, void *out)
{
    struct sl_block_q5_0 *block = out;
    uint8_t code[SL_BLOCK];
    const float d = extreme(x, SL_BLOCK) / -16;
    block->d = sl_f16_from_f32(d);
    plain_codes(x, 0, inverse_of(d), 16.5f, 31, code);
    pack_nibbles(code, block->q);
    pack_fifth_bits(code, block->high);
}

static void write_q5_1(const float *x, void *out)
{
    struct sl_block_q5_1 *block = out;
    uint8_t code[SL_BLOCK];
    float low, high;
    range_of(x, SL_BLOCK, &low, &high);
    const float d = (high - low) / 31;
    block->d = sl_f16_from_f32(d);
    block->m = sl_f16_from_f32(low);
    plain_codes(x, low, inverse_of(d), 0.5f, 31, code);
    pack_nibbles(code, block->q);
    pack_fifth_bits(code, block->high);
}

static void write_q8_0(const float *x, void *out)
{
    struct sl_block_q8_0 *block = out;
    const float d = fabsf(extreme(x, SL_BLOCK)) / 127;
    const float inverse = inverse_of(d);
    block->d = sl_f16_from_f32(d);
    for (size_t i = 0; i < SL_BLOCK; i++)
        block->q[i] = (int8_t)roundf(x[i] * inverse);
}

/* ---- fitting a sub-block ---- */

struct fit {
    float scale;
    float min; /* w = scale * code + min; min <= 0 */
};

static void weigh(const float *x, size_t n, float *weight)
{
    float squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += x[i] * x[i];
    const float mean = sqrtf(squares / (float)n);
    for (size_t i = 0; i < n; i++)
        weight[i] = mean + fabsf(x[i]);
}

/* Best scale and minimum for given codes (0 and up), and the squared error they leave. */
static struct fit solve_affine(const float *x, const float *weight, const float *code, size_t n,
                               float *error)
{
    float w = 0, wq = 0, wqq = 0, wx = 0, wqx = 0;
    for (size_t i = 0; i < n; i++) {
        w += weight[i];
        wq += weight[i] * code[i];
        wqq += weight[i] * code[i] * code[i];
        wx += weight[i] * x[i];
        wqx += weight[i] * code[i] * x[i];
    }
    struct fit fit = {0, 0};
    const float determinant = w * wqq - wq * wq;
    if (determinant > 0) {
        fit.scale = (w * wqx - wq * wx) / determinant;
        fit.min = (wqq * wx - wq * wqx) / determinant;
    }
    if (fit.min > 0 || determinant <= 0) { /* the format only subtracts */
        fit.min = 0;
        fit.scale = wqq > 0 ? wqx / wqq : 0;
    }
    *error = 0;
    for (size_t i = 0; i < n; i++) {
        const float miss = fit.scale * code[i] + fit.min - x[i];
        *error += weight[i] * miss * miss;
    }
    return fit;
}

/* The affine fit of a sub-block with codes 0 to `top`. */
static struct fit fit_affine(const float *x, size_t n, float top)
{
    float weight[SL_BLOCK], code[SL_BLOCK], low, high, best_error = INFINITY;
    struct fit best = {0, 0};
    weigh(x, n, weight);
    range_of(x, n, &low, &high);
    low = low < 0 ? low : 0;
    if (high <= low)
        return (struct fit){0, low};
    for (int step = -CANDIDATES / 2; step <= CANDIDATES; step++) {
        const float inverse = (top + CANDIDATE_STEP * (float)step) / (high - low);
        float error;
        for (size_t i = 0; i < n; i++)
            code[i] = clampf(rintf((x[i] - low) * inverse), 0, top);
        const struct fit fit = solve_affine(x, weight, code, n, &error);
        if (error < best_error && fit.scale >= 0) {
            best_error = error;
            best = fit;
        }
    }
    return best;
}

/* The scale of a run with codes `bottom` (negative) to `top` and no minimum. Either sign: the side
 * that reaches further gets the code that reaches further. */
static float fit_symmetric(const float *x, size_t n, float bottom, float top)
{
    float weight[SL_BLOCK];
    const float largest = extreme(x, n);
    float best = 0, best_gain = 0;
    if (largest == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        weight[i] = x[i] * x[i];
    for (int step = -CANDIDATES / 2; step <= CANDIDATES / 2; step++) {
        const float inverse = (bottom + CANDIDATE_STEP * (float)step) / largest;
        float wqq = 0, wqx = 0;
        for (size_t i = 0; i < n; i++) {
            const float code = clampf(rintf(x[i] * inverse), bottom, top);
            wqq += weight[i] * code * code;
            wqx += weight[i] * code * x[i];
        }
        /* The error is a constant less this gain. */
        if (wqq > 0 && wqx * wqx > best_gain * wqq) {
            best_gain = wqx * wqx / wqq;
            best = wqx / wqq;
        }
    }
    return best;
}

/* ---- super-blocks ---- */

/* Rounded integer scales of the sub-blocks and the float that multiplies them all. */
static float quantize_scales(const float *scales, size_t count, float top, uint8_t *out, sl_f16 *d)
{
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = scales[i] > largest ? scales[i] : largest;
    const float inverse = largest > 0 ? top / largest : 0;
    *d = sl_f16_from_f32(largest / top);
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)clampf(rintf(scales[i] * inverse), 0, top);
    return sl_f16_to_f32(*d);
}

/* Signed scales, -`reach` to `reach` - 1: the largest in magnitude gets -reach. */
static float quantize_signed_scales(const float *scales, size_t count, float reach, int8_t *out,
                                    sl_f16 *d)
{
    const float largest = extreme(scales, count);
    const float inverse = largest != 0 ? -reach / largest : 0;
    *d = sl_f16_from_f32(-largest / reach);
    for (size_t i = 0; i < count; i++)
        out[i] = (int8_t)clampf(rintf(scales[i] * inverse), -reach, reach - 1);
    return sl_f16_to_f32(*d);
}

/* Final codes of a sub-block for the scale and minimum that were stored. */
static void final_codes(const float *x, size_t n, float scale, float min, float bottom, float top,
                        int8_t *code)
{
    const float inverse = inverse_of(scale);
    for (size_t i = 0; i < n; i++)
        code[i] = (int8_t)clampf(rintf((x[i] - min) * inverse), bottom, top);
}

/* What Q2_K, Q4_K and Q5_K share: `sub` weights a sub-block, codes to `top`, integer scales and
 * minimums to `scale_top`. */
static void affine_super(const float *x, size_t sub, float top, float scale_top, sl_f16 *d,
                         sl_f16 *dmin, uint8_t *scales, uint8_t *mins, int8_t *code)
{
    const size_t count = SL_SUPER_BLOCK / sub;
    float fit_scales[16] = {0}, fit_mins[16] = {0};
    for (size_t i = 0; i < count; i++) {
        const struct fit fit = fit_affine(x + i * sub, sub, top);
        fit_scales[i] = fit.scale;
        fit_mins[i] = -fit.min;
    }
    const float scale = quantize_scales(fit_scales, count, scale_top, scales, d);
    const float min = quantize_scales(fit_mins, count, scale_top, mins, dmin);
    for (size_t i = 0; i < count; i++)
        final_codes(x + i * sub, sub, scale * (float)scales[i], -min * (float)mins[i], 0, top,
                    code + i * sub);
}

static void write_q2_k(const float *x, void *out)
{
    struct sl_block_q2_k *block = out;
    uint8_t scales[16], mins[16];
    int8_t code[SL_SUPER_BLOCK];
    affine_super(x, 16, 3, 15, &block->d, &block->dmin, scales, mins, code);
    for (size_t i = 0; i < 16; i++)
        block->scales[i] = (uint8_t)(scales[i] | mins[i] << 4);
    memset(block->q, 0, sizeof block->q);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        block->q[i / 128 * 32 + i % 32] |= (uint8_t)(code[i] << (i / 32 % 4 * 2));
}

static void write_q3_k(const float *x, void *out)
{
    struct sl_block_q3_k *block = out;
    float fits[16];
    int8_t scales[16], code[SL_SUPER_BLOCK];
    for (size_t i = 0; i < 16; i++)
        fits[i] = fit_symmetric(x + 16 * i, 16, -4, 3);
    const float d = quantize_signed_scales(fits, 16, 32, scales, &block->d);
    for (size_t i = 0; i < 16; i++)
        final_codes(x + 16 * i, 16, d * (float)scales[i], 0, -4, 3, code + 16 * i);
    memset(block->scales, 0, sizeof block->scales);
    for (size_t i = 0; i < 16; i++) { /* the inverse of sl_q3_k_scales_unpack */
        const uint8_t scale = (uint8_t)(scales[i] + 32);
        block->scales[i % 8] |= (uint8_t)((scale & 15) << (i / 8 * 4));
        block->scales[8 + i % 4] |= (uint8_t)((scale >> 4) << (i / 4 * 2));
    }
    memset(block->q, 0, sizeof block->q);
    memset(block->high, 0, sizeof block->high);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++) {
        const uint8_t value = (uint8_t)(code[i] + 4);
        block->q[i / 128 * 32 + i % 32] |= (uint8_t)((value & 3) << (i / 32 % 4 * 2));
        block->high[i % 32] |= (uint8_t)((value >> 2) << (i / 32));
    }
}

/* The inverse of sl_k_scales_unpack. */
static void pack_k_scales(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12])
{
    for (size_t i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(scales[i] | (scales[i + 4] >> 4) << 6);
        packed[i + 4] = (uint8_t)(mins[i] | (mins[i + 4] >> 4) << 6);
        packed[i + 8] = (uint8_t)((scales[i + 4] & 15) | (mins[i + 4] & 15) << 4);
    }
}

static void pack_k_nibbles(const int8_t code[SL_SUPER_BLOCK], uint8_t q[128])
{
    memset(q, 0, 128);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        q[i / 64 * 32 + i % 32] |= (uint8_t)((code[i] & 15) << (i / 32 % 2 * 4));
}

static void write_q4_k(const float *x, void *out)
{
    struct sl_block_q4_k *block = out;
    uint8_t scales[8], mins[8];
    int8_t code[SL_SUPER_BLOCK];
    affine_super(x, 32, 15, 63, &block->d, &block->dmin, scales, mins, code);
    pack_k_scales(scales, mins, block->scales);
    pack_k_nibbles(code, block->q);
}

static void write_q5_k(const float *x, void *out)
{
    struct sl_block_q5_k *block = out;
    uint8_t scales[8], mins[8];
    int8_t code[SL_SUPER_BLOCK];
    affine_super(x, 32, 31, 63, &block->d, &block->dmin, scales, mins, code);
    pack_k_scales(scales, mins, block->scales);
    pack_k_nibbles(code, block->q);
    memset(block->high, 0, sizeof block->high);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++)
        block->high[i % 32] |= (uint8_t)((code[i] >> 4) << (i / 32));
}

static void write_q6_k(const float *x, void *out)
{
    struct sl_block_q6_k *block = out;
    float fits[16];
    int8_t code[SL_SUPER_BLOCK];
    for (size_t i = 0; i < 16; i++)
        fits[i] = fit_symmetric(x + 16 * i, 16, -32, 31);
    const float d = quantize_signed_scales(fits, 16, 128, block->scales, &block->d);
    for (size_t i = 0; i < 16; i++)
        final_codes(x + 16 * i, 16, d * (float)block->scales[i], 0, -32, 31, code + 16 * i);
    memset(block->low, 0, sizeof block->low);
    memset(block->high, 0, sizeof block->high);
    for (size_t i = 0; i < SL_SUPER_BLOCK; i++) {
        const uint8_t value = (uint8_t)(code[i] + 32);
        block->low[i / 128 * 64 + i % 64] |= (uint8_t)((value & 15) << (i / 64 % 2 * 4));
        block->high[i / 128 * 32 + i % 32] |= (uint8_t)((value >> 4) << (i / 32 % 4 * 2));
    }
}

/* ---- rows ---- */

typedef void write_fn(const float *x, void *out);

static write_fn *const writers[SL_TYPE_COUNT] = {
    [SL_TYPE_Q4_0] = write_q4_0, [SL_TYPE_Q4_1] = write_q4_1, [SL_TYPE_Q5_0] = write_q5_0,
    [SL_TYPE_Q5_1] = write_q5_1, [SL_TYPE_Q8_0] = write_q8_0, [SL_TYPE_Q2_K] = write_q2_k,
    [SL_TYPE_Q3_K] = write_q3_k, [SL_TYPE_Q4_K] = write_q4_k, [SL_TYPE_Q5_K] = write_q5_k,
    [SL_TYPE_Q6_K] = write_q6_k,
};

static bool is_float(enum sl_tensor_type type)
{
    return type == SL_TYPE_F32 || type == SL_TYPE_F16 || type == SL_TYPE_BF16;
}

bool sl_quantize_can_write(enum sl_tensor_type type)
{
    return is_float(type) || (type < SL_TYPE_COUNT && writers[type] != NULL);
}

bool sl_quantize_row(enum sl_tensor_type type, const float *x, void *out, size_t columns)
{
    if (!sl_quantize_can_write(type))
        return false;
    if (type == SL_TYPE_F32)
        memcpy(out, x, columns * sizeof *x);
    else if (is_float(type))
        for (size_t i = 0; i < columns; i++)
            ((uint16_t *)out)[i] =
                type == SL_TYPE_F16 ? sl_f16_from_f32(x[i]) : sl_bf16_from_f32(x[i]);
    else {
        const struct sl_type_traits *traits = sl_type_traits(type);
        uint8_t *block = out;
        for (size_t i = 0; i < columns; i += traits->block_size, block += traits->block_bytes)
            writers[type](x + i, block);
    }
    return true;
}

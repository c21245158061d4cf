/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations on rows of floats, once for every SIMD width: GCC's and Clang's vector types, so
 * that the text is the same and the compiler picks the instructions. Included by one file per CPU,
 * after that file defined
 *
 *     VF_LANES                      floats in a register: 4, 8 or 16
 *     vf_load_f16(const sl_f16 *)   VF_LANES halves, widened
 *     vf_store_f16(sl_f16 *, vf)    the other way, ties to even
 *     vf_sum(vf), vf_largest(vf)    across lanes: every CPU has its own shuffles
 *     VF_EXP, VF_QUANTIZE, VF_TRANSPOSE   optional: the file has vf_exp, a quantize, vf_transpose
 *
 * Rows of any length: the rest of a row is copied through a register-sized buffer, so that the last
 * lanes see the same arithmetic as the others. These files are compiled with -ffp-contract=fast:
 * a * b + c is one rounding.
 *
 * Error budgets against the reference are in tests/unit/engine/test_kernels.c.
 */
#ifndef SLUICE_ENGINE_KERNELS_VECTOR_H
#define SLUICE_ENGINE_KERNELS_VECTOR_H

#include "kernels_matmul.h"

#include <math.h>

typedef float vf __attribute__((vector_size(VF_LANES * 4)));
typedef int32_t vi __attribute__((vector_size(VF_LANES * 4)));
typedef float vf_any __attribute__((vector_size(VF_LANES * 4), aligned(4), may_alias));

static inline vf vf_load_f16(const sl_f16 *x);
static inline void vf_store_f16(sl_f16 *out, vf x);
static inline float vf_sum(vf x);
static inline float vf_largest(vf x);

#define INLINE static inline __attribute__((always_inline))

INLINE vf vf_load(const float *x)
{
    return *(const vf_any *)x;
}

INLINE void vf_store(float *out, vf x)
{
    *(vf_any *)out = x;
}

INLINE vf vf_set(float x)
{
    return x - (vf){0};
}

/* The first n < VF_LANES floats, the rest `fill`. */
static inline vf vf_load_some(const float *x, size_t n, float fill)
{
    vf value = vf_set(fill);
    memcpy(&value, x, n * sizeof *x);
    return value;
}

INLINE vf vf_select(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

INLINE vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}

INLINE vf vf_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

#ifdef VF_EXP
static inline vf vf_exp(vf x);
#else
/* e^x within 2 units in the last place; 0 below -87.3, where the result would be subnormal, and
 * infinity above 88.7. x = n ln 2 + r with |r| <= ln 2 / 2; the polynomial is e^r's (Cephes). */
static inline vf vf_exp(vf x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const vf above = vf_select(x < -87.3f, vf_set(-87.3f), x);
    const vf clamped = vf_select(x > 88.7f, vf_set(88.7f), above);
    const vf shifted = clamped * 1.44269504f + magic;
    const vf n = shifted - magic;
    const vf r = clamped - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    /* Times 2^n in two steps: n = 128 has no exponent of its own. */
    const vi exponent = (vi)shifted - 0x4b400000;
    const vi half = exponent >> 1;
    const vf scaled = p * (vf)((half + 127) << 23) * (vf)((exponent - half + 127) << 23);
    const vf bounded = vf_select(x > 88.7228f, vf_set(INFINITY), scaled);
    const vf result = vf_select(x < -87.3f, vf_set(0), bounded);
    return vf_select(x == x, result, x); /* NaN stays */
}
#endif

INLINE vf vf_sigmoid(vf x)
{
    return 1.0f / (1.0f + vf_exp(-x));
}

/* ---- rows ---- */

/* Applies EXPRESSION of `a` (and `b`) to rows of n floats. */
#define ROW_LOOP(out, n, a_row, b_row, EXPRESSION)                                                 \
    do {                                                                                           \
        size_t i_ = 0;                                                                             \
        for (; i_ + VF_LANES <= (n); i_ += VF_LANES) {                                             \
            const vf a = vf_load((a_row) + i_), b = vf_load((b_row) + i_);                         \
            (void)b;                                                                               \
            vf_store((out) + i_, (EXPRESSION));                                                    \
        }                                                                                          \
        if (i_ < (n)) {                                                                            \
            const vf a = vf_load_some((a_row) + i_, (n) - i_, 0);                                  \
            const vf b = vf_load_some((b_row) + i_, (n) - i_, 0);                                  \
            (void)b;                                                                               \
            const vf result_ = (EXPRESSION);                                                       \
            memcpy((out) + i_, &result_, ((n) - i_) * sizeof(float));                              \
        }                                                                                          \
    } while (0)

static float vector_dot(const float *a, const float *b, size_t n)
{
    vf sum[4] = {{0}};
    size_t i = 0;
    for (; i + 4 * VF_LANES <= n; i += 4 * VF_LANES)
        for (int j = 0; j < 4; j++)
            sum[j] += vf_load(a + i + j * VF_LANES) * vf_load(b + i + j * VF_LANES);
    for (; i + VF_LANES <= n; i += VF_LANES)
        sum[0] += vf_load(a + i) * vf_load(b + i);
    if (i < n)
        sum[1] += vf_load_some(a + i, n - i, 0) * vf_load_some(b + i, n - i, 0);
    return vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void vector_add(float *out, const float *a_row, const float *b_row, size_t n)
{
    ROW_LOOP(out, n, a_row, b_row, a + b);
}

static void vector_mul(float *out, const float *a_row, const float *b_row, size_t n)
{
    ROW_LOOP(out, n, a_row, b_row, a * b);
}

static void vector_scale(float *out, const float *x, float factor, size_t n)
{
    ROW_LOOP(out, n, x, x, a * factor);
}

static void vector_rms_norm(float *out, const float *x, const float *weight, size_t n, float eps)
{
    const float factor = 1.0f / sqrtf(vector_dot(x, x, n) / (float)n + eps);
    if (weight != NULL)
        ROW_LOOP(out, n, x, weight, a * factor * b);
    else
        ROW_LOOP(out, n, x, x, a * factor);
}

static float row_sum(const float *x, size_t n)
{
    vf sum = {0};
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        sum += vf_load(x + i);
    return vf_sum(i < n ? sum + vf_load_some(x + i, n - i, 0) : sum);
}

static void vector_layer_norm(float *out, const float *x, const float *weight, const float *bias,
                              size_t n, float eps)
{
    const float mean = row_sum(x, n) / (float)n;
    ROW_LOOP(out, n, x, x, a - mean);
    const float factor = 1.0f / sqrtf(vector_dot(out, out, n) / (float)n + eps);
    if (weight != NULL)
        ROW_LOOP(out, n, out, weight, a * factor * b);
    else
        ROW_LOOP(out, n, out, out, a * factor);
    if (bias != NULL)
        ROW_LOOP(out, n, out, bias, a + b);
}

static void vector_silu_mul(float *out, const float *gate, const float *up, size_t n)
{
    ROW_LOOP(out, n, gate, up, a * vf_sigmoid(a) * b);
}

/* 0.5 x (1 + tanh(u)) is x sigmoid(2u). */
#define GELU(x) ((x) * vf_sigmoid(1.59576912160573f * (x) * (1.0f + 0.044715f * (x) * (x))))

static void vector_gelu_mul(float *out, const float *gate, const float *up, size_t n)
{
    if (up != NULL)
        ROW_LOOP(out, n, gate, up, GELU(a) * b);
    else
        ROW_LOOP(out, n, gate, gate, GELU(a));
}

INLINE vf vf_tanh(vf x)
{
    return 1.0f - 2.0f / (1.0f + vf_exp(2.0f * x));
}

static void vector_softcap(float *out, const float *x, float cap, size_t n)
{
    const float inverse = 1.0f / cap;
    ROW_LOOP(out, n, x, x, cap * vf_tanh(a * inverse));
}

static float vector_largest(const float *x, size_t n)
{
    vf largest = vf_set(-INFINITY);
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        largest = vf_max(vf_load(x + i), largest);
    if (i < n)
        largest = vf_max(vf_load_some(x + i, n - i, -INFINITY), largest);
    return vf_largest(largest);
}

static float vector_exp_sum(const float *x, size_t n, float max, float scale)
{
    vf sum = {0};
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        sum += vf_exp((vf_load(x + i) - max) * scale);
    if (i < n)
        sum += vf_exp((vf_load_some(x + i, n - i, -INFINITY) - max) * scale);
    return vf_sum(sum);
}

static void vector_softmax(float *x, size_t n)
{
    const float largest = vector_largest(x, n);
    ROW_LOOP(x, n, x, x, vf_exp(a - largest));
    vector_scale(x, x, 1.0f / row_sum(x, n), n);
}

static void vector_softmax_moments(const float *x, size_t n, float *max, float *sum,
                                   float *weighted)
{
    const float largest = vector_largest(x, n);
    vf total = {0}, moment = {0};
    for (size_t i = 0; i < n; i += VF_LANES) {
        const vf value = i + VF_LANES <= n ? vf_load(x + i) : vf_load_some(x + i, n - i, -INFINITY);
        const vf below = value - largest;
        const vf e = vf_exp(below);
        total += e;
        moment += vf_select(e > 0.0f, e * below, vf_set(0)); /* -inf times 0 adds nothing */
    }
    *max = largest;
    *sum = vf_sum(total);
    *weighted = vf_sum(moment);
}

static void vector_f32_to_f16(sl_f16 *out, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        vf_store_f16(out + i, vf_load(x + i));
    for (; i < n; i++)
        out[i] = sl_f16_from_f32(x[i]);
}

static void vector_f16_to_f32(float *out, const sl_f16 *x, size_t n)
{
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        vf_store(out + i, vf_load_f16(x + i));
    for (; i < n; i++)
        out[i] = sl_f16_to_f32(x[i]);
}

/* ---- activations ---- */

typedef int8_t v_codes __attribute__((vector_size(VF_LANES), aligned(1), may_alias));
#define BLOCK_VECTORS (SL_BLOCK / VF_LANES)

/* As quantize_block of the reference; a code may differ by one where the product of value and
 * inverse scale, which is not rounded on its own here, falls on a tie. */
static inline float vector_quantize_block(const float *x, int8_t *q, int32_t sums[2])
{
    vf values[BLOCK_VECTORS], largest = {0};
    for (int i = 0; i < BLOCK_VECTORS; i++) {
        values[i] = vf_load(x + i * VF_LANES);
        const vf magnitude = vf_abs(values[i]);
        /* Not a > b: a NaN must win, so that it is seen below. */
        largest = vf_select(magnitude <= largest, largest, magnitude);
    }
    float top = 0;
    for (int i = 0; i < VF_LANES; i++)
        top = largest[i] <= top ? top : largest[i];
    const float d = top / 127.0f;
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    sums[0] = sums[1] = 0;
    if (!(top <= 3.4028234e38f) || !(inverse <= 3.4028234e38f)) {
        memset(q, 0, SL_BLOCK);
        return top <= 3.4028234e38f ? 0.0f : NAN;
    }
    for (int half = 0; half < 2; half++) {
        vi sum = {0};
        for (int i = half * BLOCK_VECTORS / 2; i < (half + 1) * BLOCK_VECTORS / 2; i++) {
            const vi code = (vi)(values[i] * inverse + 12582912.0f) - 0x4b400000; /* 1.5 * 2^23 */
            *(v_codes *)(q + i * VF_LANES) = __builtin_convertvector(code, v_codes);
            sum += code;
        }
        for (int i = 0; i < VF_LANES; i++)
            sums[half] += sum[i];
    }
    return d;
}

static void vector_f32_to_q8_0(struct sl_block_q8_0 *out, const float *x, size_t n)
{
    int32_t sums[2];
    for (size_t i = 0; i < n; i += SL_BLOCK, out++)
        out->d = sl_f16_from_f32(vector_quantize_block(x + i, out->q, sums));
}

#ifndef VF_QUANTIZE
static void vector_quantize(struct sl_activations *activations, uint32_t token)
{
    const float *x = activations->x + token * activations->x_stride;
    int8_t *q = activations->q + token * activations->q_stride;
    float *d = activations->d + token * activations->d_stride;
    float *scaled_sums = activations->sums + token * 2 * activations->d_stride;
    int32_t *offsets = activations->offsets + token * 2 * activations->d_stride;
    const size_t blocks = activations->cols / SL_BLOCK;
    for (size_t block = 0; block < blocks; block++) {
        int32_t sums[2];
        d[block] = vector_quantize_block(x + block * SL_BLOCK, q + block * SL_BLOCK, sums);
        for (size_t half = 0; half < 2; half++) {
            scaled_sums[2 * block + half] = d[block] * (float)sums[half];
            offsets[2 * block + half] = -128 * sums[half];
        }
    }
    memset(q + blocks * SL_BLOCK, 0, activations->q_stride - blocks * SL_BLOCK);
    memset(d + blocks, 0, (activations->d_stride - blocks) * sizeof *d);
    memset(scaled_sums + 2 * blocks, 0, 2 * (activations->d_stride - blocks) * sizeof *d);
    memset(offsets + 2 * blocks, 0, 2 * (activations->d_stride - blocks) * sizeof *offsets);
}
#endif

/* The functions above, as fields of a table. */
#define VECTOR_ROW_KERNELS                                                                         \
    .dot = vector_dot, .add = vector_add, .mul = vector_mul, .scale = vector_scale,                \
    .rms_norm = vector_rms_norm, .layer_norm = vector_layer_norm,                                  \
    .silu_mul = vector_silu_mul, .gelu_mul = vector_gelu_mul, .softcap = vector_softcap,           \
    .largest = vector_largest, .exp_sum = vector_exp_sum, .softmax = vector_softmax,               \
    .softmax_moments = vector_softmax_moments, .f32_to_f16 = vector_f32_to_f16,                    \
    .f16_to_f32 = vector_f16_to_f32, .f32_to_q8_0 = vector_f32_to_q8_0

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference kernels: plain C that says what each operation is. Every other table is tested
 * against this one, and it runs where nothing faster does. Written to be read; the compiler may
 * vectorise what it can.
 *
 * Threads: pure functions.
 */
#include "kernels_matmul.h"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286535588f
#define GELU_CUBIC 0.044715f /* Hendrycks and Gimpel, arXiv 1606.08415, the tanh form */

/* ---- rows of floats ---- */

static float ref_dot(const float *a, const float *b, size_t n)
{
    double sum = 0; /* the reference rounds once */
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

static void ref_add(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void ref_mul(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * b[i];
}

static void ref_scale(float *out, const float *a, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * factor;
}

static void ref_rms_norm(float *out, const float *x, const float *weight, size_t n, float eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    const float factor = 1.0f / sqrtf((float)(sum / (double)n) + eps);
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] * factor * (weight != NULL ? weight[i] : 1.0f);
}

static void ref_layer_norm(float *out, const float *x, const float *weight, const float *bias,
                           size_t n, float eps)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    const float mean = (float)(sum / (double)n);
    for (size_t i = 0; i < n; i++)
        squares += (double)(x[i] - mean) * (double)(x[i] - mean);
    const float factor = 1.0f / sqrtf((float)(squares / (double)n) + eps);
    for (size_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * factor * (weight != NULL ? weight[i] : 1.0f) +
                 (bias != NULL ? bias[i] : 0.0f);
}

static void ref_silu_mul(float *out, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void ref_gelu_mul(float *out, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float x = gate[i];
        const float inner = SQRT_2_OVER_PI * x * (1.0f + GELU_CUBIC * x * x);
        out[i] = 0.5f * x * (1.0f + tanhf(inner)) * (up != NULL ? up[i] : 1.0f);
    }
}

static void ref_softcap(float *out, const float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = cap * tanhf(x[i] / cap);
}

static float max_of(const float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static float ref_exp_sum(const float *x, size_t n, float max, float scale)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)((x[i] - max) * scale));
    return (float)sum;
}

static void ref_softmax(float *x, size_t n)
{
    const float max = max_of(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        sum += (double)x[i];
    }
    const float factor = (float)(1 / sum);
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

static void ref_softmax_moments(const float *x, size_t n, float *max, float *sum, float *weighted)
{
    const float top = max_of(x, n);
    double total = 0, moment = 0;
    for (size_t i = 0; i < n; i++) {
        const double below = (double)(x[i] - top);
        const double e = exp(below);
        total += e;
        if (e > 0) /* a masked logit of -inf adds nothing, not NaN */
            moment += e * below;
    }
    *max = top;
    *sum = (float)total;
    *weighted = (float)moment;
}

void sl_ref_rope(float *x, uint32_t heads, uint32_t head_dim, uint32_t rot_dims,
                 const float *cos_sin, enum sl_rope_style style)
{
    const uint32_t half = rot_dims / 2;
    const uint32_t step = style == SL_ROPE_PAIRS ? 2 : 1;
    const uint32_t apart = style == SL_ROPE_PAIRS ? 1 : half;
    for (uint32_t head = 0; head < heads; head++, x += head_dim)
        for (uint32_t i = 0; i < half; i++) {
            const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
            float *a = x + i * step, *b = a + apart;
            const float x0 = *a, x1 = *b;
            *a = x0 * c - x1 * s;
            *b = x0 * s + x1 * c;
        }
}

static void ref_f32_to_f16(sl_f16 *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sl_f16_from_f32(x[i]);
}

static void ref_f16_to_f32(float *out, const sl_f16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sl_f16_to_f32(x[i]);
}

/* ---- quantized activations ---- */

/* Thirty-two floats to codes of -127..127; returns the scale. The largest magnitude gets code 127;
 * ties round to even. A block that holds NaN or infinity has no scale: its codes are zero, and the
 * scale carries the NaN on. */
float sl_ref_quantize_block(const float *x, int8_t *q)
{
    float largest = 0;
    bool is_finite = true;
    for (size_t i = 0; i < SL_BLOCK; i++) {
        const float magnitude = fabsf(x[i]);
        largest = magnitude > largest ? magnitude : largest;
        is_finite &= magnitude <= 3.4028234e38f;
    }
    const float d = largest / 127.0f;
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    if (!is_finite || !(inverse <= 3.4028234e38f)) { /* also scales too small to have an inverse */
        memset(q, 0, SL_BLOCK);
        return is_finite ? 0.0f : NAN;
    }
    for (size_t i = 0; i < SL_BLOCK; i++)
        q[i] = (int8_t)rintf(x[i] * inverse);
    return d;
}

static void ref_f32_to_q8_0(struct sl_block_q8_0 *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += SL_BLOCK, out++)
        out->d = sl_f16_from_f32(sl_ref_quantize_block(x + i, out->q));
}

void sl_ref_quantize(struct sl_activations *activations, uint32_t token)
{
    const float *x = activations->x + token * activations->x_stride;
    int8_t *q = activations->q + token * activations->q_stride;
    float *d = activations->d + token * activations->d_stride;
    float *sums = activations->sums + token * 2 * activations->d_stride;
    int32_t *offsets = activations->offsets + token * 2 * activations->d_stride;
    const size_t blocks = activations->cols / SL_BLOCK;
    for (size_t block = 0; block < blocks; block++) {
        d[block] = sl_ref_quantize_block(x + block * SL_BLOCK, q + block * SL_BLOCK);
        for (size_t run = 2 * block; run < 2 * block + 2; run++) {
            int32_t sum = 0;
            for (size_t i = 0; i < SL_SUB_BLOCK; i++)
                sum += q[run * SL_SUB_BLOCK + i];
            sums[run] = d[block] * (float)sum;
            offsets[run] = -128 * sum;
        }
    }
    memset(q + blocks * SL_BLOCK, 0, activations->q_stride - blocks * SL_BLOCK);
    memset(d + blocks, 0, (activations->d_stride - blocks) * sizeof *d);
    memset(sums + 2 * blocks, 0, 2 * (activations->d_stride - blocks) * sizeof *sums);
    memset(offsets + 2 * blocks, 0, 2 * (activations->d_stride - blocks) * sizeof *offsets);
}

/* ---- products ---- */

/* One block of weights times the activations of one token from column `col` on. */
static double dot_codes(const struct sl_codes *codes, size_t weights,
                        const struct sl_activations *x, uint32_t token, size_t col)
{
    const int8_t *q = x->q + token * x->q_stride + col;
    const float *d = x->d + token * x->d_stride + col / SL_BLOCK;
    const float *sums = x->sums + token * 2 * x->d_stride + col / SL_SUB_BLOCK;
    double total = 0;
    for (size_t run = 0; run < weights / SL_SUB_BLOCK; run++) {
        int32_t sum = 0;
        for (size_t i = 0; i < SL_SUB_BLOCK; i++)
            sum += codes->code[run * SL_SUB_BLOCK + i] * q[run * SL_SUB_BLOCK + i];
        total += (double)(codes->scale[run] * d[run / 2]) * sum +
                 (double)codes->min[run] * (double)sums[run];
    }
    return total;
}

static void quantized_rows(enum sl_tensor_type type, const uint8_t *weights, size_t row_bytes,
                           uint32_t rows, const struct sl_activations *x, uint32_t first_token,
                           uint32_t tokens, float *y, size_t y_stride)
{
    const struct sl_type_traits *traits = sl_type_traits(type);
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        double totals[SL_TOKEN_TILE] = {0};
        const uint8_t *block = weights;
        for (size_t col = 0; col < x->cols; col += traits->block_size) {
            struct sl_codes codes;
            sl_codes_unpack[type](block, &codes);
            block += traits->block_bytes;
            for (uint32_t t = 0; t < tokens; t++)
                totals[t] += dot_codes(&codes, traits->block_size, x, first_token + t, col);
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = (float)totals[t];
    }
}

#define QUANTIZED_ROWS(name, type)                                                                 \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows,                      \
                     const struct sl_activations *x, uint32_t first_token, uint32_t tokens,        \
                     float *y, size_t y_stride)                                                    \
    {                                                                                              \
        quantized_rows(type, weights, row_bytes, rows, x, first_token, tokens, y, y_stride);       \
    }

QUANTIZED_ROWS(rows_q4_0, SL_TYPE_Q4_0)
QUANTIZED_ROWS(rows_q4_1, SL_TYPE_Q4_1)
QUANTIZED_ROWS(rows_q5_0, SL_TYPE_Q5_0)
QUANTIZED_ROWS(rows_q5_1, SL_TYPE_Q5_1)
QUANTIZED_ROWS(rows_q8_0, SL_TYPE_Q8_0)
QUANTIZED_ROWS(rows_q2_k, SL_TYPE_Q2_K)
QUANTIZED_ROWS(rows_q3_k, SL_TYPE_Q3_K)
QUANTIZED_ROWS(rows_q4_k, SL_TYPE_Q4_K)
QUANTIZED_ROWS(rows_q5_k, SL_TYPE_Q5_K)
QUANTIZED_ROWS(rows_q6_k, SL_TYPE_Q6_K)
QUANTIZED_ROWS(rows_iq4_nl, SL_TYPE_IQ4_NL)
QUANTIZED_ROWS(rows_iq4_xs, SL_TYPE_IQ4_XS)

/* Float types: weights widened, products and sums in double. */
#define FLOAT_ROWS(name, element, widen)                                                           \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows,                      \
                     const struct sl_activations *x, uint32_t first_token, uint32_t tokens,        \
                     float *y, size_t y_stride)                                                    \
    {                                                                                              \
        for (uint32_t row = 0; row < rows; row++)                                                  \
            for (uint32_t t = 0; t < tokens; t++) {                                                \
                const element *w = (const element *)(weights + row * row_bytes);                   \
                const float *values = x->x + (first_token + t) * x->x_stride;                      \
                double sum = 0;                                                                    \
                for (size_t i = 0; i < x->cols; i++)                                               \
                    sum += (double)widen(w[i]) * (double)values[i];                                \
                y[t * y_stride + row] = (float)sum;                                                \
            }                                                                                      \
    }

FLOAT_ROWS(rows_f32, float, )
FLOAT_ROWS(rows_f16, sl_f16, sl_f16_to_f32)
FLOAT_ROWS(rows_bf16, sl_bf16, sl_bf16_to_f32)

static const struct sl_matmul_kernels matmul = {
    .quantize = sl_ref_quantize,
    .rows = {
        [SL_TYPE_F32] = rows_f32,       [SL_TYPE_F16] = rows_f16,
        [SL_TYPE_BF16] = rows_bf16,     [SL_TYPE_Q4_0] = rows_q4_0,
        [SL_TYPE_Q4_1] = rows_q4_1,     [SL_TYPE_Q5_0] = rows_q5_0,
        [SL_TYPE_Q5_1] = rows_q5_1,     [SL_TYPE_Q8_0] = rows_q8_0,
        [SL_TYPE_Q2_K] = rows_q2_k,     [SL_TYPE_Q3_K] = rows_q3_k,
        [SL_TYPE_Q4_K] = rows_q4_k,     [SL_TYPE_Q5_K] = rows_q5_k,
        [SL_TYPE_Q6_K] = rows_q6_k,     [SL_TYPE_IQ4_NL] = rows_iq4_nl,
        [SL_TYPE_IQ4_XS] = rows_iq4_xs,
    },
};

const struct sl_kernels sl_kernels_ref = {
    .name = "ref",
    .dot = ref_dot,
    .add = ref_add,
    .mul = ref_mul,
    .scale = ref_scale,
    .rms_norm = ref_rms_norm,
    .layer_norm = ref_layer_norm,
    .silu_mul = ref_silu_mul,
    .gelu_mul = ref_gelu_mul,
    .softcap = ref_softcap,
    .largest = max_of,
    .exp_sum = ref_exp_sum,
    .softmax = ref_softmax,
    .softmax_moments = ref_softmax_moments,
    .rope = sl_ref_rope,
    .f32_to_f16 = ref_f32_to_f16,
    .f16_to_f32 = ref_f16_to_f32,
    .f32_to_q8_0 = ref_f32_to_q8_0,
    .attend = sl_ref_attend,
    .matmul = &matmul,
};

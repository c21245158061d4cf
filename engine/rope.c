/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the frequencies of rotary embeddings, with the ways that files stretch them to longer
 * contexts: linear (`rope.scaling.factor`), YaRN (Peng et al. 2023, section 3.4), Llama 3 (factors
 * in the tensor rope_freqs), longrope (Ding et al. 2024: factors for short and long contexts).
 *
 * All of them come down to one frequency a pair and one magnitude, worked out at load in double
 * precision; the forward pass only multiplies by the position. Sine and cosine are computed once a
 * token and batch, and shared by all layers and heads.
 */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YARN_BETA_FAST 32.0 /* rotations over the trained context: above it, left alone */
#define YARN_BETA_SLOW 1.0  /* below it, fully interpolated */

struct rope_scaling {
    double scale; /* 1 / factor */
    bool is_yarn;
    double context_trained;
    double beta_fast;
    double beta_slow;
    double magnitude;
    const float *factors; /* (dims / 2) divisors, or NULL */
};

void sl_rope_clear(struct sl_rope *rope)
{
    free(rope->frequencies);
    *rope = (struct sl_rope){0};
}

/* The pair whose wavelength fits `rotations` times into the trained context. */
static double yarn_pair(double dims, double context, double rotations, double base)
{
    return dims * log(context / (rotations * 2 * M_PI)) / (2 * log(base));
}

/* How much of pair `pair` is left as trained: 1 for fast ones, 0 for slow ones. */
static double yarn_share(const struct rope_scaling *scaling, uint32_t dims, double base,
                         uint32_t pair)
{
    double low = floor(yarn_pair(dims, scaling->context_trained, scaling->beta_fast, base));
    double high = ceil(yarn_pair(dims, scaling->context_trained, scaling->beta_slow, base));
    low = fmax(low, 0);
    high = fmin(high, (double)dims - 1);
    double ramp = ((double)pair - low) / fmax(0.001, high - low);
    return 1 - fmin(1, fmax(0, ramp));
}

static enum sl_err rope_fill(struct sl_rope *rope, uint32_t dims, double base,
                             const struct rope_scaling *scaling, struct sl_error *error)
{
    rope->dims = dims;
    rope->magnitude = (float)scaling->magnitude;
    rope->frequencies = calloc(dims / 2 + 1, sizeof *rope->frequencies);
    if (rope->frequencies == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (uint32_t pair = 0; pair < dims / 2; pair++) {
        double trained = pow(base, -2.0 * pair / dims);
        if (scaling->factors != NULL)
            trained /= (double)scaling->factors[pair];
        double share = scaling->is_yarn ? yarn_share(scaling, dims, base, pair) : 0;
        rope->frequencies[pair] = (float)(trained * (scaling->scale * (1 - share) + share));
    }
    return SL_OK;
}

/* Factor tensors: one for all contexts, or a pair of which the configured context chooses. */
static enum sl_err read_factors(struct sl_model *model, uint32_t context_original,
                                const float **factors, struct sl_error *error)
{
    uint64_t count = model->hparams.rope_dims / 2;
    bool is_long = model->context_tokens > context_original;
    const char *name = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
    enum sl_err err = sl_model_vector(model, name, count, false, factors, error);
    if (err == SL_OK && *factors == NULL)
        err = sl_model_vector(model, "rope_freqs.weight", count, false, factors, error);
    for (uint64_t pair = 0; err == SL_OK && *factors != NULL && pair < count; pair++)
        if (!((*factors)[pair] > 0) || !isfinite((*factors)[pair]))
            return sl_error_set(error, SL_ERR_FORMAT, "rope factor %u is not a positive number",
                                (unsigned)pair);
    return err;
}

static enum sl_err read_scaling(struct sl_model *model, struct rope_scaling *out,
                                struct sl_error *error)
{
    const struct sl_gguf *gguf = model->gguf;
    const struct sl_hparams *hparams = &model->hparams;
    char key[96];
    snprintf(key, sizeof key, "%s.rope.scaling.type", hparams->architecture);
    struct sl_slice type = sl_gguf_string_or(gguf, key, SL_SLICE("linear"));
    double factor = (double)sl_arch_f32_or(gguf, hparams, "rope.scaling.factor", 0);
    if (factor == 0) /* the older name */
        factor = (double)sl_arch_f32_or(gguf, hparams, "rope.scale_linear", 0);
    if (factor == 0 || sl_slice_equal_text(type, "none"))
        factor = 1;
    if (!(factor > 0) || !isfinite(factor))
        return sl_error_set(error, SL_ERR_FORMAT, "%s.rope.scaling.factor is not positive",
                            hparams->architecture);
    uint32_t original = sl_arch_u32_or(gguf, hparams, "rope.scaling.original_context_length",
                                       hparams->context_trained);
    *out = (struct rope_scaling){
        .scale = 1 / factor,
        .is_yarn = sl_slice_equal_text(type, "yarn"),
        .context_trained = original > 0 ? original : 1,
        .beta_fast =
            (double)sl_arch_f32_or(gguf, hparams, "rope.scaling.yarn_beta_fast", YARN_BETA_FAST),
        .beta_slow =
            (double)sl_arch_f32_or(gguf, hparams, "rope.scaling.yarn_beta_slow", YARN_BETA_SLOW),
        .magnitude = (double)sl_arch_f32_or(gguf, hparams, "rope.scaling.attn_factor", 1.0f),
    };
    if (out->is_yarn)
        out->magnitude *= 1 + 0.1 * log(factor);
    return read_factors(model, original, &out->factors, error);
}

enum sl_err sl_rope_init(struct sl_model *model, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    if (hparams->rope_dims == 0)
        return SL_OK;
    struct rope_scaling scaling;
    enum sl_err err = read_scaling(model, &scaling, error);
    if (err != SL_OK)
        return err;
    err = rope_fill(&model->ropes[SL_ROPE_GLOBAL], hparams->rope_dims, (double)hparams->rope_base,
                    &scaling, error);
    if (err != SL_OK)
        return err;
    if (hparams->rope_base_sliding == 0)
        return rope_fill(&model->ropes[SL_ROPE_SLIDING], hparams->rope_dims,
                         (double)hparams->rope_base, &scaling, error);
    struct rope_scaling none = {.scale = 1, .magnitude = 1};
    return rope_fill(&model->ropes[SL_ROPE_SLIDING], hparams->rope_dims,
                     (double)hparams->rope_base_sliding, &none, error);
}

void sl_rope_angles(const struct sl_rope *rope, uint32_t position, float *out)
{
    for (uint32_t pair = 0; pair < rope->dims / 2; pair++) {
        float angle = (float)position * rope->frequencies[pair];
        out[2 * pair] = cosf(angle) * rope->magnitude;
        out[2 * pair + 1] = sinf(angle) * rope->magnitude;
    }
}

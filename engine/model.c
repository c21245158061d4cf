/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the table of architectures; reading and checking of hyper-parameters; binding of tensors
 * with their expected shapes.
 * Leaves to others: the container (gguf.c), types and kernels (kernels.h), what an architecture's
 * keys mean (arch_*.c), rotary frequencies (rope.c).
 *
 * A file may lie in any field: every number is bounded before it is used, every tensor's shape must
 * be the one that the hyper-parameters imply, and the message names key or tensor and both shapes.
 *
 * Threads: open and close on one; the model is immutable between.
 */
#include "model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sl_arch *const architectures[] = {
    &sl_arch_llama,  &sl_arch_smollm3, &sl_arch_qwen2, &sl_arch_qwen3,      &sl_arch_gemma2,
    &sl_arch_gemma3, &sl_arch_phi3,    &sl_arch_bert,  &sl_arch_nomic_bert,
};
#define ARCHITECTURE_COUNT (sizeof architectures / sizeof *architectures)

/* A vector as floats, owned by the model. Plain floats are copied too: they stand between the weights,
 * and each step would map pieces of the file again that rearranging has given back (model_pack.c), up
 * to megabytes at a fault where the page cache is made of large pages. */
struct sl_vector {
    struct sl_vector *next;
    float values[];
};

#define KEY_MAX 128 /* "nomic-bert.rope.scaling.original_context_length" and room */

/* ---- hyper-parameters ---- */

uint32_t sl_arch_u32_or(const struct sl_gguf *gguf, const struct sl_hparams *hparams,
                        const char *suffix, uint32_t otherwise)
{
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%s.%s", hparams->architecture, suffix);
    return sl_gguf_u32_or(gguf, key, otherwise);
}

float sl_arch_f32_or(const struct sl_gguf *gguf, const struct sl_hparams *hparams,
                     const char *suffix, float otherwise)
{
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%s.%s", hparams->architecture, suffix);
    return sl_gguf_f32_or(gguf, key, otherwise);
}

void sl_arch_encoder(const struct sl_gguf *gguf, struct sl_hparams *hparams)
{
    hparams->is_encoder = true;
    hparams->norm = SL_NORM_LAYER;
    hparams->norm_epsilon =
        sl_arch_f32_or(gguf, hparams, "attention.layer_norm_epsilon", hparams->norm_epsilon);
    uint32_t pooling = sl_arch_u32_or(gguf, hparams, "pooling_type", SL_POOLING_MEAN);
    hparams->pooling = pooling <= SL_POOLING_LAST ? (enum sl_pooling)pooling : SL_POOLING_MEAN;
}

/* A required number in [1, most]. */
static enum sl_err require_u32(const struct sl_gguf *gguf, const struct sl_hparams *hparams,
                               const char *suffix, uint32_t most, uint32_t *out,
                               struct sl_error *error)
{
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%s.%s", hparams->architecture, suffix);
    enum sl_err err = sl_gguf_u32(gguf, key, out, error);
    if (err == SL_OK && (*out == 0 || *out > most))
        return sl_error_set(error, SL_ERR_FORMAT, "%s is %" PRIu32 ", expected 1 to %" PRIu32, key,
                            *out, most);
    return err;
}

static enum sl_err read_sizes(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                              struct sl_error *error)
{
    const struct {
        const char *suffix;
        uint32_t most;
        uint32_t *out;
    } fields[] = {
        {"block_count", SL_LAYERS_MAX, &hparams->layer_count},
        {"embedding_length", SL_EMBEDDING_MAX, &hparams->embedding_size},
        {"feed_forward_length", SL_FEED_FORWARD_MAX, &hparams->feed_forward_size},
        {"attention.head_count", SL_HEADS_MAX, &hparams->head_count},
        {"context_length", SL_CONTEXT_MAX, &hparams->context_trained},
    };
    for (size_t idx = 0; idx < sizeof fields / sizeof *fields; idx++) {
        enum sl_err err = require_u32(gguf, hparams, fields[idx].suffix, fields[idx].most,
                                      fields[idx].out, error);
        if (err != SL_OK)
            return err;
    }
    return SL_OK;
}

static enum sl_err read_heads(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                              struct sl_error *error)
{
    hparams->head_count_kv =
        sl_arch_u32_or(gguf, hparams, "attention.head_count_kv", hparams->head_count);
    if (hparams->head_count_kv == 0 || hparams->head_count_kv > hparams->head_count ||
        hparams->head_count % hparams->head_count_kv != 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "%s.attention.head_count_kv is %" PRIu32
                            ", expected a divisor of the head count %" PRIu32,
                            hparams->architecture, hparams->head_count_kv, hparams->head_count);
    uint32_t otherwise = hparams->embedding_size / hparams->head_count;
    hparams->head_dim = sl_arch_u32_or(gguf, hparams, "attention.key_length", otherwise);
    uint32_t value_dim = sl_arch_u32_or(gguf, hparams, "attention.value_length", otherwise);
    if (hparams->head_dim == 0 || hparams->head_dim > SL_HEAD_DIM_MAX)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "%s.attention.key_length is %" PRIu32 ", expected 1 to %d",
                            hparams->architecture, hparams->head_dim, SL_HEAD_DIM_MAX);
    if (value_dim != hparams->head_dim)
        return sl_error_set(error, SL_ERR_UNSUPPORTED,
                            "%s.attention.value_length is %" PRIu32
                            ", only the key length, %" PRIu32 ", is supported",
                            hparams->architecture, value_dim, hparams->head_dim);
    return SL_OK;
}

/* llama's values; configure() of the architecture changes what differs. */
static enum sl_err set_defaults(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                                struct sl_error *error)
{
    hparams->norm_epsilon =
        sl_arch_f32_or(gguf, hparams, "attention.layer_norm_rms_epsilon", 1e-5f);
    hparams->embedding_scale = 1;
    hparams->attention_scale = 1.0f / sqrtf((float)hparams->head_dim);
    hparams->rope_style = SL_ROPE_PAIRS;
    hparams->rope_base = sl_arch_f32_or(gguf, hparams, "rope.freq_base", 10000.0f);
    hparams->rope_dims = sl_arch_u32_or(gguf, hparams, "rope.dimension_count", hparams->head_dim);
    hparams->global_every = 1;
    hparams->has_gate = true;
    if (!(hparams->rope_base > 1) || !isfinite(hparams->rope_base))
        return sl_error_set(error, SL_ERR_FORMAT, "%s.rope.freq_base is not over 1",
                            hparams->architecture);
    if (hparams->rope_dims > hparams->head_dim || hparams->rope_dims % 2 != 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "%s.rope.dimension_count is %" PRIu32
                            ", expected an even number of at most %" PRIu32,
                            hparams->architecture, hparams->rope_dims, hparams->head_dim);
    uint32_t pooling = sl_arch_u32_or(gguf, hparams, "pooling_type", SL_POOLING_MEAN);
    hparams->pooling = pooling >= SL_POOLING_MEAN && pooling <= SL_POOLING_LAST
                           ? (enum sl_pooling)pooling
                           : SL_POOLING_MEAN;
    return SL_OK;
}

/* The numbers that only configure() knew. */
static enum sl_err check_configured(const struct sl_hparams *hparams, struct sl_error *error)
{
    if (!(hparams->norm_epsilon > 0) || !isfinite(hparams->norm_epsilon))
        return sl_error_set(error, SL_ERR_FORMAT, "%s: the epsilon of the norms is not positive",
                            hparams->architecture);
    if (!isfinite(hparams->attention_scale) || !(hparams->attention_softcap >= 0) ||
        !(hparams->final_softcap >= 0))
        return sl_error_set(error, SL_ERR_FORMAT, "%s: a scale or softcap is not a number",
                            hparams->architecture);
    if (hparams->global_every == 0)
        return sl_error_set(error, SL_ERR_FORMAT, "%s.attention.sliding_window_pattern is 0",
                            hparams->architecture);
    if (hparams->rope_base_sliding != 0 && !(hparams->rope_base_sliding > 1))
        return sl_error_set(error, SL_ERR_FORMAT, "%s.rope.freq_base_swa is not over 1",
                            hparams->architecture);
    return SL_OK;
}

static const struct sl_arch *find_architecture(struct sl_slice name)
{
    for (size_t idx = 0; idx < ARCHITECTURE_COUNT; idx++)
        if (sl_slice_equal_text(name, architectures[idx]->name))
            return architectures[idx];
    return NULL;
}

static enum sl_err read_hparams(struct sl_model *model, struct sl_error *error)
{
    struct sl_hparams *hparams = &model->hparams;
    struct sl_slice name;
    enum sl_err err = sl_gguf_string(model->gguf, "general.architecture", &name, error);
    if (err != SL_OK)
        return err;
    const struct sl_arch *arch = find_architecture(name);
    if (arch == NULL)
        return sl_error_set(error, SL_ERR_UNSUPPORTED, "architecture \"%.*s\" is not supported",
                            (int)(name.len < 64 ? name.len : 64), name.data);
    hparams->architecture = arch->name;
    if ((err = read_sizes(model->gguf, hparams, error)) != SL_OK ||
        (err = read_heads(model->gguf, hparams, error)) != SL_OK ||
        (err = set_defaults(model->gguf, hparams, error)) != SL_OK ||
        (err = arch->configure(model->gguf, hparams, error)) != SL_OK)
        return err;
    return check_configured(hparams, error);
}

/* ---- tensors ---- */

enum sl_err sl_model_vector(struct sl_model *model, const char *name, uint64_t count, bool required,
                            const float **out, struct sl_error *error)
{
    *out = NULL;
    const struct sl_gguf_tensor *tensor = sl_gguf_tensor(model->gguf, name);
    if (tensor == NULL && !required)
        return SL_OK;
    if (tensor == NULL)
        return sl_error_set(error, SL_ERR_FORMAT, "tensor %s is missing", name);
    if (tensor->dims[0] != count || tensor->dims[1] != 1 || tensor->dims[2] != 1 ||
        tensor->dims[3] != 1)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor %s has %" PRIu64 " x %" PRIu64 " numbers, expected %" PRIu64,
                            name, tensor->dims[0], tensor->dims[1], count);
    struct sl_matrix row;
    enum sl_err err = sl_matrix_init(&row, tensor, error);
    if (err != SL_OK)
        return err;
    struct sl_vector *vector = malloc(sizeof *vector + (size_t)count * sizeof(float));
    if (vector == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    vector->next = model->owned;
    model->owned = vector;
    sl_matrix_row(&row, 0, vector->values);
    *out = vector->values;
    return SL_OK;
}

/* A matrix of exactly rows x cols; absent and not required leaves rows 0. */
static enum sl_err bind_matrix(struct sl_model *model, const char *name, uint32_t rows,
                               uint32_t cols, bool required, struct sl_matrix *out,
                               struct sl_error *error)
{
    *out = (struct sl_matrix){0};
    const struct sl_gguf_tensor *tensor = sl_gguf_tensor(model->gguf, name);
    if (tensor == NULL && !required)
        return SL_OK;
    if (tensor == NULL)
        return sl_error_set(error, SL_ERR_FORMAT, "tensor %s is missing", name);
    enum sl_err err = sl_matrix_init(out, tensor, error);
    if (err == SL_OK && (out->rows != rows || out->cols != cols))
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor %s is %" PRIu32 " x %" PRIu32
                            " (rows x columns), expected %" PRIu32 " x %" PRIu32,
                            name, out->rows, out->cols, rows, cols);
    return err;
}

/* The name of a tensor of a layer. */
struct tensor_name {
    char text[80];
};

static struct tensor_name layer_tensor(uint32_t layer, const char *part)
{
    struct tensor_name name;
    snprintf(name.text, sizeof name.text, "blk.%" PRIu32 ".%s", layer, part);
    return name;
}

struct vector_binding {
    const char *part;
    uint32_t count;
    bool required;
    const float **out;
};

static enum sl_err bind_vectors(struct sl_model *model, uint32_t layer,
                                const struct vector_binding *bindings, size_t count,
                                struct sl_error *error)
{
    for (size_t idx = 0; idx < count; idx++) {
        struct tensor_name name = layer_tensor(layer, bindings[idx].part);
        enum sl_err err = sl_model_vector(model, name.text, bindings[idx].count,
                                          bindings[idx].required, bindings[idx].out, error);
        if (err != SL_OK)
            return err;
    }
    return SL_OK;
}

static enum sl_err bind_qkv(struct sl_model *model, uint32_t layer_idx, struct sl_layer *layer,
                            struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    const uint32_t q_rows = hparams->head_count * hparams->head_dim;
    const uint32_t kv_rows = hparams->head_count_kv * hparams->head_dim;
    const uint32_t cols = hparams->embedding_size;
    struct sl_matrix fused;
    const float *fused_bias;
    enum sl_err err = bind_matrix(model, layer_tensor(layer_idx, "attn_qkv.weight").text,
                                  q_rows + 2 * kv_rows, cols, false, &fused, error);
    if (err != SL_OK)
        return err;
    if (fused.rows > 0) {
        layer->q = sl_matrix_rows(&fused, 0, q_rows);
        layer->k = sl_matrix_rows(&fused, q_rows, kv_rows);
        layer->v = sl_matrix_rows(&fused, q_rows + kv_rows, kv_rows);
        err = sl_model_vector(model, layer_tensor(layer_idx, "attn_qkv.bias").text,
                              (uint64_t)q_rows + 2 * (uint64_t)kv_rows, false, &fused_bias, error);
        if (err == SL_OK && fused_bias != NULL) {
            layer->q_bias = fused_bias;
            layer->k_bias = fused_bias + q_rows;
            layer->v_bias = fused_bias + q_rows + kv_rows;
        }
        return err;
    }
    if ((err = bind_matrix(model, layer_tensor(layer_idx, "attn_q.weight").text, q_rows, cols, true,
                           &layer->q, error)) != SL_OK ||
        (err = bind_matrix(model, layer_tensor(layer_idx, "attn_k.weight").text, kv_rows, cols,
                           true, &layer->k, error)) != SL_OK ||
        (err = bind_matrix(model, layer_tensor(layer_idx, "attn_v.weight").text, kv_rows, cols,
                           true, &layer->v, error)) != SL_OK)
        return err;
    const struct vector_binding biases[] = {{"attn_q.bias", q_rows, false, &layer->q_bias},
                                            {"attn_k.bias", kv_rows, false, &layer->k_bias},
                                            {"attn_v.bias", kv_rows, false, &layer->v_bias}};
    return bind_vectors(model, layer_idx, biases, 3, error);
}

static enum sl_err bind_attention(struct sl_model *model, uint32_t layer_idx,
                                  struct sl_layer *layer, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    const uint32_t width = hparams->embedding_size;
    enum sl_err err = bind_qkv(model, layer_idx, layer, error);
    if (err != SL_OK)
        return err;
    err = bind_matrix(model, layer_tensor(layer_idx, "attn_output.weight").text, width,
                      hparams->head_count * hparams->head_dim, true, &layer->attention_out, error);
    if (err != SL_OK)
        return err;
    const bool encoder = hparams->is_encoder;
    const struct vector_binding vectors[] = {
        {encoder ? "attn_output_norm.weight" : "attn_norm.weight", width, true,
         &layer->attention_norm},
        {encoder ? "attn_output_norm.bias" : "attn_norm.bias", width, encoder,
         &layer->attention_norm_bias},
        {"attn_output.bias", width, false, &layer->attention_out_bias},
        {"attn_q_norm.weight", hparams->head_dim, hparams->has_qk_norms, &layer->q_norm},
        {"attn_k_norm.weight", hparams->head_dim, hparams->has_qk_norms, &layer->k_norm},
        {"post_attention_norm.weight", width, hparams->has_post_norms, &layer->attention_post_norm},
    };
    return bind_vectors(model, layer_idx, vectors, sizeof vectors / sizeof *vectors, error);
}

static enum sl_err bind_gate_and_up(struct sl_model *model, uint32_t layer_idx,
                                    struct sl_layer *layer, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    const uint32_t inner = hparams->feed_forward_size;
    const uint32_t width = hparams->embedding_size;
    struct tensor_name up = layer_tensor(layer_idx, "ffn_up.weight");
    if (hparams->is_gate_fused) {
        struct sl_matrix fused;
        enum sl_err err = bind_matrix(model, up.text, 2 * inner, width, true, &fused, error);
        if (err != SL_OK)
            return err;
        layer->gate = sl_matrix_rows(&fused, 0, inner);
        layer->up = sl_matrix_rows(&fused, inner, inner);
        return SL_OK;
    }
    enum sl_err err = bind_matrix(model, up.text, inner, width, true, &layer->up, error);
    if (err != SL_OK || !hparams->has_gate)
        return err;
    return bind_matrix(model, layer_tensor(layer_idx, "ffn_gate.weight").text, inner, width, true,
                       &layer->gate, error);
}

static enum sl_err bind_feed_forward(struct sl_model *model, uint32_t layer_idx,
                                     struct sl_layer *layer, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    const uint32_t inner = hparams->feed_forward_size;
    const uint32_t width = hparams->embedding_size;
    enum sl_err err = bind_gate_and_up(model, layer_idx, layer, error);
    if (err != SL_OK)
        return err;
    err = bind_matrix(model, layer_tensor(layer_idx, "ffn_down.weight").text, width, inner, true,
                      &layer->down, error);
    if (err != SL_OK)
        return err;
    const bool encoder = hparams->is_encoder;
    const struct vector_binding vectors[] = {
        {encoder ? "layer_output_norm.weight" : "ffn_norm.weight", width, true, &layer->feed_norm},
        {encoder ? "layer_output_norm.bias" : "ffn_norm.bias", width, encoder,
         &layer->feed_norm_bias},
        {"ffn_gate.bias", inner, false, &layer->gate_bias},
        {"ffn_up.bias", inner, false, &layer->up_bias},
        {"ffn_down.bias", width, false, &layer->down_bias},
        {"post_ffw_norm.weight", width, hparams->has_post_norms, &layer->feed_post_norm},
    };
    return bind_vectors(model, layer_idx, vectors, sizeof vectors / sizeof *vectors, error);
}

static enum sl_err bind_layer(struct sl_model *model, uint32_t layer_idx, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    struct sl_layer *layer = &model->layers[layer_idx];
    layer->is_sliding = hparams->window > 0 && (layer_idx + 1) % hparams->global_every != 0;
    layer->has_rope = hparams->rope_dims > 0 && !(hparams->no_rope_every > 0 &&
                                                  (layer_idx + 1) % hparams->no_rope_every == 0);
    enum sl_err err = bind_attention(model, layer_idx, layer, error);
    return err != SL_OK ? err : bind_feed_forward(model, layer_idx, layer, error);
}

static enum sl_err bind_embedding(struct sl_model *model, struct sl_error *error)
{
    struct sl_hparams *hparams = &model->hparams;
    const struct sl_gguf_tensor *tensor = sl_gguf_tensor(model->gguf, "token_embd.weight");
    if (tensor == NULL)
        return sl_error_set(error, SL_ERR_FORMAT, "tensor token_embd.weight is missing");
    if (tensor->dims[1] == 0 || tensor->dims[1] > SL_VOCAB_MAX)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor token_embd.weight has %" PRIu64 " rows, expected 1 to %d",
                            tensor->dims[1], SL_VOCAB_MAX);
    hparams->vocab_size = (uint32_t)tensor->dims[1];
    return bind_matrix(model, "token_embd.weight", hparams->vocab_size, hparams->embedding_size,
                       true, &model->token_embedding, error);
}

/* What an encoder adds to token embeddings: positions, the first token type, and a norm. */
static enum sl_err bind_encoder_input(struct sl_model *model, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    const uint32_t width = hparams->embedding_size;
    enum sl_err err = sl_model_vector(model, "token_embd_norm.weight", width, true,
                                      &model->embedding_norm, error);
    if (err == SL_OK)
        err = sl_model_vector(model, "token_embd_norm.bias", width, true,
                              &model->embedding_norm_bias, error);
    if (err == SL_OK)
        err = bind_matrix(model, "position_embd.weight", hparams->context_trained, width,
                          hparams->rope_dims == 0, &model->position_embedding, error);
    const struct sl_gguf_tensor *types = sl_gguf_tensor(model->gguf, "token_types.weight");
    if (err != SL_OK || types == NULL)
        return err;
    struct sl_matrix matrix;
    if ((err = sl_matrix_init(&matrix, types, error)) != SL_OK)
        return err;
    if (matrix.cols != width || matrix.rows == 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor token_types.weight has %" PRIu32 " columns, expected %" PRIu32,
                            matrix.cols, width);
    struct sl_vector *vector = malloc(sizeof *vector + width * sizeof(float));
    if (vector == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    vector->next = model->owned;
    model->owned = vector;
    sl_matrix_row(&matrix, 0, vector->values);
    model->token_type = vector->values;
    return SL_OK;
}

static enum sl_err bind_output(struct sl_model *model, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    enum sl_err err = sl_model_vector(model, "output_norm.weight", hparams->embedding_size, true,
                                      &model->output_norm, error);
    if (err == SL_OK)
        err = sl_model_vector(model, "output_norm.bias", hparams->embedding_size, false,
                              &model->output_norm_bias, error);
    if (err == SL_OK)
        err = bind_matrix(model, "output.weight", hparams->vocab_size, hparams->embedding_size,
                          false, &model->output, error);
    if (err == SL_OK && model->output.rows == 0)
        model->output = model->token_embedding;
    if (err == SL_OK)
        err = sl_model_vector(model, "output.bias", hparams->vocab_size, false, &model->output_bias,
                              error);
    return err;
}

static enum sl_err bind_tensors(struct sl_model *model, struct sl_error *error)
{
    const struct sl_hparams *hparams = &model->hparams;
    enum sl_err err = bind_embedding(model, error);
    if (err == SL_OK)
        err = hparams->is_encoder ? bind_encoder_input(model, error) : bind_output(model, error);
    if (err != SL_OK)
        return err;
    model->layers = calloc(hparams->layer_count, sizeof *model->layers);
    if (model->layers == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (uint32_t layer = 0; err == SL_OK && layer < hparams->layer_count; layer++)
        err = bind_layer(model, layer, error);
    return err;
}

/* Counts weights, and finds the type that most of them have. */
static void count_weights(struct sl_model *model)
{
    uint64_t by_type[SL_TYPE_COUNT] = {0};
    for (uint64_t idx = 0; idx < sl_gguf_tensor_count(model->gguf); idx++) {
        const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(model->gguf, idx);
        uint64_t count = tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
        model->parameters += count;
        if (tensor->type < SL_TYPE_COUNT)
            by_type[tensor->type] += count;
    }
    for (uint32_t type = 0; type < SL_TYPE_COUNT; type++)
        if (by_type[type] > by_type[model->main_type])
            model->main_type = type;
}

/* ---- life ---- */

static uint32_t choose_context(const struct sl_hparams *hparams, uint32_t wanted)
{
    if (wanted == 0 && hparams->context_trained > SL_CONTEXT_DEFAULT_MAX)
        return SL_CONTEXT_DEFAULT_MAX;
    if (wanted == 0 || (hparams->is_encoder && wanted > hparams->context_trained))
        return hparams->context_trained;
    return wanted < SL_CONTEXT_MAX ? wanted : SL_CONTEXT_MAX;
}

enum sl_err sl_model_load(struct sl_gguf *gguf, uint32_t context_tokens, struct sl_model **out,
                          struct sl_error *error)
{
    struct sl_model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        sl_gguf_close(gguf);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    model->gguf = gguf;
    enum sl_err err = read_hparams(model, error);
    if (err == SL_OK) {
        model->context_tokens = choose_context(&model->hparams, context_tokens);
        err = bind_tensors(model, error);
    }
    if (err == SL_OK)
        err = sl_rope_init(model, error);
    if (err != SL_OK) {
        sl_model_close(model);
        return err;
    }
    count_weights(model);
    *out = model;
    return SL_OK;
}

enum sl_err sl_model_open(const char *path, uint32_t context_tokens, struct sl_model **out,
                          struct sl_error *error)
{
    struct sl_gguf *gguf;
    enum sl_err err = sl_gguf_open(path, &gguf, error);
    return err != SL_OK ? err : sl_model_load(gguf, context_tokens, out, error);
}

void sl_model_close(struct sl_model *model)
{
    if (model == NULL)
        return;
    while (model->owned != NULL) {
        struct sl_vector *next = model->owned->next;
        free(model->owned);
        model->owned = next;
    }
    for (size_t idx = 0; idx < 2; idx++)
        sl_rope_clear(&model->ropes[idx]);
    sl_model_unpack(model);
    free(model->layers);
    sl_gguf_close(model->gguf);
    free(model);
}

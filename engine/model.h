/* SPDX-License-Identifier: Apache-2.0
 *
 * A model: its hyper-parameters and its weights, bound from a GGUF file and checked. What differs
 * between architectures is a row in the table of model.c and one file arch_*.c, which turns the
 * file's keys into the switches of `struct sl_hparams`; the forward pass reads the switches and
 * knows no architecture by name.
 *
 *     struct sl_model *model;
 *     if (sl_model_open("m.gguf", 0, &model, &error) != SL_OK) ...
 *     model->hparams.layer_count; model->layers[0].q; ...
 *     sl_model_close(model);
 *
 * Threads: immutable after open. Ownership: the model owns the GGUF and its map; matrices point
 * into it, vectors too where they are F32 and aligned. Shapes in comments are (outer, ..., inner);
 * a matrix is (outputs, inputs).
 */
#ifndef SLUICE_ENGINE_MODEL_H
#define SLUICE_ENGINE_MODEL_H

#include "gguf.h"
#include "kernels.h"

/* Bounds on what a file may claim, far above any published small model; they keep every product of
 * two of them inside 64 bits and every index inside 32. */
#define SL_LAYERS_MAX 512
#define SL_EMBEDDING_MAX 65536
#define SL_FEED_FORWARD_MAX 1048576
#define SL_HEADS_MAX 1024
#define SL_VOCAB_MAX 4194304
#define SL_CONTEXT_MAX 16777216

enum sl_norm_kind { SL_NORM_RMS, SL_NORM_LAYER };
enum sl_activation { SL_ACTIVATION_SILU, SL_ACTIVATION_GELU };

/* Numbers as in llama.cpp's enum llama_pooling_type, which files use. */
enum sl_pooling { SL_POOLING_NONE, SL_POOLING_MEAN, SL_POOLING_CLS, SL_POOLING_LAST };

/* Rotary embedding (Su et al. 2021), ready to use: angle of pair i at position p is
 * p * frequencies[i]; sine and cosine are multiplied by `magnitude`. */
struct sl_rope {
    uint32_t dims;      /* rotated dimensions of a head; 0: none */
    float *frequencies; /* (dims / 2) */
    float magnitude;
};

#define SL_ROPE_GLOBAL 0
#define SL_ROPE_SLIDING 1

struct sl_hparams {
    const char *architecture; /* the row's name */
    uint32_t layer_count;
    uint32_t embedding_size;
    uint32_t feed_forward_size;
    uint32_t head_count;
    uint32_t head_count_kv;
    uint32_t head_dim; /* of K and of V */
    uint32_t vocab_size;
    uint32_t context_trained;

    enum sl_norm_kind norm;
    float norm_epsilon;
    enum sl_activation activation;
    float embedding_scale;   /* of the token embedding; 1: none */
    float attention_scale;   /* of q.k */
    float attention_softcap; /* 0: none */
    float final_softcap;     /* 0: none */

    enum sl_rope_style rope_style;
    uint32_t rope_dims; /* of a head; 0: no rotary embedding at all */
    float rope_base;
    float rope_base_sliding; /* 0: as rope_base, with its scaling */
    uint32_t no_rope_every;  /* layers (i + 1) % n == 0 have no rotary embedding; 0: all have */

    uint32_t window;       /* sliding layers see the last `window` positions; 0: no such layers */
    uint32_t global_every; /* layer i slides unless (i + 1) % n == 0; 1: none slides */

    bool is_encoder;     /* attention both ways, no cache, no output matrix */
    bool has_post_norms; /* norms after attention and feed-forward, before the residual add */
    bool has_qk_norms;
    bool is_gate_fused; /* one matrix ffn_up, rows gate, up */
    bool has_gate;      /* gated feed-forward */
    enum sl_pooling pooling;
};

/* One layer. Vectors are NULL where the model has none. */
struct sl_layer {
    bool is_sliding;
    bool has_rope;
    const float *attention_norm, *attention_norm_bias; /* (embedding); encoders: after attention */
    struct sl_matrix q, k, v;                          /* (heads * head_dim, embedding) */
    const float *q_bias, *k_bias, *v_bias;
    const float *q_norm, *k_norm;   /* (head_dim) */
    struct sl_matrix attention_out; /* (embedding, heads * head_dim) */
    const float *attention_out_bias;
    const float *attention_post_norm;
    const float *feed_norm, *feed_norm_bias; /* encoders: after the feed-forward */
    struct sl_matrix gate, up;               /* (feed_forward, embedding) */
    struct sl_matrix down;                   /* (embedding, feed_forward) */
    const float *gate_bias, *up_bias, *down_bias;
    const float *feed_post_norm;
};

struct sl_model {
    struct sl_gguf *gguf;
    struct sl_hparams hparams;
    struct sl_matrix token_embedding;                  /* (vocab, embedding) */
    const float *embedding_norm, *embedding_norm_bias; /* encoders */
    struct sl_matrix position_embedding;               /* (context, embedding); rows 0: none */
    const float *token_type;                           /* (embedding): row 0, added to each token */
    const float *output_norm, *output_norm_bias;
    struct sl_matrix output; /* (vocab, embedding); the token embedding where tied */
    const float *output_bias;
    struct sl_rope ropes[2]; /* SL_ROPE_GLOBAL, SL_ROPE_SLIDING */
    struct sl_layer *layers;
    uint64_t parameters;
    uint32_t main_type; /* the tensor type that most weights have */
    uint32_t context_tokens;
    struct sl_vector *owned; /* vectors that had to be converted */
    struct sl_model_packed *packed; /* weights in the kernels' form, see sl_model_pack; NULL: none */
};

/* Opens and checks a model. `context_tokens` is the length of a sequence that will be used; 0 means
 * the trained one, at most SL_CONTEXT_DEFAULT_MAX. It decides between short and long rope factors.
 * Errors: SL_ERR_IO, SL_ERR_FORMAT, SL_ERR_UNSUPPORTED, SL_ERR_MEMORY, naming key or tensor. */
#define SL_CONTEXT_DEFAULT_MAX 4096
enum sl_err sl_model_open(const char *path, uint32_t context_tokens, struct sl_model **out,
                          struct sl_error *error) SL_MUST_CHECK;
/* The same for a GGUF that is open; takes it, also on failure. */
enum sl_err sl_model_load(struct sl_gguf *gguf, uint32_t context_tokens, struct sl_model **out,
                          struct sl_error *error) SL_MUST_CHECK;
/* NULL is fine. */
void sl_model_close(struct sl_model *model);

/* ---- model_pack.c ---- */

/* Rearranges about `bytes` more of the weights into the form that the kernels in force prefer, and
 * gives the file's pages back. True: there is more to do. Where there is no such form, or no memory
 * for it, the weights stay as they are. A matrix is used as stored until all of it is rearranged, so
 * this goes on between forward passes, on their thread; it uses the pool. */
bool sl_model_pack_some(struct sl_model *model, struct sl_pool *pool, size_t bytes) SL_MUST_CHECK;
/* All of them. */
void sl_model_pack(struct sl_model *model, struct sl_pool *pool);
/* Frees that memory; for sl_model_close. */
void sl_model_unpack(struct sl_model *model);

/* ---- for arch_*.c ---- */

/* An architecture: sets what differs from the defaults that model.c has put in *hparams (llama's)
 * from keys "NAME.…" of the file. */
struct sl_arch {
    const char *name; /* general.architecture */
    enum sl_err (*configure)(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error);
};

extern const struct sl_arch sl_arch_llama;
extern const struct sl_arch sl_arch_smollm3;
extern const struct sl_arch sl_arch_qwen2;
extern const struct sl_arch sl_arch_qwen3;
extern const struct sl_arch sl_arch_gemma2;
extern const struct sl_arch sl_arch_gemma3;
extern const struct sl_arch sl_arch_phi3;
extern const struct sl_arch sl_arch_bert;
extern const struct sl_arch sl_arch_nomic_bert;

/* Values of the key "ARCH.suffix". */
uint32_t sl_arch_u32_or(const struct sl_gguf *gguf, const struct sl_hparams *hparams,
                        const char *suffix, uint32_t otherwise);
float sl_arch_f32_or(const struct sl_gguf *gguf, const struct sl_hparams *hparams,
                     const char *suffix, float otherwise);
/* Fills encoder defaults and the pooling of bert-like files. */
void sl_arch_encoder(const struct sl_gguf *gguf, struct sl_hparams *hparams);

/* ---- rope.c ---- */

/* Fills model->ropes from the file's scaling keys and factor tensors. */
enum sl_err sl_rope_init(struct sl_model *model, struct sl_error *error) SL_MUST_CHECK;
void sl_rope_clear(struct sl_rope *rope);
/* cos and sin of all pairs at one position: out (dims / 2, 2). */
void sl_rope_angles(const struct sl_rope *rope, uint32_t position, float *out);

/* A tensor of `count` numbers as floats; *out is NULL where it is absent and not required. */
enum sl_err sl_model_vector(struct sl_model *model, const char *name, uint64_t count, bool required,
                            const float **out, struct sl_error *error) SL_MUST_CHECK;

#endif

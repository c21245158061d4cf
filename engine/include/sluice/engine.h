/* SPDX-License-Identifier: Apache-2.0
 *
 * The on-device model: one GGUF file, its tokenizer and chat template, and the scheduler that runs
 * many sequences over one pool of threads.
 *
 *     struct sl_engine_config config = {.model_path = "m.gguf", .threads = 2};
 *     struct sl_engine *engine;
 *     if (sl_engine_open(&config, &engine, &error) != SL_OK) ...
 *     struct sl_prompt *prompt;                       // template applied, tokens counted
 *     if (sl_engine_prepare(engine, &chat, &prompt, &error) != SL_OK) ...
 *     struct sl_generation *generation;
 *     if (sl_engine_generate(engine, prompt, &params, &generation, &error) != SL_OK) ...
 *     struct sl_event event;
 *     while (sl_generation_next(generation, deadline_ms, &event) == SL_OK && !event.is_last)
 *         fwrite(event.text.data, 1, event.text.len, stdout);
 *     sl_generation_free(generation);
 *     sl_prompt_free(prompt);
 *     sl_engine_close(engine);
 *
 * Threads: an engine may be used from any number of threads; a prompt is immutable; a generation
 * belongs to one thread at a time, except for `sl_generation_cancel`, which any thread may call.
 */
#ifndef SLUICE_ENGINE_H
#define SLUICE_ENGINE_H

#include "sluice/buf.h"
#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sl_engine;
struct sl_prompt;
struct sl_generation;

enum sl_kv_type { SL_KV_F16, SL_KV_Q8, SL_KV_F32 };

struct sl_engine_config {
    const char *model_path;
    const char *kernels;         /* "ref", "avx2", "avxvnni", "avx512", "avx512bf16", "neon", "i8mm";
                                   * NULL: SLUICE_KERNELS, else the best */
    uint32_t threads;            /* kernel pool; 0: one a core */
    uint32_t context_tokens_max; /* per sequence; 0: the model's trained context, at most 4096 */
    uint32_t sequences_max;      /* running at once; 0: 8 */
    uint32_t queue_max;          /* waiting; 0: 64 */
    enum sl_kv_type kv_type;
    uint64_t kv_bytes_max; /* soft budget of the KV cache; 0: what sequences_max needs */
};

/* What is known about the loaded model. Strings live as long as the engine. */
struct sl_model_info {
    const char *name; /* general.name, else the file's name without .gguf */
    const char *architecture;
    const char *quantization;       /* most frequent tensor type, e.g. "Q8_0" */
    uint8_t digest[32];             /* SHA-256 of the file */
    uint8_t template_digest[32];    /* SHA-256 of the chat template text */
    uint64_t parameters;            /* number of weights */
    uint64_t file_bytes;
    uint32_t vocab_size;
    uint32_t context_tokens;        /* per sequence, as configured */
    uint32_t context_tokens_trained;
    uint32_t embedding_size;
    bool can_generate;              /* a decoder */
    bool can_embed;                 /* an encoder, or a decoder used as one */
    bool has_tools;                 /* the chat template handles `tools` */
};

/* Errors: SL_ERR_IO, SL_ERR_FORMAT (field, offset and expectation in the message),
 * SL_ERR_UNSUPPORTED (architecture or type), SL_ERR_MEMORY. */
enum sl_err sl_engine_open(const struct sl_engine_config *config, struct sl_engine **out,
                           struct sl_error *error) SL_MUST_CHECK;
/* Cancels what runs, joins the threads. Generations must have been freed. NULL is fine. */
void sl_engine_close(struct sl_engine *engine);
/* The first call after opening a large file that was never opened before waits until its digest is
 * computed (some 2.5 s a GB, begun at open on a thread of its own); the result is kept beside the
 * file, so that later starts have it at once. Any thread. */
const struct sl_model_info *sl_engine_info(const struct sl_engine *engine);
/* Takes effect between two steps. */
void sl_engine_set_threads(struct sl_engine *engine, uint32_t threads);

struct sl_engine_load {
    uint32_t running;
    uint32_t waiting;
    uint64_t kv_bytes;
    double tokens_per_second; /* generated, over the last second of work */
};
void sl_engine_load(struct sl_engine *engine, struct sl_engine_load *out);

/* ---- prompts ---- */

/* A chat in OpenAI's form. All borrowed for the duration of the call. */
struct sl_chat {
    const json_t *messages;    /* array of {role, content, ...} */
    const json_t *tools;       /* array or NULL */
    const json_t *template_extra; /* object of further template variables, or NULL */
};

/* Renders the chat with the model's template and tokenizes it.
 * Errors: SL_ERR_INVALID (the template raised: its message), SL_ERR_UNSUPPORTED (no template can
 * express this: images, tools), SL_ERR_LIMIT, SL_ERR_MEMORY. Any thread; does not block. */
enum sl_err sl_engine_prepare(struct sl_engine *engine, const struct sl_chat *chat,
                              struct sl_prompt **out, struct sl_error *error) SL_MUST_CHECK;
/* A prompt of raw text, without a template. */
enum sl_err sl_engine_prepare_text(struct sl_engine *engine, struct sl_slice text, bool add_special,
                                   bool parse_special, struct sl_prompt **out,
                                   struct sl_error *error) SL_MUST_CHECK;
/* A prompt of token ids (tests, evaluation). */
enum sl_err sl_engine_prepare_ids(struct sl_engine *engine, const int32_t *ids, size_t count,
                                  struct sl_prompt **out, struct sl_error *error) SL_MUST_CHECK;
void sl_prompt_free(struct sl_prompt *prompt);
uint32_t sl_prompt_tokens(const struct sl_prompt *prompt);
const int32_t *sl_prompt_ids(const struct sl_prompt *prompt);

/* ---- generation ---- */

struct sl_logit_bias {
    int32_t token;
    float bias;
};

enum sl_format_kind { SL_FORMAT_TEXT, SL_FORMAT_JSON_OBJECT, SL_FORMAT_JSON_SCHEMA, SL_FORMAT_TOOL_CALL };

#define SL_TOP_LOGPROBS_MAX 20
#define SL_STOP_MAX 16

struct sl_generate_params {
    uint32_t tokens_max; /* 0: to the end of the context */
    float temperature;   /* 0: greedy */
    uint32_t top_k;      /* 0: off */
    float top_p;         /* 1 or 0: off */
    float min_p;         /* 0: off */
    float repetition_penalty; /* 0 or 1: off */
    float presence_penalty;
    float frequency_penalty;
    uint64_t seed;
    const struct sl_logit_bias *logit_bias;
    size_t logit_bias_count;
    /* Log-probabilities that another model gives to some tokens (labels, say), added to the logits:
     * a product of experts (Hinton 2002). Unlike a bias it is part of `choice` in the events. */
    const struct sl_logit_bias *prior;
    size_t prior_count;
    struct sl_slice stop[SL_STOP_MAX];
    size_t stop_count;
    uint32_t top_logprobs; /* 0 to SL_TOP_LOGPROBS_MAX alternatives a token */
    enum sl_format_kind format;
    const json_t *schema;    /* for SL_FORMAT_JSON_SCHEMA; SL_FORMAT_TOOL_CALL: the tools */
    bool ignore_end;         /* end-of-text does not stop (tests, benchmarks) */
    uint64_t deadline_ms;    /* monotonic; 0: none */
    uint32_t fair_share_id;  /* requests of one app take turns with other apps' */
};

/* From raw logits at temperature 1, before sampling changed them; natural logarithms.
 * log p(chosen), entropy, and log p(best) - log p(second): what router/confidence.c scores. */
struct sl_token_stats {
    float logprob;
    float entropy;
    float margin;
};

struct sl_token_alternative {
    int32_t token;
    float logprob;
};

enum sl_finish {
    SL_FINISH_NONE,
    SL_FINISH_STOP,     /* end-of-text token or stop string */
    SL_FINISH_LENGTH,   /* tokens_max or the context is full */
    SL_FINISH_CANCELLED,
    SL_FINISH_TIMEOUT,
    SL_FINISH_ERROR
};

enum sl_event_kind {
    SL_EVENT_PREFILL, /* once, first: the prompt was read; `prompt` is set */
    SL_EVENT_TOKEN,   /* a token was chosen; `text` may be empty (half a character, a possible stop) */
    SL_EVENT_END      /* `finish` is set, `text` holds what was held back; `token` and `stats` are
                         those of the end-of-text token, or `token` is -1 */
};

/* How well the prompt fits the model: mean and worst window of the log-probability of the prompt's
 * own tokens, over the tokens of the last user message where the template shows them, else all. */
struct sl_prompt_stats {
    float logprob_mean;
    float logprob_worst_window; /* mean over the worst 8 neighbouring tokens */
    uint32_t scored_tokens;
    uint32_t reused_tokens;     /* taken from a shared prefix in the KV cache */
};

struct sl_event {
    enum sl_event_kind kind;
    bool is_last;
    struct sl_slice text; /* UTF-8, whole characters; valid until the next call on the generation */
    int32_t token;
    struct sl_token_stats stats;
    /* The same after the prior, renormalised over the tokens that the format allows: how sure the
     * choice among those was. Equals `stats` where there is neither. */
    struct sl_token_stats choice;
    const struct sl_token_alternative *alternatives; /* top_logprobs of them */
    struct sl_prompt_stats prompt;
    enum sl_finish finish;
};

/* Queues the prompt. Does not wait. Errors: SL_ERR_OVERLOAD (queue full), SL_ERR_CONTEXT_LENGTH
 * (prompt + 1 does not fit), SL_ERR_UNSUPPORTED (schema keyword that cannot be enforced),
 * SL_ERR_INVALID. The prompt must outlive the generation; params are copied. */
enum sl_err sl_engine_generate(struct sl_engine *engine, const struct sl_prompt *prompt,
                               const struct sl_generate_params *params,
                               struct sl_generation **out, struct sl_error *error) SL_MUST_CHECK;
/* Waits for the next event until the monotonic deadline (SL_DEADLINE_NEVER: as long as it takes).
 * SL_ERR_TIMEOUT where none came: call again. After SL_EVENT_END, SL_ERR_INVALID. */
enum sl_err sl_generation_next(struct sl_generation *generation, uint64_t deadline_ms,
                               struct sl_event *event) SL_MUST_CHECK;
/* Stops within one token; `next` then ends with SL_FINISH_CANCELLED. Any thread. */
void sl_generation_cancel(struct sl_generation *generation);
/* Cancels if still running. NULL is fine. */
void sl_generation_free(struct sl_generation *generation);
/* Tokens generated so far. */
uint32_t sl_generation_tokens(const struct sl_generation *generation);

/* ---- text and tokens, embeddings ---- */

/* Token ids of a text; free() *ids. */
enum sl_err sl_engine_tokenize(const struct sl_engine *engine, struct sl_slice text,
                               bool add_special, bool parse_special, int32_t **ids, size_t *count,
                               struct sl_error *error) SL_MUST_CHECK;
/* Appends the token's own bytes (special tokens by name). */
enum sl_err sl_engine_token_text(const struct sl_engine *engine, int32_t token,
                                 struct sl_buf *out) SL_MUST_CHECK;
/* The pooled embedding of a text, not normalised: `embedding_size` floats into `out`; *tokens gets
 * how many were read. Blocks. Errors: SL_ERR_UNSUPPORTED, SL_ERR_CONTEXT_LENGTH. */
enum sl_err sl_engine_embed(struct sl_engine *engine, struct sl_slice text, float *out,
                            uint32_t *tokens, struct sl_error *error) SL_MUST_CHECK;
/* How likely the model finds a text (perplexity): logprobs[i] gets log p(token i + 1 | tokens 0..i),
 * for sl_prompt_tokens(prompt) - 1 values. Blocks. Errors: SL_ERR_UNSUPPORTED,
 * SL_ERR_CONTEXT_LENGTH, SL_ERR_OVERLOAD (running requests hold the whole KV cache). */
enum sl_err sl_engine_score(struct sl_engine *engine, const struct sl_prompt *prompt,
                            float *logprobs, struct sl_error *error) SL_MUST_CHECK;

#endif

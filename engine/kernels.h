/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of the forward pass: matrix products with weights as the file stores them, and
 * the small operations on rows of floats between them. One table of function pointers holds the
 * version for this CPU; the plain C version of each is its specification.
 *
 *     const struct sl_kernels *kernels = sl_kernels();             // chosen once, at run time
 *     struct sl_matrix up;
 *     if (sl_matrix_init(&up, tensor, &error) != SL_OK) ...
 *     size_t bytes = sl_matmul_scratch_bytes(columns_max, tokens_max, SL_POOL_THREADS_MAX);
 *     void *scratch = aligned_alloc(SL_SCRATCH_ALIGN, bytes);      // once, at load
 *     sl_matmul(pool, &up, x, tokens, y, scratch);                 // y (tokens, rows)
 *
 * Weights can be used where they lie, in the map of the file; where the CPU has a better form for
 * their type (sl_matrix_pack), the model is rearranged into it once, at load, in as many bytes. One
 * token at a time streams them once (matrix times vector); many tokens expand some rows at a time
 * into the worker's scratch and meet all tokens there, so that expanding is paid once a batch.
 *
 * Quantized weights meet activations quantized to int8 in blocks of 32 with a float scale, sums
 * exact in int32 within a block. F32, F16 and BF16 weights are widened and multiplied in float.
 * The result of one token does not depend on how many others are in the call beyond the order of
 * float additions.
 *
 * Threads: kernels are pure; sl_matmul* is called by the one thread that owns the pool.
 */
#ifndef SLUICE_ENGINE_KERNELS_H
#define SLUICE_ENGINE_KERNELS_H

#include "gguf.h"
#include "quant_blocks.h"
#include "thread_pool.h"

#include "sluice/err.h"

/* ---- matrices ---- */

/* A weight matrix (rows, cols) in a file: y = W x. Immutable; borrows the map. */
struct sl_matrix {
    enum sl_tensor_type type;
    uint32_t rows; /* outputs: dims[1] of the tensor */
    uint32_t cols; /* inputs: dims[0], the row length */
    size_t row_bytes;
    const uint8_t *data;
    /* The same weights as the CPU's kernels like them (sl_matrix_pack), or NULL. Borrowed. */
    const struct sl_packing *packing;
    const uint8_t *packed;
    size_t packed_panel_bytes;
};

/* SL_ERR_UNSUPPORTED for a type that no kernel reads, SL_ERR_FORMAT for a shape that is none. A
 * tensor of one dimension becomes one row. The message names the tensor. */
enum sl_err sl_matrix_init(struct sl_matrix *matrix, const struct sl_gguf_tensor *tensor,
                           struct sl_error *error) SL_MUST_CHECK;
/* Rows [first, first + rows) of another matrix (fused QKV, fused gate and up). */
struct sl_matrix sl_matrix_rows(const struct sl_matrix *matrix, uint32_t first, uint32_t rows);
/* Bytes that the matrix takes in the form of the kernels in force; 0 where they have none for its
 * type, or it has one already. A multiple of SL_SCRATCH_ALIGN. */
size_t sl_matrix_packed_bytes(const struct sl_matrix *matrix);
/* Writes that form to `memory` (SL_SCRATCH_ALIGN aligned, of that size; the matrix borrows it),
 * which is used from then on. The file's bytes are read again only under other kernels than those
 * in force now. Uses the pool. */
void sl_matrix_pack(struct sl_matrix *matrix, struct sl_pool *pool, uint8_t *memory);
/* The same in parts: some of the panels of SL_PACK_ROWS rows, in any order; when all are there, the
 * form is taken into use. Under the same kernels throughout. */
#define SL_PACK_ROWS 32
void sl_matrix_pack_panels(const struct sl_matrix *matrix, struct sl_pool *pool, uint8_t *memory,
                           uint32_t first, uint32_t count);
void sl_matrix_use_packed(struct sl_matrix *matrix, uint8_t *memory);
/* Row `row` as floats (embedding look-up): `out` holds cols. */
void sl_matrix_row(const struct sl_matrix *matrix, uint32_t row, float *out);

/* ---- products ---- */

#define SL_SCRATCH_ALIGN 64 /* a cache line and a 512-bit register */

/* Bytes of scratch for any product with at most these sizes; grows with each argument. */
size_t sl_matmul_scratch_bytes(uint32_t cols_max, uint32_t tokens_max, uint32_t threads_max);

/* y = W x: x (tokens, cols), y (tokens, rows), both dense. Allocates nothing. */
void sl_matmul(struct sl_pool *pool, const struct sl_matrix *matrix, const float *x,
               uint32_t tokens, float *y, void *scratch);

/* Several products with the same x (Q, K and V; gate and up): x is quantized once and the rows of
 * all are one operation of the pool. All matrices have the same cols. */
struct sl_matmul_job {
    const struct sl_matrix *matrix;
    float *y;        /* (tokens, y_stride), the first `rows` of each are written */
    size_t y_stride; /* floats; at least rows */
};
void sl_matmul_jobs(struct sl_pool *pool, const struct sl_matmul_job *jobs, uint32_t job_count,
                    const float *x, size_t x_stride, uint32_t tokens, void *scratch);

/* ---- attention ---- */

enum sl_kv_format { SL_KV_FORMAT_F32, SL_KV_FORMAT_F16, SL_KV_FORMAT_Q8_0 };

/* Bytes of `dims` values; Q8_0 needs a multiple of 32. */
size_t sl_kv_bytes(enum sl_kv_format format, uint32_t dims);

/* One KV head over one run of evenly spaced positions (a page of the cache), for `queries` query
 * rows that attend to that head: all query heads of its group, and all tokens of a batch.
 * Softmax is online: `max`, `sum` and `acc` carry over from run to run, in any order, and no row
 * of scores is kept. Start with sl_attend_begin, end with sl_attend_end. */
struct sl_attend {
    enum sl_kv_format format;
    uint32_t head_dim;      /* at most SL_HEAD_DIM_MAX */
    uint32_t queries;
    uint32_t positions;     /* in this run; at most 2^31 */
    const void *k;          /* (position, head_dim) in `format`, k_stride bytes apart */
    const void *v;          /* the same with v_stride */
    size_t k_stride, v_stride;
    const void *next_k, *next_v; /* as many bytes that are likely to be read next, or NULL: a few
                                  * queries meet a page faster than it comes from memory */
    const float *q;         /* (query, head_dim), q_stride floats apart */
    size_t q_stride;
    const uint32_t *first;  /* (query): sees positions [first, end) of this run; empty is fine */
    const uint32_t *end;
    float scale;            /* of q.k */
    float softcap;          /* cap * tanh(score / cap) after the scale; 0: off */
    float *max;             /* (query) */
    float *sum;             /* (query) */
    float *acc;             /* (query, head_dim), acc_stride floats apart; not normalised */
    size_t acc_stride;
    float *scratch;         /* SL_ATTEND_SCRATCH_FLOATS, SL_SCRATCH_ALIGN aligned, per worker;
                             * theirs alone from begin to end */
    /* Queries, keys, values and weights may lose all but 8 bits of their mantissas: the model's
     * weights are quantized, so activations lost as much before. sl_attend_begin then wants the
     * first page of the sequence in k (with format, positions and k_stride), from which it takes
     * the mean key: the same page whatever is attended to later, or the same query gets something
     * else. */
    bool may_round;
};
#define SL_HEAD_DIM_MAX 512
#define SL_ATTEND_TILE 32 /* positions handled at once */
#define SL_ATTEND_SCRATCH_FLOATS (2 * SL_ATTEND_TILE * SL_HEAD_DIM_MAX + 64 * SL_ATTEND_TILE)

/* max = -inf, sum = 0, acc = 0 for all queries; see also may_round. */
void sl_attend_begin(const struct sl_attend *attend);
/* Adds what another state of the same queries saw: max, sum and acc as if one had seen all. */
void sl_attend_merge(const struct sl_attend *into, const struct sl_attend *from);
/* acc /= sum; a query that saw nothing becomes zero. */
void sl_attend_end(const struct sl_attend *attend);

/* ---- the table ---- */

enum sl_rope_style {
    SL_ROPE_PAIRS, /* (x[2i], x[2i+1]) rotate together: llama files */
    SL_ROPE_HALVES /* (x[i], x[i + rot/2]): NEOX, qwen, gemma, phi */
};

struct sl_activations; /* quantized x, private to matmul.c and the kernels: kernels_matmul.h */
struct sl_matmul_kernels;

struct sl_kernels {
    const char *name; /* "ref", "avx2", "avxvnni", "avx512", "avx512bf16", "neon", "i8mm" */

    /* Rows of floats; `out` may be the same as an input. */
    float (*dot)(const float *a, const float *b, size_t n);
    void (*add)(float *out, const float *a, const float *b, size_t n);
    void (*mul)(float *out, const float *a, const float *b, size_t n);
    void (*scale)(float *out, const float *a, float factor, size_t n);
    /* out = x / sqrt(mean(x^2) + eps) * weight; weight NULL: all ones. */
    void (*rms_norm)(float *out, const float *x, const float *weight, size_t n, float eps);
    /* out = (x - mean) / sqrt(var + eps) * weight + bias; either may be NULL. */
    void (*layer_norm)(float *out, const float *x, const float *weight, const float *bias,
                       size_t n, float eps);
    /* out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). */
    void (*silu_mul)(float *out, const float *gate, const float *up, size_t n);
    /* out = gelu(gate) * up, the tanh form; up NULL: gelu(gate). */
    void (*gelu_mul)(float *out, const float *gate, const float *up, size_t n);
    /* out = cap * tanh(x / cap). */
    void (*softcap)(float *out, const float *x, float cap, size_t n);
    /* In place: x = exp(x - max) / sum; n > 0. */
    void (*softmax)(float *x, size_t n);
    /* n > 0. */
    float (*largest)(const float *x, size_t n);
    /* Sum of exp((x - max) * scale), for x <= max and scale > 0. */
    float (*exp_sum)(const float *x, size_t n, float max, float scale);
    /* *max, then sum of e = exp(x - max), and sum of e * (x - max): log-probability of token i is
     * x[i] - max - log(sum), entropy is log(sum) - weighted / sum. n > 0. */
    void (*softmax_moments)(const float *x, size_t n, float *max, float *sum, float *weighted);
    /* Rotates the first `rot_dims` of each head of x (heads, head_dim) by one position's angles:
     * cos_sin (rot_dims / 2, 2). The rest of a head stays. */
    void (*rope)(float *x, uint32_t heads, uint32_t head_dim, uint32_t rot_dims,
                 const float *cos_sin, enum sl_rope_style style);
    void (*f32_to_f16)(sl_f16 *out, const float *x, size_t n);
    void (*f16_to_f32)(float *out, const sl_f16 *x, size_t n);
    /* n a multiple of 32. */
    void (*f32_to_q8_0)(struct sl_block_q8_0 *out, const float *x, size_t n);

    /* Prepares what stays the same from run to run; NULL: nothing does. */
    void (*attend_begin)(const struct sl_attend *attend);
    void (*attend)(const struct sl_attend *attend);

    const struct sl_matmul_kernels *matmul;
};

/* The table in force: the best this CPU has, or what SLUICE_KERNELS or sl_kernels_select asked
 * for. Any thread. */
const struct sl_kernels *sl_kernels(void);
/* Forces one by name (see above; NULL: SLUICE_KERNELS, else the best).
 * SL_ERR_UNSUPPORTED where this CPU or build lacks it, SL_ERR_INVALID for another word. Not while
 * products run. */
enum sl_err sl_kernels_select(const char *name, struct sl_error *error) SL_MUST_CHECK;
/* The tables that this CPU can run, the reference first; ends with NULL. For tests and tools. */
const struct sl_kernels *const *sl_kernels_available(void);

/* Writes `dims` floats as one K or V row of the cache. */
void sl_kv_store(enum sl_kv_format format, void *out, const float *x, uint32_t dims);

#endif

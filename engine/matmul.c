/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products of kernels.h: lays out the caller's scratch, has the activations quantized once,
 * and splits the rows of all jobs over the pool. The arithmetic is the kernels'.
 *
 * Scratch, in this order, each part aligned to SL_SCRATCH_ALIGN:
 *   q (tokens, cols) | d | sums | offsets | tiles | panel of worker 0 | panel of worker 1 | ...
 *
 * Threads: called by the thread that owns the pool; workers touch their own panel and rows.
 */
#include "kernels_matmul.h"

#include <assert.h>

/* Names in messages are cut: a file may hold names of 64 KiB. */
#define NAME_SHOWN 64

static size_t align_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

/* ---- matrices ---- */

enum sl_err sl_matrix_init(struct sl_matrix *matrix, const struct sl_gguf_tensor *tensor,
                           struct sl_error *error)
{
    const int name_len = tensor->name.len < NAME_SHOWN ? (int)tensor->name.len : NAME_SHOWN;
    if (sl_type_traits(tensor->type) == NULL)
        return sl_error_set(error, SL_ERR_UNSUPPORTED, "tensor %.*s: type %u is not supported",
                            name_len, tensor->name.data, tensor->type);
    uint64_t rows = 1;
    for (uint32_t i = 1; i < SL_GGUF_DIMS_MAX; i++)
        rows *= tensor->dims[i]; /* cannot overflow: the reader multiplied them */
    if (tensor->dims[0] > INT32_MAX || rows > INT32_MAX)
        return sl_error_set(error, SL_ERR_FORMAT, "tensor %.*s: %llu by %llu is no matrix",
                            name_len, tensor->name.data, (unsigned long long)rows,
                            (unsigned long long)tensor->dims[0]);
    *matrix = (struct sl_matrix){
        .type = tensor->type,
        .rows = (uint32_t)rows,
        .cols = (uint32_t)tensor->dims[0],
        .row_bytes = sl_type_row_bytes(tensor->type, tensor->dims[0]),
        .data = tensor->data,
    };
    return SL_OK;
}

struct sl_matrix sl_matrix_rows(const struct sl_matrix *matrix, uint32_t first, uint32_t rows)
{
    assert(first <= matrix->rows && rows <= matrix->rows - first && matrix->packed == NULL);
    struct sl_matrix part = *matrix;
    part.data += first * matrix->row_bytes;
    part.rows = rows;
    return part;
}

void sl_matrix_row(const struct sl_matrix *matrix, uint32_t row, float *out)
{
    assert(row < matrix->rows);
    if (matrix->packed != NULL)
        matrix->packing->row(matrix->packed + row / SL_PANEL_ROWS * matrix->packed_panel_bytes,
                             row % SL_PANEL_ROWS, matrix->cols, out);
    else
        sl_type_traits(matrix->type)->dequantize(matrix->data + row * matrix->row_bytes, out,
                                                 matrix->cols);
}

/* ---- rearranging ---- */

static uint32_t panels_of(const struct sl_matrix *matrix)
{
    return (matrix->rows + SL_PANEL_ROWS - 1) / SL_PANEL_ROWS;
}

/* The form that the kernels in force have for a type; NULL: none. */
static const struct sl_packing *packing_of(enum sl_tensor_type type)
{
    const struct sl_packing *packings = sl_kernels()->matmul->packings;
    return packings != NULL && packings[type].bytes != NULL ? &packings[type] : NULL;
}

size_t sl_matrix_packed_bytes(const struct sl_matrix *matrix)
{
    const struct sl_packing *packing = packing_of(matrix->type);
    return packing != NULL && matrix->packed == NULL ? panels_of(matrix) * packing->bytes(matrix->cols)
                                                     : 0;
}

struct rearrangement {
    const struct sl_matrix *matrix;
    const struct sl_packing *packing;
    uint8_t *memory;
    uint32_t first;
};

/* Panels [begin, end) from the first on. */
static void pack_panels(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    const struct rearrangement *job = ctx;
    const struct sl_matrix *matrix = job->matrix;
    const size_t bytes = job->packing->bytes(matrix->cols);
    (void)worker;
    for (uint32_t panel = job->first + begin; panel < job->first + end; panel++) {
        const uint32_t row = panel * SL_PANEL_ROWS, left = matrix->rows - row;
        job->packing->pack(matrix->data + row * matrix->row_bytes, matrix->row_bytes,
                           left < SL_PANEL_ROWS ? left : SL_PANEL_ROWS, matrix->cols,
                           job->memory + panel * bytes);
    }
}

void sl_matrix_pack_panels(const struct sl_matrix *matrix, struct sl_pool *pool, uint8_t *memory,
                           uint32_t first, uint32_t count)
{
    struct rearrangement job = {matrix, packing_of(matrix->type), memory, first};
    assert(job.packing != NULL && first + count <= panels_of(matrix));
    sl_pool_for(pool, count, 1, pack_panels, &job);
}

void sl_matrix_use_packed(struct sl_matrix *matrix, uint8_t *memory)
{
    matrix->packing = packing_of(matrix->type);
    matrix->packed_panel_bytes = matrix->packing->bytes(matrix->cols);
    matrix->packed = memory;
}

void sl_matrix_pack(struct sl_matrix *matrix, struct sl_pool *pool, uint8_t *memory)
{
    sl_matrix_pack_panels(matrix, pool, memory, 0, panels_of(matrix));
    sl_matrix_use_packed(matrix, memory);
}

/* ---- scratch ---- */

static uint32_t tiles_of(uint32_t tokens)
{
    return (tokens + SL_PANEL_TILE_TOKENS - 1) / SL_PANEL_TILE_TOKENS;
}

struct layout {
    size_t d, sums, offsets, tiles, tile_bytes, panels, panel_bytes, total; /* q is at 0 */
    size_t q_stride, d_stride;
};

static struct layout lay_out(uint32_t cols, uint32_t tokens, uint32_t threads)
{
    struct layout layout = {.q_stride = align_up(cols, 64)};
    layout.d_stride = align_up(layout.q_stride / SL_BLOCK, 16);
    layout.panel_bytes = align_up(sl_panel_bytes_max(cols), SL_SCRATCH_ALIGN);
    layout.d = align_up(layout.q_stride * tokens, SL_SCRATCH_ALIGN);
    layout.sums = layout.d + layout.d_stride * tokens * sizeof(float);
    layout.offsets = layout.sums + 2 * layout.d_stride * tokens * sizeof(float);
    layout.tiles = layout.offsets + 2 * layout.d_stride * tokens * sizeof(int32_t);
    layout.tile_bytes = sl_tile_bytes(cols);
    layout.panels = layout.tiles + tiles_of(tokens) * layout.tile_bytes;
    layout.total = layout.panels + layout.panel_bytes * threads;
    return layout;
}

size_t sl_matmul_scratch_bytes(uint32_t cols_max, uint32_t tokens_max, uint32_t threads_max)
{
    return lay_out(cols_max, tokens_max, threads_max).total;
}

/* ---- products ---- */

struct product {
    const struct sl_matmul_kernels *kernels;
    const struct sl_matmul_job *jobs;
    uint32_t job_count;
    struct sl_activations x;
    bool reads_tiles; /* some job goes through panels */
    uint8_t *panels;
    size_t panel_bytes;
};

/* The form at load that the kernels of this product read; NULL: rows as stored. */
static const struct sl_packing *packing_in(const struct sl_matmul_kernels *kernels,
                                           const struct sl_matrix *matrix)
{
    const bool is_ours = matrix->packed != NULL && kernels->packings != NULL &&
                         matrix->packing == &kernels->packings[matrix->type];
    return is_ours ? matrix->packing : NULL;
}

/* Whether each SL_SUB_BLOCK columns have a scale of their own. */
static bool scales_runs(enum sl_tensor_type type)
{
    return type == SL_TYPE_Q2_K || type == SL_TYPE_Q3_K || type == SL_TYPE_Q6_K;
}

/* Whether products of this many tokens with weights as stored go through panels. */
static bool uses_panels(const struct sl_matmul_kernels *kernels, enum sl_tensor_type type,
                        uint32_t tokens)
{
    const bool has_own_min =
        !sl_type_traits(type)->is_quantized && kernels->float_panel_tokens_min != 0;
    return kernels->panels != NULL && kernels->panels[type].pack != NULL &&
           tokens >= (has_own_min ? kernels->float_panel_tokens_min : kernels->panel_tokens_min);
}

/* Tiles [begin, end) of tokens. */
static void quantize_tiles(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct product *product = ctx;
    const uint32_t tokens = product->x.tokens;
    (void)worker;
    for (uint32_t tile = begin; tile < end; tile++) {
        const uint32_t first = tile * SL_PANEL_TILE_TOKENS;
        for (uint32_t token = first; token < first + SL_PANEL_TILE_TOKENS && token < tokens;
             token++)
            product->kernels->quantize(&product->x, token);
        if (product->reads_tiles)
            product->kernels->fill_tile(&product->x, tile);
    }
}

/* Rows as stored times all tokens, a tile of tokens at a time so that rows stay in the L1 cache. */
static void multiply_rows(const struct product *product, const struct sl_matmul_job *job,
                          uint32_t first, uint32_t rows)
{
    const struct sl_matrix *matrix = job->matrix;
    const uint8_t *weights = matrix->data + first * matrix->row_bytes;
    for (uint32_t token = 0; token < product->x.tokens; token += SL_TOKEN_TILE) {
        const uint32_t left = product->x.tokens - token;
        product->kernels->rows[matrix->type](weights, matrix->row_bytes, rows, &product->x, token,
                                             left < SL_TOKEN_TILE ? left : SL_TOKEN_TILE,
                                             job->y + token * job->y_stride + first,
                                             job->y_stride);
    }
}

/* Asks for the rows after a group while the group is multiplied: a panel reads sixteen rows side by
 * side, which is more streams than a CPU's own prefetcher follows. Always inlined: GCC takes a
 * function that only prefetches for one without effect, and drops the call. */
static inline __attribute__((always_inline)) void prefetch_bytes(const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64)
        __builtin_prefetch(data + at, 0, 2);
}

static inline __attribute__((always_inline)) void prefetch_rows(const struct sl_matrix *matrix,
                                                                uint32_t first)
{
    if (first >= matrix->rows)
        return;
    const uint32_t left = matrix->rows - first;
    const uint32_t rows = left < SL_PANEL_ROWS ? left : SL_PANEL_ROWS;
    prefetch_bytes(matrix->data + first * matrix->row_bytes, rows * matrix->row_bytes);
}

/* Panels [begin, end) of a matrix that was rearranged. */
static void multiply_packed(const struct product *product, const struct sl_matmul_job *job,
                            uint32_t begin, uint32_t end, uint32_t worker)
{
    const struct sl_matrix *matrix = job->matrix;
    void *scratch = product->panels + worker * product->panel_bytes;
    for (uint32_t panel = begin; panel < end; panel++) {
        const uint8_t *packed = matrix->packed + panel * matrix->packed_panel_bytes;
        const uint32_t first = panel * SL_PANEL_ROWS, left = matrix->rows - first;
        const uint32_t rows = left < SL_PANEL_ROWS ? left : SL_PANEL_ROWS;
        if (product->x.tokens <= product->kernels->packed_tokens_max) {
            matrix->packing->multiply(packed, rows, &product->x, job->y + first, job->y_stride);
            continue;
        }
        matrix->packing->expand(packed, matrix->cols, scratch);
        if (first + SL_PANEL_ROWS < matrix->rows)
            prefetch_bytes(packed + matrix->packed_panel_bytes, matrix->packed_panel_bytes);
        product->kernels->panels[matrix->type].multiply(scratch, rows, &product->x, job->y + first,
                                                        job->y_stride);
    }
}

/* Row groups [begin, end) of one job. */
static void multiply_groups(const struct product *product, const struct sl_matmul_job *job,
                            uint32_t begin, uint32_t end, uint32_t worker)
{
    const struct sl_matrix *matrix = job->matrix;
    if (packing_in(product->kernels, matrix) != NULL) {
        multiply_packed(product, job, begin, end, worker);
        return;
    }
    const bool uses_panel = uses_panels(product->kernels, matrix->type, product->x.tokens);
    const uint32_t rows_end =
        end * SL_PANEL_ROWS < matrix->rows ? end * SL_PANEL_ROWS : matrix->rows;
    uint32_t first = begin * SL_PANEL_ROWS;
    if (!uses_panel && product->x.tokens <= SL_TOKEN_TILE) {
        multiply_rows(product, job, first, rows_end - first);
        return;
    }
    void *scratch = product->panels + worker * product->panel_bytes;
    for (; first < rows_end; first += SL_PANEL_ROWS) {
        const uint32_t left = rows_end - first;
        const uint32_t rows = left < SL_PANEL_ROWS ? left : SL_PANEL_ROWS;
        if (!uses_panel) {
            multiply_rows(product, job, first, rows);
            continue;
        }
        const struct sl_panel *panel = &product->kernels->panels[matrix->type];
        panel->pack(matrix->data + first * matrix->row_bytes, matrix->row_bytes, rows,
                    matrix->cols, scratch);
        prefetch_rows(matrix, first + SL_PANEL_ROWS);
        panel->multiply(scratch, rows, &product->x, job->y + first, job->y_stride);
    }
}

/* Row groups [begin, end) of all jobs, counted through. */
static void multiply_range(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    const struct product *product = ctx;
    uint32_t passed = 0;
    for (uint32_t i = 0; i < product->job_count && passed < end; i++) {
        const uint32_t groups = panels_of(product->jobs[i].matrix);
        const uint32_t from = begin > passed ? begin - passed : 0;
        const uint32_t to = end - passed < groups ? end - passed : groups;
        if (from < to)
            multiply_groups(product, &product->jobs[i], from, to, worker);
        passed += groups;
    }
}

void sl_matmul_jobs(struct sl_pool *pool, const struct sl_matmul_job *jobs, uint32_t job_count,
                    const float *x, size_t x_stride, uint32_t tokens, void *scratch)
{
    if (tokens == 0 || job_count == 0)
        return;
    const uint32_t cols = jobs[0].matrix->cols;
    const struct layout layout = lay_out(cols, tokens, sl_pool_threads(pool));
    uint8_t *base = scratch;
    struct product product = {
        .kernels = sl_kernels()->matmul,
        .jobs = jobs,
        .job_count = job_count,
        .x = {.cols = cols, .tokens = tokens, .x = x, .x_stride = x_stride,
              .q = (int8_t *)base, .q_stride = layout.q_stride,
              .d = (float *)(base + layout.d), .d_stride = layout.d_stride,
              .sums = (float *)(base + layout.sums),
              .offsets = (int32_t *)(base + layout.offsets), .tiles = base + layout.tiles,
              .tile_bytes = layout.tile_bytes},
        .panels = base + layout.panels,
        .panel_bytes = layout.panel_bytes,
    };
    uint32_t groups = 0;
    bool is_quantized = false;
    for (uint32_t i = 0; i < job_count; i++) {
        assert(jobs[i].matrix->cols == cols);
        groups += panels_of(jobs[i].matrix);
        is_quantized |= sl_type_traits(jobs[i].matrix->type)->is_quantized;
        product.reads_tiles |= packing_in(product.kernels, jobs[i].matrix) != NULL ||
                               uses_panels(product.kernels, jobs[i].matrix->type, tokens);
        product.x.by_runs |= scales_runs(jobs[i].matrix->type);
    }
    if (is_quantized)
        sl_pool_for(pool, tiles_of(tokens), 1, quantize_tiles, &product);
    sl_pool_for(pool, groups, 1, multiply_range, &product);
}

void sl_matmul(struct sl_pool *pool, const struct sl_matrix *matrix, const float *x,
               uint32_t tokens, float *y, void *scratch)
{
    const struct sl_matmul_job job = {matrix, y, matrix->rows};
    sl_matmul_jobs(pool, &job, 1, x, matrix->cols, tokens, scratch);
}

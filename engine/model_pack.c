/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the memory of a model's weights where the CPU's kernels want them in another form than the
 * file's (kernels.h: sl_matrix_pack), when each is rearranged, and that they are not there twice.
 *
 * All matrices of the forward pass go into one anonymous mapping of huge pages, a piece at a time,
 * between the steps of the thread that runs them: a model is ready as soon as its file is mapped,
 * and a request that comes at once is served from the file's form meanwhile. As soon as rows were
 * read, their pages of the file are given back. They are clean, so that costs nothing, and a later
 * read (by other kernels) finds them again.
 *
 * What it costs: one pass over the weights, 0.3 to 0.5 s a GB and core, and memory that is no
 * longer the page cache's: a system short of memory has to swap where it could have dropped pages.
 * Where the mapping is refused, the weights stay as the file has them.
 *
 * Threads: that of the forward passes, which owns model and pool.
 *
 * Invariants: 1. a matrix's form is taken into use only when all of its rows are there. 2. All are
 * rearranged for the kernels that were in force at the first piece; when others are chosen it ends.
 */
#include "model.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LAYER_MATRICES 7
#define HUGE_PAGE ((size_t)2 << 20)

struct sl_model_packed {
    uint8_t *memory; /* NULL: none, or refused */
    size_t bytes;
    const struct sl_kernels *kernels; /* that it is for */
    /* What comes next. */
    uint32_t matrix; /* counted through: the output, then those of each layer */
    uint32_t panel;  /* of that matrix */
    size_t at;       /* where that matrix begins in `memory` */
};

static uint32_t matrix_count(const struct sl_model *model)
{
    return 1 + model->hparams.layer_count * LAYER_MATRICES;
}

/* Matrix `idx`, which the model may lack. */
static struct sl_matrix *slot_of(struct sl_model *model, uint32_t idx)
{
    if (idx == 0)
        return &model->output;
    struct sl_layer *layer = &model->layers[(idx - 1) / LAYER_MATRICES];
    struct sl_matrix *const all[LAYER_MATRICES] = {&layer->q,  &layer->k,    &layer->v,
                                                   &layer->attention_out,    &layer->up,
                                                   &layer->gate, &layer->down};
    return all[(idx - 1) % LAYER_MATRICES];
}

/* The same; NULL where the model lacks it or it stays as it is. */
static struct sl_matrix *matrix_at(struct sl_model *model, uint32_t idx)
{
    struct sl_matrix *matrix = slot_of(model, idx);
    return matrix->rows > 0 && sl_matrix_packed_bytes(matrix) > 0 ? matrix : NULL;
}

static size_t count_bytes(struct sl_model *model)
{
    size_t total = 0;
    for (uint32_t idx = 0; idx < matrix_count(model); idx++) {
        const struct sl_matrix *matrix = matrix_at(model, idx);
        total += matrix != NULL ? sl_matrix_packed_bytes(matrix) : 0;
    }
    return total;
}

static struct sl_model_packed *reserve(struct sl_model *model)
{
    struct sl_model_packed *packed = calloc(1, sizeof *packed);
    if (packed == NULL)
        return NULL;
    packed->kernels = sl_kernels();
    packed->bytes = (count_bytes(model) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (packed->bytes == 0)
        return packed;
    void *memory =
        mmap(NULL, packed->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return packed;
    madvise(memory, packed->bytes, MADV_HUGEPAGE);
    packed->memory = memory;
    return packed;
}

/* Up to `panels` panels of one matrix; returns how many. */
static uint32_t pack_part(struct sl_model *model, struct sl_matrix *matrix, struct sl_pool *pool,
                          uint32_t panels)
{
    struct sl_model_packed *packed = model->packed;
    const uint32_t all = (matrix->rows + SL_PACK_ROWS - 1) / SL_PACK_ROWS;
    const uint32_t left = all - packed->panel, count = left < panels ? left : panels;
    const uint32_t first_row = packed->panel * SL_PACK_ROWS;
    const uint32_t end_row = count < left ? first_row + count * SL_PACK_ROWS : matrix->rows;
    uint8_t *memory = packed->memory + packed->at;
    sl_matrix_pack_panels(matrix, pool, memory, packed->panel, count);
    if (sl_gguf_is_mapped(model->gguf))
        sl_gguf_drop_pages(matrix->data + first_row * matrix->row_bytes,
                           (end_row - first_row) * matrix->row_bytes);
    packed->panel += count;
    if (count < left)
        return count;
    packed->at += sl_matrix_packed_bytes(matrix);
    packed->panel = 0;
    packed->matrix++;
    const bool is_tied = matrix == &model->output && model->token_embedding.data == matrix->data;
    sl_matrix_use_packed(matrix, memory);
    if (is_tied)
        model->token_embedding = *matrix; /* its rows are read from the same form */
    return count;
}

/* Gives the file's pages of matrices [first, end) back once more: reading what lies beside them
 * maps some of them again, as the system maps several pages at a fault. */
static void drop_again(struct sl_model *model, uint32_t first, uint32_t end)
{
    for (uint32_t idx = first; idx < end && sl_gguf_is_mapped(model->gguf); idx++) {
        const struct sl_matrix *matrix = slot_of(model, idx);
        if (matrix->packed != NULL)
            sl_gguf_drop_pages(matrix->data, matrix->rows * matrix->row_bytes);
    }
}

bool sl_model_pack_some(struct sl_model *model, struct sl_pool *pool, size_t bytes)
{
    if (model->packed == NULL && (model->packed = reserve(model)) == NULL)
        return false;
    struct sl_model_packed *packed = model->packed;
    size_t done = 0;
    while (packed->memory != NULL && packed->matrix < matrix_count(model) &&
           packed->kernels == sl_kernels()) {
        struct sl_matrix *matrix = matrix_at(model, packed->matrix);
        if (done >= bytes && matrix != NULL)
            return true;
        if (packed->panel == 0 && packed->matrix % LAYER_MATRICES == 1)
            drop_again(model, packed->matrix > LAYER_MATRICES ? packed->matrix - LAYER_MATRICES : 0,
                       packed->matrix);
        if (matrix == NULL) {
            packed->matrix++;
            continue;
        }
        const size_t panel_bytes = SL_PACK_ROWS * matrix->row_bytes;
        const size_t panels = (bytes - done + panel_bytes - 1) / panel_bytes;
        done += panel_bytes * pack_part(model, matrix, pool,
                                        panels < matrix->rows ? (uint32_t)panels : matrix->rows);
    }
    if (sl_gguf_is_mapped(model->gguf))
        sl_gguf_drop_pages(sl_gguf_file_data(model->gguf), sl_gguf_file_bytes(model->gguf));
    return false;
}

void sl_model_pack(struct sl_model *model, struct sl_pool *pool)
{
    while (sl_model_pack_some(model, pool, SIZE_MAX / 2))
        ;
}

void sl_model_unpack(struct sl_model *model)
{
    if (model->packed != NULL && model->packed->memory != NULL)
        munmap(model->packed->memory, model->packed->bytes);
    free(model->packed);
}

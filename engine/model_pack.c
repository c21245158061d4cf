/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the memory of a model's weights where the CPU's kernels want them in another form than the
 * file's (kernels.h: sl_matrix_pack), and that they are not there twice.
 *
 * All matrices of the forward pass are rearranged into one anonymous mapping of huge pages; as soon
 * as one is done, the pages of the file that it came from are given back. They are clean, so that
 * costs nothing, and a later read (by other kernels) finds them again. The largest matrix goes first,
 * while little else is resident: the peak is the model plus one small matrix.
 *
 * What it costs: opening takes the time of one pass over the weights (1 to 3 GB/s a core), and the
 * memory is no longer the page cache's: a system short of memory has to swap where it could have
 * dropped pages. Where the mapping is refused, the weights stay as the file has them.
 *
 * Threads: the opener's, with the pool, before the model is published.
 */
#include "model.h"

#include <sys/mman.h>

#define LAYER_MATRICES 7
#define HUGE_PAGE ((size_t)2 << 20)

/* The matrices of a layer, in the order of the forward pass. */
static void list_layer(struct sl_layer *layer, struct sl_matrix *out[LAYER_MATRICES])
{
    struct sl_matrix *const all[LAYER_MATRICES] = {&layer->q,   &layer->k,  &layer->v,
                                                   &layer->attention_out, &layer->up,
                                                   &layer->gate, &layer->down};
    for (size_t idx = 0; idx < LAYER_MATRICES; idx++)
        out[idx] = all[idx];
}

static size_t bytes_of(const struct sl_matrix *matrix)
{
    return matrix->rows > 0 ? sl_matrix_packed_bytes(matrix) : 0;
}

static size_t count_bytes(struct sl_model *model)
{
    size_t total = bytes_of(&model->output);
    for (uint32_t idx = 0; idx < model->hparams.layer_count; idx++) {
        struct sl_matrix *matrices[LAYER_MATRICES];
        list_layer(&model->layers[idx], matrices);
        for (size_t at = 0; at < LAYER_MATRICES; at++)
            total += bytes_of(matrices[at]);
    }
    return total;
}

/* Rearranges one matrix; returns where the next one goes. */
static uint8_t *pack_one(struct sl_model *model, struct sl_matrix *matrix, struct sl_pool *pool,
                         uint8_t *at)
{
    const size_t bytes = bytes_of(matrix);
    if (bytes == 0)
        return at;
    sl_matrix_pack(matrix, pool, at);
    if (sl_gguf_is_mapped(model->gguf))
        sl_gguf_drop_pages(matrix->data, matrix->rows * matrix->row_bytes);
    return at + bytes;
}

void sl_model_pack(struct sl_model *model, struct sl_pool *pool)
{
    const size_t bytes = (count_bytes(model) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (bytes == 0)
        return;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    madvise(memory, bytes, MADV_HUGEPAGE);
    model->packed = memory;
    model->packed_bytes = bytes;
    uint8_t *at = pack_one(model, &model->output, pool, memory);
    if (model->token_embedding.data == model->output.data)
        model->token_embedding = model->output; /* tied: rows are read from the one form */
    for (uint32_t idx = 0; idx < model->hparams.layer_count; idx++) {
        struct sl_matrix *matrices[LAYER_MATRICES];
        list_layer(&model->layers[idx], matrices);
        for (size_t matrix = 0; matrix < LAYER_MATRICES; matrix++)
            at = pack_one(model, matrices[matrix], pool, at);
    }
}

void sl_model_unpack(struct sl_model *model)
{
    if (model->packed != NULL)
        munmap(model->packed, model->packed_bytes);
}

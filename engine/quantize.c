/* SPDX-License-Identifier: Apache-2.0
 *
 * The quantize tool of sluice/quantize.h: copies the metadata, decides a type for every tensor, and
 * streams the tensors through a buffer of a few megabytes, rows split over all cores.
 *
 * The file is laid out before anything is written, since the header holds the offsets:
 *
 *   magic, version 3, counts | metadata entries | tensor descriptions | padding | data, each padded
 *
 * Leaves the choice of types to quantize_mix.c and blocks to quantize_blocks.c.
 *
 * Threads: one caller; its own pool for the rows.
 */
#include "sluice/quantize.h"

#include "gguf.h"
#include "quantize_blocks.h"
#include "quantize_mix.h"
#include "thread_pool.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define QUANTIZATION_VERSION 2u     /* of ggml's block layouts */
#define BUFFER_BYTES (8u << 20)     /* of output rows: enough for all cores, small beside a model */
#define PATH_BYTES_MAX 4096u

struct job {
    const struct sl_gguf *gguf;
    const struct sl_mix *mix;
    enum sl_tensor_type *types; /* (tensor) */
    uint64_t alignment;
    FILE *file;
    const char *path; /* being written */
    struct sl_pool *pool;
    struct sl_error *error;
};

const char *sl_quantize_types(void)
{
    return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, "
           "Q4_K_M, Q5_K_S, Q5_K_M, Q6_K";
}

/* ---- planning ---- */

static enum sl_err plan_tensor(struct job *job, uint64_t idx, const struct sl_mix_model *model)
{
    const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(job->gguf, idx);
    const int name_len = tensor->name.len < 64 ? (int)tensor->name.len : 64;
    const struct sl_type_traits *from = sl_type_traits(tensor->type);
    const enum sl_tensor_type to = sl_mix_choose(job->mix, model, tensor);
    job->types[idx] = to;
    if (to == tensor->type)
        return SL_OK;
    if (from == NULL)
        return sl_error_set(job->error, SL_ERR_UNSUPPORTED, "tensor %.*s: type %u cannot be read",
                            name_len, tensor->name.data, tensor->type);
    if (from->is_quantized && sl_type_traits(to)->is_quantized)
        return sl_error_set(job->error, SL_ERR_UNSUPPORTED,
                            "tensor %.*s is %s already; start from a file with float weights",
                            name_len, tensor->name.data, from->name);
    return SL_OK;
}

static enum sl_err plan(struct job *job)
{
    const uint64_t count = sl_gguf_tensor_count(job->gguf);
    struct sl_mix_model model;
    enum sl_err err = SL_OK;
    sl_mix_model_init(&model, job->gguf);
    job->alignment = sl_gguf_u32_or(job->gguf, "general.alignment", 32);
    job->types = calloc(count + 1, sizeof *job->types);
    if (job->types == NULL)
        return sl_error_set(job->error, SL_ERR_MEMORY, NULL);
    for (uint64_t i = 0; i < count && err == SL_OK; i++)
        err = plan_tensor(job, i, &model);
    return err;
}

static uint64_t rows_of(const struct sl_gguf_tensor *tensor)
{
    return tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
}

/* Bytes of tensor `idx` in the new file. */
static uint64_t bytes_out(const struct job *job, uint64_t idx)
{
    const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(job->gguf, idx);
    if (job->types[idx] == tensor->type)
        return tensor->bytes;
    return rows_of(tensor) * sl_type_row_bytes(job->types[idx], tensor->dims[0]);
}

static uint64_t padding(const struct job *job, uint64_t offset)
{
    return (job->alignment - offset % job->alignment) % job->alignment;
}

/* ---- writing ---- */

static enum sl_err put(struct job *job, const void *data, size_t len)
{
    if (len > 0 && fwrite(data, 1, len, job->file) != len)
        return sl_error_set(job->error, SL_ERR_IO, "%.256s: %s", job->path, strerror(errno));
    return SL_OK;
}

static enum sl_err put_u32(struct job *job, uint32_t value)
{
    return put(job, &value, sizeof value);
}

static enum sl_err put_u64(struct job *job, uint64_t value)
{
    return put(job, &value, sizeof value);
}

static enum sl_err put_name(struct job *job, struct sl_slice name)
{
    const enum sl_err err = put_u64(job, name.len);
    return err == SL_OK ? put(job, name.data, name.len) : err;
}

static enum sl_err put_key_u32(struct job *job, const char *key, uint32_t value)
{
    enum sl_err err = put_name(job, sl_slice_of(key));
    if (err == SL_OK)
        err = put_u32(job, SL_GGUF_U32);
    return err == SL_OK ? put_u32(job, value) : err;
}

static enum sl_err put_zeros(struct job *job, uint64_t len)
{
    static const uint8_t zeros[256];
    enum sl_err err = SL_OK;
    for (; len > 0 && err == SL_OK; len -= len < sizeof zeros ? len : sizeof zeros)
        err = put(job, zeros, len < sizeof zeros ? (size_t)len : sizeof zeros);
    return err;
}

/* Keys that this file sets itself. */
static bool is_ours(struct sl_slice key)
{
    return sl_slice_equal_text(key, "general.file_type") ||
           sl_slice_equal_text(key, "general.quantization_version");
}

static enum sl_err write_metadata(struct job *job)
{
    struct sl_slice entry;
    uint64_t count = 2;
    for (uint64_t i = 0; i < sl_gguf_key_count(job->gguf); i++)
        count += !is_ours(sl_gguf_key_at(job->gguf, i, &entry));
    enum sl_err err = put(job, "GGUF", 4);
    if (err == SL_OK)
        err = put_u32(job, 3);
    if (err == SL_OK)
        err = put_u64(job, sl_gguf_tensor_count(job->gguf));
    if (err == SL_OK)
        err = put_u64(job, count);
    for (uint64_t i = 0; i < sl_gguf_key_count(job->gguf) && err == SL_OK; i++)
        if (!is_ours(sl_gguf_key_at(job->gguf, i, &entry)))
            err = put(job, entry.data, entry.len);
    if (err == SL_OK)
        err = put_key_u32(job, "general.quantization_version", QUANTIZATION_VERSION);
    return err == SL_OK ? put_key_u32(job, "general.file_type", job->mix->file_type) : err;
}

static enum sl_err write_descriptions(struct job *job)
{
    enum sl_err err = SL_OK;
    uint64_t offset = 0;
    for (uint64_t i = 0; i < sl_gguf_tensor_count(job->gguf) && err == SL_OK; i++) {
        const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(job->gguf, i);
        err = put_name(job, tensor->name);
        if (err == SL_OK)
            err = put_u32(job, tensor->dim_count);
        if (err == SL_OK)
            err = put(job, tensor->dims, tensor->dim_count * sizeof tensor->dims[0]);
        if (err == SL_OK)
            err = put_u32(job, job->types[i]);
        if (err == SL_OK)
            err = put_u64(job, offset);
        offset += bytes_out(job, i);
        offset += padding(job, offset);
    }
    const long at = ftell(job->file);
    if (err == SL_OK && at < 0)
        return sl_error_set(job->error, SL_ERR_IO, "%.256s: %s", job->path, strerror(errno));
    return err == SL_OK ? put_zeros(job, padding(job, (uint64_t)at)) : err;
}

/* ---- tensors ---- */

struct rows {
    const struct sl_gguf_tensor *tensor;
    enum sl_tensor_type to;
    uint64_t first; /* row of the tensor that goes to the buffer's start */
    uint8_t *out;
    float *floats; /* (worker, columns) */
    atomic_bool is_finite;
};

static void convert_rows(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct rows *rows = ctx;
    const size_t columns = rows->tensor->dims[0];
    const struct sl_type_traits *from = sl_type_traits(rows->tensor->type);
    const size_t in_bytes = sl_type_row_bytes(rows->tensor->type, columns);
    const size_t out_bytes = sl_type_row_bytes(rows->to, columns);
    float *floats = rows->floats + worker * columns;
    for (uint32_t row = begin; row < end; row++) {
        bool is_finite = true;
        from->dequantize((const uint8_t *)rows->tensor->data + (rows->first + row) * in_bytes,
                         floats, columns);
        for (size_t i = 0; i < columns; i++)
            is_finite &= isfinite(floats[i]) != 0;
        if (!is_finite)
            atomic_store_explicit(&rows->is_finite, false, memory_order_relaxed);
        else
            (void)sl_quantize_row(rows->to, floats, rows->out + row * out_bytes, columns);
    }
}

static enum sl_err convert_tensor(struct job *job, const struct sl_gguf_tensor *tensor,
                                  enum sl_tensor_type to)
{
    const size_t row_bytes = sl_type_row_bytes(to, tensor->dims[0]);
    const uint64_t together = row_bytes < BUFFER_BYTES ? BUFFER_BYTES / row_bytes : 1;
    struct rows rows = {.tensor = tensor, .to = to};
    enum sl_err err = SL_OK;
    atomic_init(&rows.is_finite, true);
    rows.out = malloc(together * row_bytes);
    rows.floats = calloc(sl_pool_threads(job->pool), tensor->dims[0] * sizeof *rows.floats);
    if (rows.out == NULL || rows.floats == NULL)
        err = sl_error_set(job->error, SL_ERR_MEMORY, NULL);
    for (; rows.first < rows_of(tensor) && err == SL_OK; rows.first += together) {
        const uint64_t left = rows_of(tensor) - rows.first;
        const uint64_t count = left < together ? left : together;
        sl_pool_for(job->pool, (uint32_t)count, 1, convert_rows, &rows);
        err = put(job, rows.out, count * row_bytes);
        if (!atomic_load(&rows.is_finite))
            err = sl_error_set(job->error, SL_ERR_FORMAT,
                               "tensor %.*s holds a weight that is not finite",
                               tensor->name.len < 64 ? (int)tensor->name.len : 64,
                               tensor->name.data);
    }
    free(rows.out);
    free(rows.floats);
    return err;
}

static enum sl_err write_tensors(struct job *job, sl_quantize_progress_fn *progress, void *ctx)
{
    const uint64_t count = sl_gguf_tensor_count(job->gguf);
    enum sl_err err = SL_OK;
    for (uint64_t i = 0; i < count && err == SL_OK; i++) {
        const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(job->gguf, i);
        const struct sl_quantize_progress now = {
            .idx = i, .count = count, .name = tensor->name, .from = sl_type_name(tensor->type),
            .to = sl_type_name(job->types[i]), .bytes_in = tensor->bytes,
            .bytes_out = bytes_out(job, i),
        };
        if (progress != NULL)
            progress(ctx, &now);
        err = job->types[i] == tensor->type ? put(job, tensor->data, tensor->bytes)
                                            : convert_tensor(job, tensor, job->types[i]);
        if (err == SL_OK)
            err = put_zeros(job, padding(job, now.bytes_out));
    }
    return err;
}

/* All of the file, and safely on the disk. */
static enum sl_err write_file(struct job *job, sl_quantize_progress_fn *progress, void *ctx)
{
    job->file = fopen(job->path, "wb");
    if (job->file == NULL)
        return sl_error_set(job->error, SL_ERR_IO, "%.256s: %s", job->path, strerror(errno));
    enum sl_err err = write_metadata(job);
    if (err == SL_OK)
        err = write_descriptions(job);
    if (err == SL_OK)
        err = write_tensors(job, progress, ctx);
    if (err == SL_OK && (fflush(job->file) != 0 || fsync(fileno(job->file)) != 0))
        err = sl_error_set(job->error, SL_ERR_IO, "%.256s: %s", job->path, strerror(errno));
    if (fclose(job->file) != 0 && err == SL_OK)
        err = sl_error_set(job->error, SL_ERR_IO, "%.256s: %s", job->path, strerror(errno));
    return err;
}

enum sl_err sl_quantize_file(const char *in_path, const char *out_path, const char *type,
                             sl_quantize_progress_fn *progress, void *progress_ctx,
                             struct sl_error *error)
{
    char part[PATH_BYTES_MAX];
    struct sl_gguf *gguf = NULL;
    struct job job = {.mix = sl_mix_find(type), .path = part, .error = error};
    if (job.mix == NULL)
        return sl_error_set(error, SL_ERR_INVALID, "type \"%.32s\": expected one of %s", type,
                            sl_quantize_types());
    if ((size_t)snprintf(part, sizeof part, "%s.part", out_path) >= sizeof part)
        return sl_error_set(error, SL_ERR_INVALID, "the output path is too long");
    enum sl_err err = sl_gguf_open(in_path, &gguf, error);
    if (err != SL_OK)
        return err;
    job.gguf = gguf;
    job.pool = sl_pool_create(0);
    err = job.pool != NULL ? plan(&job) : sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK) {
        err = write_file(&job, progress, progress_ctx);
        if (err == SL_OK && rename(part, out_path) != 0)
            err = sl_error_set(error, SL_ERR_IO, "%.256s: %s", out_path, strerror(errno));
        if (err != SL_OK)
            unlink(part);
    }
    free(job.types);
    sl_pool_free(job.pool);
    sl_gguf_close(gguf);
    return err;
}

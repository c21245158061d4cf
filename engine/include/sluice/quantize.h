/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a smaller GGUF file out of one with float weights: what `sluice quantize` calls.
 *
 *     struct sl_error error = {0};
 *     if (sl_quantize_file("m-F16.gguf", "m-Q4_K_M.gguf", "Q4_K_M", NULL, NULL, &error) != SL_OK)
 *         fprintf(stderr, "%s\n", error.message);
 *
 * The result is read by any GGUF reader: metadata and alignment are kept, general.file_type and
 * general.quantization_version are set, and tensors get the types that llama-quantize would give
 * them (embedding, output and every few layers' V and down projections in finer types; rows that
 * no 256-weight block divides in the nearest plain type).
 *
 * Threads: a call uses all cores and returns when done; several calls may run at once.
 */
#ifndef SLUICE_QUANTIZE_H
#define SLUICE_QUANTIZE_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

/* One tensor is about to be written. */
struct sl_quantize_progress {
    uint64_t idx;   /* of this tensor, from 0 */
    uint64_t count; /* of all tensors */
    struct sl_slice name;
    const char *from, *to; /* types, as "F16" */
    uint64_t bytes_in, bytes_out;
};
typedef void sl_quantize_progress_fn(void *ctx, const struct sl_quantize_progress *progress);

/* Names that `type` may have, separated by ", ", for messages and help. */
const char *sl_quantize_types(void);

/* Reads in_path, writes out_path (through out_path.part, renamed when complete, so that a reader
 * never sees half a file). `type` is one of sl_quantize_types, in any case. `progress` may be NULL.
 * Errors: SL_ERR_INVALID (no such type), SL_ERR_IO, SL_ERR_FORMAT (the input; or weights that are
 * not finite), SL_ERR_UNSUPPORTED (the input is quantized already), SL_ERR_MEMORY. */
enum sl_err sl_quantize_file(const char *in_path, const char *out_path, const char *type,
                             sl_quantize_progress_fn *progress, void *progress_ctx,
                             struct sl_error *error) SL_MUST_CHECK;

#endif

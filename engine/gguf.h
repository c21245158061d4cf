/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF v2 and v3, little-endian, read through a memory map. Every count, length, offset and
 * alignment is checked against the file before it is used; a bad file is refused with the field,
 * its offset and what was expected. Source: ggml docs/gguf.md.
 *
 *     struct sl_gguf *gguf;
 *     if (sl_gguf_open("m.gguf", &gguf, &error) != SL_OK) ...
 *     uint32_t layers;
 *     if (sl_gguf_u32(gguf, "llama.block_count", &layers, &error) != SL_OK) ...
 *     const struct sl_gguf_tensor *tensor = sl_gguf_tensor(gguf, "token_embd.weight");
 *     sl_gguf_close(gguf);
 *
 * Threads: immutable after open. Ownership: slices and tensors point into the map.
 */
#ifndef SLUICE_ENGINE_GGUF_H
#define SLUICE_ENGINE_GGUF_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

/* Types of metadata values, with the numbers of the format. */
enum sl_gguf_type {
    SL_GGUF_U8, SL_GGUF_I8, SL_GGUF_U16, SL_GGUF_I16, SL_GGUF_U32, SL_GGUF_I32, SL_GGUF_F32,
    SL_GGUF_BOOL, SL_GGUF_STRING, SL_GGUF_ARRAY, SL_GGUF_U64, SL_GGUF_I64, SL_GGUF_F64
};

struct sl_gguf;

#define SL_GGUF_DIMS_MAX 4

struct sl_gguf_tensor {
    struct sl_slice name;
    uint32_t type;                   /* enum sl_tensor_type of quant_blocks.h (ggml's numbers) */
    uint32_t dim_count;
    uint64_t dims[SL_GGUF_DIMS_MAX]; /* dims[0] is the row length; missing ones are 1 */
    const void *data;
    uint64_t bytes;
};

struct sl_gguf_array {
    enum sl_gguf_type type; /* of the elements */
    uint64_t count;
    const void *data;       /* packed elements, unaligned; for strings the first length word */
};

enum sl_err sl_gguf_open(const char *path, struct sl_gguf **out,
                         struct sl_error *error) SL_MUST_CHECK;
/* Reads from memory that outlives the result (fuzzing, bundles). */
enum sl_err sl_gguf_open_memory(const void *data, size_t len, struct sl_gguf **out,
                                struct sl_error *error) SL_MUST_CHECK;
void sl_gguf_close(struct sl_gguf *gguf);

bool sl_gguf_has(const struct sl_gguf *gguf, const char *key);
/* Typed look-ups; integers of any width convert where the value fits. SL_ERR_FORMAT, naming the
 * key, where it is absent or of another type. */
enum sl_err sl_gguf_u32(const struct sl_gguf *gguf, const char *key, uint32_t *out,
                        struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_gguf_f32(const struct sl_gguf *gguf, const char *key, float *out,
                        struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_gguf_string(const struct sl_gguf *gguf, const char *key, struct sl_slice *out,
                           struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_gguf_array(const struct sl_gguf *gguf, const char *key, struct sl_gguf_array *out,
                          struct sl_error *error) SL_MUST_CHECK;
/* The same with a value for an absent key; a wrong type counts as absent. */
uint32_t sl_gguf_u32_or(const struct sl_gguf *gguf, const char *key, uint32_t otherwise);
float sl_gguf_f32_or(const struct sl_gguf *gguf, const char *key, float otherwise);
bool sl_gguf_bool_or(const struct sl_gguf *gguf, const char *key, bool otherwise);
struct sl_slice sl_gguf_string_or(const struct sl_gguf *gguf, const char *key,
                                  struct sl_slice otherwise);

/* Walks an array of strings: *cursor starts at array->data, `index` counts up from 0. The lengths
 * were checked at open. */
struct sl_slice sl_gguf_next_string(const void **cursor);
/* Element `idx` of a numeric array, converted. */
double sl_gguf_array_number(const struct sl_gguf_array *array, uint64_t idx);

uint64_t sl_gguf_tensor_count(const struct sl_gguf *gguf);
const struct sl_gguf_tensor *sl_gguf_tensor_at(const struct sl_gguf *gguf, uint64_t idx);
const struct sl_gguf_tensor *sl_gguf_tensor(const struct sl_gguf *gguf, const char *name);
uint64_t sl_gguf_file_bytes(const struct sl_gguf *gguf);
const void *sl_gguf_file_data(const struct sl_gguf *gguf);
/* Whether the data is a map of a file; else it is the caller's memory. */
bool sl_gguf_is_mapped(const struct sl_gguf *gguf);
/* Gives the whole pages within a part of such a map back to the system. They are clean and come back
 * when they are read. Any thread, also beside readers. */
void sl_gguf_drop_pages(const void *data, size_t len);
uint64_t sl_gguf_key_count(const struct sl_gguf *gguf);
/* Key `idx` and its whole encoded entry (key, type, value), for tools that copy a file. */
struct sl_slice sl_gguf_key_at(const struct sl_gguf *gguf, uint64_t idx, struct sl_slice *entry);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * What gguf_parse.c finds in a file and gguf.c looks up in it. Private to these two.
 */
#ifndef SLUICE_ENGINE_GGUF_INTERNAL_H
#define SLUICE_ENGINE_GGUF_INTERNAL_H

#include "gguf.h"

#define SL_GGUF_MEMORY_ALIGN 8u /* so that floats and halves in the file can be read in place */

/* One metadata entry: where it lies. */
struct sl_gguf_key {
    struct sl_slice name;
    struct sl_slice entry; /* name length to end of value */
    enum sl_gguf_type type;
    const uint8_t *value; /* unaligned */
};

/* Open addressing over the names of one table; empty slots hold UINT32_MAX. */
struct sl_gguf_index {
    uint32_t *slots;
    uint32_t mask;
};

struct sl_gguf {
    const uint8_t *data;
    size_t size;
    bool is_mapped; /* else the memory is the caller's */
    struct sl_gguf_key *keys;
    uint64_t key_count;
    struct sl_gguf_index key_index;
    struct sl_gguf_tensor *tensors;
    uint64_t tensor_count;
    struct sl_gguf_index tensor_index;
};

/* Fills keys, tensors and their indexes from data and size, checking everything. On failure the
 * caller closes what there is. */
enum sl_err sl_gguf_parse(struct sl_gguf *gguf, struct sl_error *error) SL_MUST_CHECK;

/* The slot of an index that holds `name`, or the empty one (UINT32_MAX) where it belongs. */
uint32_t *sl_gguf_slot(const struct sl_gguf *gguf, const struct sl_gguf_index *index,
                       struct sl_slice name);

/* Bytes of a value with a fixed size; 0 for strings, arrays and what is no type. */
static inline uint32_t sl_gguf_fixed_bytes(uint32_t type)
{
    static const uint8_t bytes[] = {
        [SL_GGUF_U8] = 1,  [SL_GGUF_I8] = 1,  [SL_GGUF_U16] = 2, [SL_GGUF_I16] = 2,
        [SL_GGUF_U32] = 4, [SL_GGUF_I32] = 4, [SL_GGUF_F32] = 4, [SL_GGUF_BOOL] = 1,
        [SL_GGUF_U64] = 8, [SL_GGUF_I64] = 8, [SL_GGUF_F64] = 8,
    };
    return type < sizeof bytes ? bytes[type] : 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass over a GGUF file that checks everything later code relies on, so that look-ups and walks
 * need no checks of their own:
 *  1. every entry of `keys` has its whole value inside the file, nested arrays included;
 *  2. every tensor's data lies inside the data section, aligned, and overlaps no other tensor;
 *  3. names are unique, so that a second definition cannot hide behind the first.
 * Memory is bounded by the file: counts are compared with the bytes left before tables are made.
 *
 * Values stay where the file has them. Opening and look-ups are in gguf.c.
 *
 * Threads: called once, by the thread that opens the file.
 */
#include "gguf_internal.h"

#include "quant_blocks.h"

#include "sluice/checked.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GGUF_MAGIC 0x46554747u /* "GGUF", little-endian */
#define ALIGNMENT_DEFAULT 32u  /* docs/gguf.md, general.alignment */
#define ALIGNMENT_MAX 65536u   /* nothing sensible is above a large page of some CPUs */
#define NAME_BYTES_MAX 65535u  /* docs/gguf.md, limit of keys; ours for tensors too */
#define NESTING_MAX 4u         /* arrays in arrays; published files have none */
#define ENTRY_BYTES_MIN 13u    /* key length 8, type 4, value 1 */
#define TENSOR_BYTES_MIN 24u   /* name length 8, dimension count 4, type 4, offset 8 */

/* ---- the cursor ---- */

struct cursor {
    const uint8_t *data;
    size_t size;
    size_t pos; /* invariant: pos <= size */
    struct sl_error *error;
};

static size_t bytes_left(const struct cursor *cursor)
{
    return cursor->size - cursor->pos;
}

static enum sl_err take(struct cursor *cursor, const char *field, uint64_t len,
                        const uint8_t **out)
{
    if (len > bytes_left(cursor))
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "%s at offset %zu: needs %" PRIu64 " bytes, the file has %zu more",
                            field, cursor->pos, len, bytes_left(cursor));
    *out = cursor->data + cursor->pos;
    cursor->pos += (size_t)len;
    return SL_OK;
}

static enum sl_err take_u32(struct cursor *cursor, const char *field, uint32_t *out)
{
    const uint8_t *bytes = NULL;
    const enum sl_err err = take(cursor, field, sizeof *out, &bytes);
    if (err == SL_OK)
        memcpy(out, bytes, sizeof *out);
    return err;
}

static enum sl_err take_u64(struct cursor *cursor, const char *field, uint64_t *out)
{
    const uint8_t *bytes = NULL;
    const enum sl_err err = take(cursor, field, sizeof *out, &bytes);
    if (err == SL_OK)
        memcpy(out, bytes, sizeof *out);
    return err;
}

static enum sl_err take_string(struct cursor *cursor, const char *field, struct sl_slice *out)
{
    uint64_t len = 0;
    const uint8_t *bytes = NULL;
    enum sl_err err = take_u64(cursor, field, &len);
    if (err == SL_OK)
        err = take(cursor, field, len, &bytes);
    if (err == SL_OK)
        *out = (struct sl_slice){(const char *)bytes, (size_t)len};
    return err;
}

static enum sl_err take_name(struct cursor *cursor, const char *field, struct sl_slice *out)
{
    const size_t start = cursor->pos;
    const enum sl_err err = take_string(cursor, field, out);
    if (err != SL_OK)
        return err;
    if (out->len == 0 || out->len > NAME_BYTES_MAX)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "%s at offset %zu: length %zu, expected 1 to %u", field, start,
                            out->len, NAME_BYTES_MAX);
    return SL_OK;
}

static enum sl_err skip_array(struct cursor *cursor, const char *field, uint32_t depth);

/* Moves past one value of `type`, checking it whole. */
static enum sl_err skip_value(struct cursor *cursor, const char *field, uint32_t type,
                              uint32_t depth)
{
    const uint8_t *bytes = NULL;
    struct sl_slice text = {0};
    if (type == SL_GGUF_STRING)
        return take_string(cursor, field, &text);
    if (type == SL_GGUF_ARRAY)
        return skip_array(cursor, field, depth + 1);
    if (sl_gguf_fixed_bytes(type) == 0)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "%s at offset %zu: value type %u, expected 0 to %d", field,
                            cursor->pos - sizeof type, type, SL_GGUF_F64);
    return take(cursor, field, sl_gguf_fixed_bytes(type), &bytes);
}

static enum sl_err skip_array(struct cursor *cursor, const char *field, uint32_t depth)
{
    uint32_t type = 0;
    uint64_t count = 0;
    const uint8_t *bytes = NULL;
    if (depth > NESTING_MAX)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "%s at offset %zu: arrays nest more than %u deep", field, cursor->pos,
                            NESTING_MAX);
    enum sl_err err = take_u32(cursor, field, &type);
    if (err == SL_OK)
        err = take_u64(cursor, field, &count);
    if (err != SL_OK)
        return err;
    const uint32_t width = sl_gguf_fixed_bytes(type);
    const uint64_t width_min = width != 0 ? width : sizeof(uint64_t); /* a string's length word */
    if (count > bytes_left(cursor) / width_min)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "%s at offset %zu: %" PRIu64 " elements do not fit the %zu bytes left",
                            field, cursor->pos - sizeof count, count, bytes_left(cursor));
    if (width != 0)
        return take(cursor, field, count * width, &bytes);
    for (uint64_t i = 0; i < count && err == SL_OK; i++)
        err = skip_value(cursor, field, type, depth);
    if (count == 0 && type != SL_GGUF_STRING && type != SL_GGUF_ARRAY)
        return sl_error_set(cursor->error, SL_ERR_FORMAT, "%s at offset %zu: element type %u",
                            field, cursor->pos, type);
    return err;
}

/* ---- the indexes ---- */

static uint32_t hash_name(struct sl_slice name)
{
    uint32_t hash = 2166136261u; /* FNV-1a: names are short and from a file the operator chose */
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (uint8_t)name.data[i]) * 16777619u;
    return hash;
}

static enum sl_err index_init(struct sl_gguf_index *index, uint64_t count, struct sl_error *error)
{
    uint64_t slots = 8;
    while (slots < 2 * count)
        slots *= 2;
    index->slots = malloc(slots * sizeof *index->slots);
    if (index->slots == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    memset(index->slots, 0xff, slots * sizeof *index->slots);
    index->mask = (uint32_t)(slots - 1);
    return SL_OK;
}

static struct sl_slice name_at(const struct sl_gguf *gguf, const struct sl_gguf_index *index,
                               uint32_t idx)
{
    return index == &gguf->key_index ? gguf->keys[idx].name : gguf->tensors[idx].name;
}

uint32_t *sl_gguf_slot(const struct sl_gguf *gguf, const struct sl_gguf_index *index,
                            struct sl_slice name)
{
    uint32_t pos = hash_name(name) & index->mask;
    while (index->slots[pos] != UINT32_MAX &&
           !sl_slice_equal(name_at(gguf, index, index->slots[pos]), name))
        pos = (pos + 1) & index->mask;
    return &index->slots[pos];
}

static enum sl_err index_add(const struct sl_gguf *gguf, struct sl_gguf_index *index, uint32_t idx,
                             size_t offset, struct sl_error *error)
{
    const struct sl_slice name = name_at(gguf, index, idx);
    uint32_t *slot = sl_gguf_slot(gguf, index, name);
    if (*slot != UINT32_MAX)
        return sl_error_set(error, SL_ERR_FORMAT, "%s at offset %zu: defined twice",
                            index == &gguf->key_index ? "metadata key" : "tensor", offset);
    *slot = idx;
    return SL_OK;
}

/* ---- the parts of a file ---- */

static enum sl_err read_header(struct sl_gguf *gguf, struct cursor *cursor)
{
    uint32_t magic = 0, version = 0;
    enum sl_err err = take_u32(cursor, "magic", &magic);
    if (err == SL_OK && magic != GGUF_MAGIC)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "magic at offset 0: 0x%08x, expected \"GGUF\"", magic);
    if (err == SL_OK)
        err = take_u32(cursor, "version", &version);
    if (err == SL_OK && (version < 2 || version > 3))
        return sl_error_set(cursor->error, SL_ERR_UNSUPPORTED,
                            "version at offset 4: %u%s, expected 2 or 3", version,
                            (version & 0xffffu) == 0 ? " (a big-endian file)" : "");
    if (err == SL_OK)
        err = take_u64(cursor, "tensor count", &gguf->tensor_count);
    if (err == SL_OK)
        err = take_u64(cursor, "metadata count", &gguf->key_count);
    if (err != SL_OK)
        return err;
    if (gguf->tensor_count > bytes_left(cursor) / TENSOR_BYTES_MIN ||
        gguf->tensor_count >= UINT32_MAX)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "tensor count at offset 8: %" PRIu64 " does not fit the file",
                            gguf->tensor_count);
    if (gguf->key_count > bytes_left(cursor) / ENTRY_BYTES_MIN || gguf->key_count >= UINT32_MAX)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "metadata count at offset 16: %" PRIu64 " does not fit the file",
                            gguf->key_count);
    return SL_OK;
}

static enum sl_err read_key(struct cursor *cursor, struct sl_gguf_key *key)
{
    const size_t start = cursor->pos;
    uint32_t type = 0;
    char field[80];
    enum sl_err err = take_name(cursor, "metadata key", &key->name);
    if (err != SL_OK)
        return err;
    snprintf(field, sizeof field, "%.*s", key->name.len < 64 ? (int)key->name.len : 64,
             key->name.data);
    err = take_u32(cursor, field, &type);
    if (err != SL_OK)
        return err;
    key->type = type;
    key->value = cursor->data + cursor->pos;
    err = skip_value(cursor, field, type, 0);
    if (err == SL_OK && type == SL_GGUF_BOOL && *key->value > 1)
        err = sl_error_set(cursor->error, SL_ERR_FORMAT,
                           "%s at offset %zu: a boolean of %u, expected 0 or 1", field,
                           cursor->pos - 1, *key->value);
    key->entry = (struct sl_slice){(const char *)cursor->data + start, cursor->pos - start};
    return err;
}

static enum sl_err read_keys(struct sl_gguf *gguf, struct cursor *cursor)
{
    gguf->keys = calloc(gguf->key_count + 1, sizeof *gguf->keys);
    if (gguf->keys == NULL)
        return sl_error_set(cursor->error, SL_ERR_MEMORY, NULL);
    enum sl_err err = index_init(&gguf->key_index, gguf->key_count, cursor->error);
    for (uint32_t i = 0; i < gguf->key_count && err == SL_OK; i++) {
        const size_t start = cursor->pos;
        err = read_key(cursor, &gguf->keys[i]);
        if (err == SL_OK)
            err = index_add(gguf, &gguf->key_index, i, start, cursor->error);
    }
    return err;
}

/* Bytes and weights of a block of any type that may stand in a file, runnable or not. */
static bool block_shape(uint32_t type, uint32_t *weights, uint32_t *bytes)
{
    static const uint8_t plain[] = {[24] = 1, [25] = 2, [26] = 4, [27] = 8, [28] = 8}; /* I8, ... */
    const struct sl_type_traits *traits = sl_type_traits(type);
    if (traits != NULL) {
        *weights = traits->block_size;
        *bytes = traits->block_bytes;
        return true;
    }
    *weights = 1;
    *bytes = type < sizeof plain ? plain[type] : 0;
    return *bytes != 0;
}

static enum sl_err tensor_bytes(struct sl_gguf_tensor *tensor, const char *field, size_t offset,
                                struct sl_error *error)
{
    uint32_t weights = 0, bytes = 0;
    if (!block_shape(tensor->type, &weights, &bytes))
        return sl_error_set(error, SL_ERR_UNSUPPORTED, "tensor %s at offset %zu: type %u is not "
                            "supported", field, offset, tensor->type);
    if (tensor->dims[0] % weights != 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor %s at offset %zu: rows of %" PRIu64
                            " are no multiple of %s's block of %u", field, offset, tensor->dims[0],
                            sl_type_name(tensor->type), weights);
    uint64_t total = tensor->dims[0] / weights;
    bool fits = sl_u64_mul(total, bytes, &total);
    for (uint32_t i = 1; i < SL_GGUF_DIMS_MAX && fits; i++)
        fits = sl_u64_mul(total, tensor->dims[i], &total);
    if (!fits)
        return sl_error_set(error, SL_ERR_FORMAT, "tensor %s at offset %zu: its size overflows",
                            field, offset);
    tensor->bytes = total;
    return SL_OK;
}

/* Reads one tensor's description; its offset in the data section goes to *data_offset. */
static enum sl_err read_tensor(struct cursor *cursor, struct sl_gguf_tensor *tensor,
                               uint64_t *data_offset)
{
    const size_t start = cursor->pos;
    char field[80];
    enum sl_err err = take_name(cursor, "tensor name", &tensor->name);
    if (err != SL_OK)
        return err;
    snprintf(field, sizeof field, "%.*s", tensor->name.len < 64 ? (int)tensor->name.len : 64,
             tensor->name.data);
    err = take_u32(cursor, field, &tensor->dim_count);
    if (err == SL_OK && (tensor->dim_count < 1 || tensor->dim_count > SL_GGUF_DIMS_MAX))
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "tensor %s at offset %zu: %u dimensions, expected 1 to %d", field,
                            start, tensor->dim_count, SL_GGUF_DIMS_MAX);
    for (uint32_t i = 0; i < SL_GGUF_DIMS_MAX && err == SL_OK; i++) {
        tensor->dims[i] = 1;
        if (i >= tensor->dim_count)
            continue;
        err = take_u64(cursor, field, &tensor->dims[i]);
        if (err == SL_OK && (tensor->dims[i] == 0 || tensor->dims[i] > INT64_MAX))
            return sl_error_set(cursor->error, SL_ERR_FORMAT,
                                "tensor %s at offset %zu: dimension %u is %" PRIu64, field, start,
                                i, tensor->dims[i]);
    }
    if (err == SL_OK)
        err = take_u32(cursor, field, &tensor->type);
    if (err == SL_OK)
        err = take_u64(cursor, field, data_offset);
    if (err == SL_OK)
        err = tensor_bytes(tensor, field, start, cursor->error);
    return err;
}

static int compare_data(const void *a, const void *b)
{
    const struct sl_gguf_tensor *const *x = a;
    const struct sl_gguf_tensor *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

static enum sl_err check_overlap(const struct sl_gguf *gguf, struct sl_error *error)
{
    const struct sl_gguf_tensor **order = malloc((gguf->tensor_count + 1) * sizeof *order);
    if (order == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (uint64_t i = 0; i < gguf->tensor_count; i++)
        order[i] = &gguf->tensors[i];
    qsort(order, gguf->tensor_count, sizeof *order, compare_data);
    enum sl_err err = SL_OK;
    for (uint64_t i = 1; i < gguf->tensor_count && err == SL_OK; i++)
        if ((const uint8_t *)order[i - 1]->data + order[i - 1]->bytes >
            (const uint8_t *)order[i]->data)
            err = sl_error_set(error, SL_ERR_FORMAT,
                               "tensor %.*s: its data at offset %zu overlaps another tensor's",
                               order[i]->name.len < 64 ? (int)order[i]->name.len : 64,
                               order[i]->name.data,
                               (size_t)((const uint8_t *)order[i]->data - gguf->data));
    free(order);
    return err;
}

/* Sets the tensor's data pointer from its offset in the data section. */
static enum sl_err place_tensor(const struct sl_gguf *gguf, struct sl_gguf_tensor *tensor,
                                uint64_t section, uint64_t offset, uint32_t alignment,
                                struct sl_error *error)
{
    const int name_len = tensor->name.len < 64 ? (int)tensor->name.len : 64;
    if (offset % alignment != 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor %.*s: data offset %" PRIu64 " is no multiple of %u", name_len,
                            tensor->name.data, offset, alignment);
    const uint64_t room = section <= gguf->size ? gguf->size - section : 0;
    if (offset > room || tensor->bytes > room - offset)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tensor %.*s: %" PRIu64 " bytes at data offset %" PRIu64
                            " pass the end of the file (section of %" PRIu64 " bytes)",
                            name_len, tensor->name.data, tensor->bytes, offset, room);
    tensor->data = gguf->data + section + offset;
    return SL_OK;
}

static enum sl_err read_alignment(const struct sl_gguf *gguf, uint32_t *out,
                                  struct sl_error *error)
{
    *out = ALIGNMENT_DEFAULT;
    if (!sl_gguf_has(gguf, "general.alignment"))
        return SL_OK;
    const enum sl_err err = sl_gguf_u32(gguf, "general.alignment", out, error);
    if (err != SL_OK)
        return err;
    if (*out < SL_GGUF_MEMORY_ALIGN || *out > ALIGNMENT_MAX || (*out & (*out - 1)) != 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "general.alignment: %u, expected a power of two from %u to %u", *out,
                            SL_GGUF_MEMORY_ALIGN, ALIGNMENT_MAX);
    return SL_OK;
}

static enum sl_err read_tensors(struct sl_gguf *gguf, struct cursor *cursor)
{
    uint32_t alignment = 0;
    enum sl_err err = read_alignment(gguf, &alignment, cursor->error);
    if (err != SL_OK)
        return err;
    gguf->tensors = calloc(gguf->tensor_count + 1, sizeof *gguf->tensors);
    uint64_t *offsets = calloc(gguf->tensor_count + 1, sizeof *offsets);
    if (gguf->tensors == NULL || offsets == NULL)
        err = sl_error_set(cursor->error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK)
        err = index_init(&gguf->tensor_index, gguf->tensor_count, cursor->error);
    for (uint32_t i = 0; i < gguf->tensor_count && err == SL_OK; i++) {
        const size_t start = cursor->pos;
        err = read_tensor(cursor, &gguf->tensors[i], &offsets[i]);
        if (err == SL_OK)
            err = index_add(gguf, &gguf->tensor_index, i, start, cursor->error);
    }
    const uint64_t section = ((uint64_t)cursor->pos + alignment - 1) & ~(uint64_t)(alignment - 1);
    for (uint64_t i = 0; i < gguf->tensor_count && err == SL_OK; i++)
        err = place_tensor(gguf, &gguf->tensors[i], section, offsets[i], alignment, cursor->error);
    free(offsets);
    return err == SL_OK ? check_overlap(gguf, cursor->error) : err;
}

enum sl_err sl_gguf_parse(struct sl_gguf *gguf, struct sl_error *error)
{
    struct cursor cursor = {gguf->data, gguf->size, 0, error};
    enum sl_err err = read_header(gguf, &cursor);
    if (err == SL_OK)
        err = read_keys(gguf, &cursor);
    if (err == SL_OK)
        err = read_tensors(gguf, &cursor);
    return err;
}

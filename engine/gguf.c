/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader of gguf.h. Owns the map of the file and two indexes over it, one for the metadata and
 * one for the tensors; every value stays where the file has it. Leaves the meaning of keys to the
 * model, and the layout of blocks to quant_blocks.h.
 *
 * One pass of a cursor at open checks everything that later code relies on, so that look-ups and
 * walks need no checks of their own:
 *  1. every entry of `keys` has its whole value inside the file, nested arrays included;
 *  2. every tensor's data lies inside the data section, aligned, and overlaps no other tensor;
 *  3. names are unique, so that a second definition cannot hide behind the first.
 * Memory is bounded by the file: counts are compared with the bytes left before tables are made.
 *
 * A file that another process cuts short while it is mapped raises SIGBUS; models are replaced by
 * renaming over them, never in place.
 *
 * Threads: immutable after open.
 */
#include "gguf.h"

#include "quant_blocks.h"

#include "sluice/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GGUF_MAGIC 0x46554747u /* "GGUF", little-endian */
#define ALIGNMENT_DEFAULT 32u  /* docs/gguf.md, general.alignment */
#define ALIGNMENT_MAX 65536u   /* nothing sensible is above a large page of some CPUs */
#define NAME_BYTES_MAX 65535u  /* docs/gguf.md, limit of keys; ours for tensors too */
#define NESTING_MAX 4u         /* arrays in arrays; published files have none */
#define ENTRY_BYTES_MIN 13u    /* key length 8, type 4, value 1 */
#define TENSOR_BYTES_MIN 24u   /* name length 8, dimension count 4, type 4, offset 8 */
#define MEMORY_ALIGN 8u        /* so that floats and halves in the file can be read in place */

/* One metadata entry: where it lies. */
struct key {
    struct sl_slice name;
    struct sl_slice entry; /* name length to end of value */
    enum sl_gguf_type type;
    const uint8_t *value; /* unaligned */
};

/* Open addressing over the names of one table; empty slots hold UINT32_MAX. */
struct name_index {
    uint32_t *slots;
    uint32_t mask;
};

struct sl_gguf {
    const uint8_t *data;
    size_t size;
    bool is_mapped; /* else the memory is the caller's */
    struct key *keys;
    uint64_t key_count;
    struct name_index key_index;
    struct sl_gguf_tensor *tensors;
    uint64_t tensor_count;
    struct name_index tensor_index;
};

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

/* Bytes of a value with a fixed size; 0 for strings, arrays and what is no type. */
static uint32_t fixed_bytes(uint32_t type)
{
    static const uint8_t bytes[] = {
        [SL_GGUF_U8] = 1,  [SL_GGUF_I8] = 1,  [SL_GGUF_U16] = 2, [SL_GGUF_I16] = 2,
        [SL_GGUF_U32] = 4, [SL_GGUF_I32] = 4, [SL_GGUF_F32] = 4, [SL_GGUF_BOOL] = 1,
        [SL_GGUF_U64] = 8, [SL_GGUF_I64] = 8, [SL_GGUF_F64] = 8,
    };
    return type < sizeof bytes ? bytes[type] : 0;
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
    if (fixed_bytes(type) == 0)
        return sl_error_set(cursor->error, SL_ERR_FORMAT,
                            "%s at offset %zu: value type %u, expected 0 to %d", field,
                            cursor->pos - sizeof type, type, SL_GGUF_F64);
    return take(cursor, field, fixed_bytes(type), &bytes);
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
    const uint32_t width = fixed_bytes(type);
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

static enum sl_err index_init(struct name_index *index, uint64_t count, struct sl_error *error)
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

static struct sl_slice name_at(const struct sl_gguf *gguf, const struct name_index *index,
                               uint32_t idx)
{
    return index == &gguf->key_index ? gguf->keys[idx].name : gguf->tensors[idx].name;
}

/* The slot that holds `name`, or the empty one where it belongs. */
static uint32_t *index_slot(const struct sl_gguf *gguf, const struct name_index *index,
                            struct sl_slice name)
{
    uint32_t pos = hash_name(name) & index->mask;
    while (index->slots[pos] != UINT32_MAX &&
           !sl_slice_equal(name_at(gguf, index, index->slots[pos]), name))
        pos = (pos + 1) & index->mask;
    return &index->slots[pos];
}

static enum sl_err index_add(const struct sl_gguf *gguf, struct name_index *index, uint32_t idx,
                             size_t offset, struct sl_error *error)
{
    const struct sl_slice name = name_at(gguf, index, idx);
    uint32_t *slot = index_slot(gguf, index, name);
    if (*slot != UINT32_MAX)
        return sl_error_set(error, SL_ERR_FORMAT, "%s at offset %zu: defined twice",
                            index == &gguf->key_index ? "metadata key" : "tensor", offset);
    *slot = idx;
    return SL_OK;
}

static const struct key *find_key(const struct sl_gguf *gguf, const char *name)
{
    const uint32_t idx = *index_slot(gguf, &gguf->key_index, sl_slice_of(name));
    return idx == UINT32_MAX ? NULL : &gguf->keys[idx];
}

/* ---- opening ---- */

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

static enum sl_err read_key(struct cursor *cursor, struct key *key)
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
    static const uint8_t plain[] = {[24] = 1, [25] = 2, [26] = 4, [27] = 8, [28] = 8}; /* I8.. F64 */
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
    if (*out < MEMORY_ALIGN || *out > ALIGNMENT_MAX || (*out & (*out - 1)) != 0)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "general.alignment: %u, expected a power of two from %u to %u", *out,
                            MEMORY_ALIGN, ALIGNMENT_MAX);
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

static enum sl_err read_all(struct sl_gguf *gguf, struct sl_error *error)
{
    struct cursor cursor = {gguf->data, gguf->size, 0, error};
    enum sl_err err = read_header(gguf, &cursor);
    if (err == SL_OK)
        err = read_keys(gguf, &cursor);
    if (err == SL_OK)
        err = read_tensors(gguf, &cursor);
    return err;
}

static enum sl_err open_data(const void *data, size_t size, bool is_mapped, struct sl_gguf **out,
                             struct sl_error *error)
{
    struct sl_gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf == NULL) {
        if (is_mapped)
            munmap((void *)data, size);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    gguf->data = data;
    gguf->size = size;
    gguf->is_mapped = is_mapped;
    const enum sl_err err = read_all(gguf, error);
    if (err != SL_OK) {
        sl_gguf_close(gguf);
        return err;
    }
    *out = gguf;
    return SL_OK;
}

enum sl_err sl_gguf_open_memory(const void *data, size_t len, struct sl_gguf **out,
                                struct sl_error *error)
{
    if ((uintptr_t)data % MEMORY_ALIGN != 0)
        return sl_error_set(error, SL_ERR_INVALID, "the memory must be aligned to %u bytes",
                            MEMORY_ALIGN);
    return open_data(data, len, false, out, error);
}

static enum sl_err map_file(int fd, const char *path, const void **data, size_t *size,
                            struct sl_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return sl_error_set(error, SL_ERR_IO, "%.256s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return sl_error_set(error, SL_ERR_IO, "%.256s: not a regular file", path);
    if (info.st_size == 0)
        return sl_error_set(error, SL_ERR_FORMAT, "magic at offset 0: the file is empty");
    *size = (size_t)info.st_size;
    void *map = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return sl_error_set(error, SL_ERR_IO, "%.256s: %s", path, strerror(errno));
    *data = map;
    return SL_OK;
}

enum sl_err sl_gguf_open(const char *path, struct sl_gguf **out, struct sl_error *error)
{
    const void *data = NULL;
    size_t size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sl_error_set(error, SL_ERR_IO, "%.256s: %s", path, strerror(errno));
    const enum sl_err err = map_file(fd, path, &data, &size, error);
    close(fd); /* the map keeps the file */
    return err == SL_OK ? open_data(data, size, true, out, error) : err;
}

void sl_gguf_close(struct sl_gguf *gguf)
{
    if (gguf == NULL)
        return;
    if (gguf->is_mapped)
        munmap((void *)gguf->data, gguf->size);
    free(gguf->keys);
    free(gguf->key_index.slots);
    free(gguf->tensors);
    free(gguf->tensor_index.slots);
    free(gguf);
}

/* ---- look-ups ---- */

/* One element of a fixed size, at any address. Exact for all but the largest 64-bit integers, which
 * no metadata key needs beyond 2^53. */
static double number_at(enum sl_gguf_type type, const uint8_t *bytes)
{
    union {
        uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; float f32;
        uint64_t u64; int64_t i64; double f64;
    } value = {0};
    memcpy(&value, bytes, fixed_bytes(type));
    switch (type) {
    case SL_GGUF_U8: case SL_GGUF_BOOL: return value.u8;
    case SL_GGUF_I8: return value.i8;
    case SL_GGUF_U16: return value.u16;
    case SL_GGUF_I16: return value.i16;
    case SL_GGUF_U32: return value.u32;
    case SL_GGUF_I32: return value.i32;
    case SL_GGUF_F32: return (double)value.f32;
    case SL_GGUF_U64: return (double)value.u64;
    case SL_GGUF_I64: return (double)value.i64;
    case SL_GGUF_F64: return value.f64;
    case SL_GGUF_STRING: case SL_GGUF_ARRAY: break;
    }
    return 0;
}

static bool is_integer(enum sl_gguf_type type)
{
    return fixed_bytes(type) != 0 && type != SL_GGUF_F32 && type != SL_GGUF_F64 &&
           type != SL_GGUF_BOOL;
}

static bool is_number(enum sl_gguf_type type)
{
    return is_integer(type) || type == SL_GGUF_F32 || type == SL_GGUF_F64;
}

static enum sl_err lookup_failed(const struct key *key, const char *name, const char *expected,
                                 struct sl_error *error)
{
    if (key == NULL)
        return sl_error_set_param(error, SL_ERR_FORMAT, name, "%.128s: missing, expected %s", name,
                                  expected);
    return sl_error_set_param(error, SL_ERR_FORMAT, name, "%.128s: value type %d, expected %s",
                              name, (int)key->type, expected);
}

bool sl_gguf_has(const struct sl_gguf *gguf, const char *key)
{
    return find_key(gguf, key) != NULL;
}

enum sl_err sl_gguf_u32(const struct sl_gguf *gguf, const char *name, uint32_t *out,
                        struct sl_error *error)
{
    const struct key *key = find_key(gguf, name);
    if (key == NULL || !is_integer(key->type))
        return lookup_failed(key, name, "an integer", error);
    const double value = number_at(key->type, key->value);
    if (value < 0 || value > UINT32_MAX)
        return sl_error_set_param(error, SL_ERR_FORMAT, name,
                                  "%.128s: %.0f, expected 0 to 4294967295", name, value);
    *out = (uint32_t)value;
    return SL_OK;
}

enum sl_err sl_gguf_f32(const struct sl_gguf *gguf, const char *name, float *out,
                        struct sl_error *error)
{
    const struct key *key = find_key(gguf, name);
    if (key == NULL || !is_number(key->type))
        return lookup_failed(key, name, "a number", error);
    const double value = number_at(key->type, key->value);
    if (!isfinite(value) || value > 3.4028234e38 || value < -3.4028234e38)
        return sl_error_set_param(error, SL_ERR_FORMAT, name, "%.128s: not a finite float", name);
    *out = (float)value;
    return SL_OK;
}

static struct sl_slice string_at(const uint8_t *bytes)
{
    uint64_t len = 0;
    memcpy(&len, bytes, sizeof len);
    return (struct sl_slice){(const char *)bytes + sizeof len, (size_t)len};
}

enum sl_err sl_gguf_string(const struct sl_gguf *gguf, const char *name, struct sl_slice *out,
                           struct sl_error *error)
{
    const struct key *key = find_key(gguf, name);
    if (key == NULL || key->type != SL_GGUF_STRING)
        return lookup_failed(key, name, "a string", error);
    *out = string_at(key->value);
    return SL_OK;
}

enum sl_err sl_gguf_array(const struct sl_gguf *gguf, const char *name, struct sl_gguf_array *out,
                          struct sl_error *error)
{
    const struct key *key = find_key(gguf, name);
    uint32_t type = 0;
    if (key == NULL || key->type != SL_GGUF_ARRAY)
        return lookup_failed(key, name, "an array", error);
    memcpy(&type, key->value, sizeof type);
    memcpy(&out->count, key->value + sizeof type, sizeof out->count);
    out->type = type;
    out->data = key->value + sizeof type + sizeof out->count;
    return SL_OK;
}

uint32_t sl_gguf_u32_or(const struct sl_gguf *gguf, const char *key, uint32_t otherwise)
{
    uint32_t value;
    return sl_gguf_u32(gguf, key, &value, NULL) == SL_OK ? value : otherwise;
}

float sl_gguf_f32_or(const struct sl_gguf *gguf, const char *key, float otherwise)
{
    float value;
    return sl_gguf_f32(gguf, key, &value, NULL) == SL_OK ? value : otherwise;
}

bool sl_gguf_bool_or(const struct sl_gguf *gguf, const char *name, bool otherwise)
{
    const struct key *key = find_key(gguf, name);
    return key != NULL && key->type == SL_GGUF_BOOL ? *key->value != 0 : otherwise;
}

struct sl_slice sl_gguf_string_or(const struct sl_gguf *gguf, const char *key,
                                  struct sl_slice otherwise)
{
    struct sl_slice value;
    return sl_gguf_string(gguf, key, &value, NULL) == SL_OK ? value : otherwise;
}

struct sl_slice sl_gguf_next_string(const void **cursor)
{
    const struct sl_slice text = string_at(*cursor);
    *cursor = text.data + text.len;
    return text;
}

double sl_gguf_array_number(const struct sl_gguf_array *array, uint64_t idx)
{
    const uint8_t *bytes = array->data;
    return number_at(array->type, bytes + idx * fixed_bytes(array->type));
}

uint64_t sl_gguf_tensor_count(const struct sl_gguf *gguf)
{
    return gguf->tensor_count;
}

const struct sl_gguf_tensor *sl_gguf_tensor_at(const struct sl_gguf *gguf, uint64_t idx)
{
    return idx < gguf->tensor_count ? &gguf->tensors[idx] : NULL;
}

const struct sl_gguf_tensor *sl_gguf_tensor(const struct sl_gguf *gguf, const char *name)
{
    const uint32_t idx = *index_slot(gguf, &gguf->tensor_index, sl_slice_of(name));
    return idx == UINT32_MAX ? NULL : &gguf->tensors[idx];
}

uint64_t sl_gguf_file_bytes(const struct sl_gguf *gguf)
{
    return gguf->size;
}

const void *sl_gguf_file_data(const struct sl_gguf *gguf)
{
    return gguf->data;
}

uint64_t sl_gguf_key_count(const struct sl_gguf *gguf)
{
    return gguf->key_count;
}

struct sl_slice sl_gguf_key_at(const struct sl_gguf *gguf, uint64_t idx, struct sl_slice *entry)
{
    if (idx >= gguf->key_count) {
        *entry = (struct sl_slice){0};
        return (struct sl_slice){0};
    }
    *entry = gguf->keys[idx].entry;
    return gguf->keys[idx].name;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader of gguf.h: owns the map of the file and answers look-ups from the two indexes that
 * gguf_parse.c made. Leaves the meaning of keys to the model, and the layout of blocks to
 * quant_blocks.h.
 *
 * A file that another process cuts short while it is mapped raises SIGBUS; models are replaced by
 * renaming over them, never in place.
 *
 * Threads: immutable after open.
 */
#include "gguf_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

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
    const enum sl_err err = sl_gguf_parse(gguf, error);
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
    if ((uintptr_t)data % SL_GGUF_MEMORY_ALIGN != 0)
        return sl_error_set(error, SL_ERR_INVALID, "the memory must be aligned to %u bytes",
                            SL_GGUF_MEMORY_ALIGN);
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

static const struct sl_gguf_key *find_key(const struct sl_gguf *gguf, const char *name)
{
    const uint32_t idx = *sl_gguf_slot(gguf, &gguf->key_index, sl_slice_of(name));
    return idx == UINT32_MAX ? NULL : &gguf->keys[idx];
}

/* One element of a fixed size, at any address. Exact for all but the largest 64-bit integers, which
 * no metadata key needs beyond 2^53. */
static double number_at(enum sl_gguf_type type, const uint8_t *bytes)
{
    union {
        uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; float f32;
        uint64_t u64; int64_t i64; double f64;
    } value = {0};
    memcpy(&value, bytes, sl_gguf_fixed_bytes(type));
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
    return sl_gguf_fixed_bytes(type) != 0 && type != SL_GGUF_F32 && type != SL_GGUF_F64 &&
           type != SL_GGUF_BOOL;
}

static bool is_number(enum sl_gguf_type type)
{
    return is_integer(type) || type == SL_GGUF_F32 || type == SL_GGUF_F64;
}

static enum sl_err lookup_failed(const struct sl_gguf_key *key, const char *name,
                                 const char *expected, struct sl_error *error)
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
    const struct sl_gguf_key *key = find_key(gguf, name);
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
    const struct sl_gguf_key *key = find_key(gguf, name);
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
    const struct sl_gguf_key *key = find_key(gguf, name);
    if (key == NULL || key->type != SL_GGUF_STRING)
        return lookup_failed(key, name, "a string", error);
    *out = string_at(key->value);
    return SL_OK;
}

enum sl_err sl_gguf_array(const struct sl_gguf *gguf, const char *name, struct sl_gguf_array *out,
                          struct sl_error *error)
{
    const struct sl_gguf_key *key = find_key(gguf, name);
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
    const struct sl_gguf_key *key = find_key(gguf, name);
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
    return number_at(array->type, bytes + idx * sl_gguf_fixed_bytes(array->type));
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
    const uint32_t idx = *sl_gguf_slot(gguf, &gguf->tensor_index, sl_slice_of(name));
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

bool sl_gguf_is_mapped(const struct sl_gguf *gguf)
{
    return gguf->is_mapped;
}

void sl_gguf_drop_pages(const void *data, size_t len)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + len) / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
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

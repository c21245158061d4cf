/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader on any bytes: it refuses with a message or everything it hands out can be read.
 */
#include "gguf.h"
#include "kernels.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* so that no read is optimised away */

static void read_array(const struct sl_gguf_array *array)
{
    const void *cursor = array->data;
    uint64_t sum = 0;
    if (array->type == SL_GGUF_ARRAY)
        return;
    for (uint64_t i = 0; i < array->count; i++) {
        if (array->type == SL_GGUF_STRING) {
            const struct sl_slice text = sl_gguf_next_string(&cursor);
            for (size_t j = 0; j < text.len; j++)
                sum += (uint8_t)text.data[j];
        } else {
            sum += sl_gguf_array_number(array, i) > 0;
        }
    }
    sink += sum;
}

static void read_keys(const struct sl_gguf *gguf)
{
    for (uint64_t i = 0; i < sl_gguf_key_count(gguf); i++) {
        struct sl_slice entry, text;
        struct sl_gguf_array array;
        struct sl_error error = {0};
        float f32;
        char name[256];
        const struct sl_slice key = sl_gguf_key_at(gguf, i, &entry);
        if (key.len >= sizeof name || memchr(key.data, 0, key.len) != NULL)
            continue;
        memcpy(name, key.data, key.len);
        name[key.len] = '\0';
        if (!sl_gguf_has(gguf, name))
            abort();
        sink += sl_gguf_u32_or(gguf, name, 1) + sl_gguf_bool_or(gguf, name, false);
        if (sl_gguf_f32(gguf, name, &f32, &error) == SL_OK)
            sink += f32 > 0;
        if (sl_gguf_string(gguf, name, &text, &error) == SL_OK && text.len > 0)
            sink += (uint8_t)text.data[text.len - 1];
        if (sl_gguf_array(gguf, name, &array, &error) == SL_OK)
            read_array(&array);
    }
}

static void read_tensors(const struct sl_gguf *gguf)
{
    for (uint64_t i = 0; i < sl_gguf_tensor_count(gguf); i++) {
        const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(gguf, i);
        struct sl_matrix matrix;
        struct sl_error error = {0};
        const uint8_t *bytes = tensor->data;
        for (uint64_t j = 0; j < tensor->bytes; j++)
            sink += bytes[j];
        if (sl_matrix_init(&matrix, tensor, &error) != SL_OK)
            continue;
        float *row = malloc(((size_t)matrix.cols + 1) * sizeof *row);
        if (row != NULL)
            sl_matrix_row(&matrix, matrix.rows - 1, row);
        free(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_gguf *gguf = NULL;
    struct sl_error error = {0};
    if (sl_gguf_open_memory(data, size, &gguf, &error) == SL_OK) {
        read_keys(gguf);
        read_tensors(gguf);
    } else if (error.message[0] == '\0') {
        abort();
    }
    sl_gguf_close(gguf);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Good files read as written; files that are wrong in one place are refused with the field and the
 * offset. Memory is given at its exact length, so that the sanitizer sees a read past it.
 */
#include "gguf.h"
#include "gguf_writer.h"
#include "quant_blocks.h"
#include "test_support.h"

#include <stdlib.h>

static struct gguf_writer writer;

/* Opens an exact copy of what was written; the copy lives until close_copy. */
static void *copy;

static enum sl_err open_copy(struct sl_gguf **gguf, struct sl_error *error)
{
    copy = malloc(writer.len > 0 ? writer.len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, writer.data, writer.len);
    memset(error, 0, sizeof *error);
    *gguf = NULL;
    return sl_gguf_open_memory(copy, writer.len, gguf, error);
}

static void expect_refused(enum sl_err code, const char *words)
{
    struct sl_gguf *gguf;
    struct sl_error error;
    const enum sl_err err = open_copy(&gguf, &error);
    ck_assert_msg(err == code, "expected %s, got %d: %s", words, (int)err, error.message);
    ck_assert_msg(strstr(error.message, words) != NULL, "\"%s\" lacks \"%s\"", error.message,
                  words);
    free(copy);
}

/* A file with a key of every type and two tensors. */
static void write_good(void)
{
    const uint8_t data[64] = {1, 2, 3};
    gw_header(&writer, 2, 9);
    gw_key_text(&writer, "general.architecture", "llama");
    gw_key_u32(&writer, "u32", 7);
    gw_key(&writer, "i8", SL_GGUF_I8);
    gw_bytes(&writer, "\xff", 1);
    gw_key(&writer, "u64", SL_GGUF_U64);
    gw_u64(&writer, 1ull << 40);
    gw_key(&writer, "f32", SL_GGUF_F32);
    gw_u32(&writer, 0x3fc00000);
    gw_key(&writer, "yes", SL_GGUF_BOOL);
    gw_bytes(&writer, "\1", 1);
    gw_key(&writer, "numbers", SL_GGUF_ARRAY);
    gw_u32(&writer, SL_GGUF_I16);
    gw_u64(&writer, 3);
    gw_bytes(&writer, "\1\0\xfe\xff\3\0", 6);
    gw_key(&writer, "words", SL_GGUF_ARRAY);
    gw_u32(&writer, SL_GGUF_STRING);
    gw_u64(&writer, 3);
    gw_text(&writer, "a");
    gw_text(&writer, "");
    gw_text(&writer, "longer");
    gw_key(&writer, "nested", SL_GGUF_ARRAY);
    gw_u32(&writer, SL_GGUF_ARRAY);
    gw_u64(&writer, 1);
    gw_u32(&writer, SL_GGUF_U8);
    gw_u64(&writer, 2);
    gw_bytes(&writer, "\1\2", 2);
    gw_tensor(&writer, "a.weight", SL_TYPE_F32, 4, 0, 0);
    gw_tensor(&writer, "b.weight", SL_TYPE_Q4_0, 32, 1, 32);
    gw_align(&writer, 32);
    gw_bytes(&writer, data, 32 + 18);
}

START_TEST(values_read_as_written)
{
    struct sl_gguf *gguf;
    struct sl_error error;
    struct sl_slice text, entry;
    struct sl_gguf_array array;
    uint32_t u32;
    float f32;
    write_good();
    ck_assert_msg(open_copy(&gguf, &error) == SL_OK, "%s", error.message);
    ck_assert_int_eq(sl_gguf_string(gguf, "general.architecture", &text, &error), SL_OK);
    ck_assert(sl_slice_equal_text(text, "llama"));
    ck_assert_int_eq(sl_gguf_u32(gguf, "u32", &u32, &error), SL_OK);
    ck_assert_uint_eq(u32, 7);
    ck_assert_int_eq(sl_gguf_f32(gguf, "f32", &f32, &error), SL_OK);
    ck_assert_float_eq(f32, 1.5f);
    ck_assert_int_eq(sl_gguf_f32(gguf, "i8", &f32, &error), SL_OK);
    ck_assert_float_eq(f32, -1);
    ck_assert(sl_gguf_bool_or(gguf, "yes", false));
    ck_assert(sl_gguf_has(gguf, "words") && !sl_gguf_has(gguf, "word"));
    ck_assert_int_eq(sl_gguf_array(gguf, "numbers", &array, &error), SL_OK);
    ck_assert_uint_eq(array.count, 3);
    ck_assert_double_eq(sl_gguf_array_number(&array, 1), -2);
    ck_assert_int_eq(sl_gguf_array(gguf, "words", &array, &error), SL_OK);
    const void *cursor = array.data;
    ck_assert(sl_slice_equal_text(sl_gguf_next_string(&cursor), "a"));
    ck_assert_uint_eq(sl_gguf_next_string(&cursor).len, 0);
    ck_assert(sl_slice_equal_text(sl_gguf_next_string(&cursor), "longer"));
    ck_assert_uint_eq(sl_gguf_key_count(gguf), 9);
    ck_assert(sl_slice_equal_text(sl_gguf_key_at(gguf, 1, &entry), "u32"));
    ck_assert_uint_eq(entry.len, 8 + 3 + 4 + 4);
    ck_assert_ptr_null(sl_gguf_key_at(gguf, 9, &entry).data);
    sl_gguf_close(gguf);
    free(copy);
}
END_TEST

START_TEST(wrong_types_and_values_that_do_not_fit_name_the_key)
{
    struct sl_gguf *gguf;
    struct sl_error error;
    struct sl_slice text;
    uint32_t u32 = 99;
    write_good();
    ck_assert_int_eq(open_copy(&gguf, &error), SL_OK);
    ck_assert_int_eq(sl_gguf_u32(gguf, "missing", &u32, &error), SL_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "missing: missing"));
    ck_assert_str_eq(error.param, "missing");
    ck_assert_int_eq(sl_gguf_u32(gguf, "u64", &u32, &error), SL_ERR_FORMAT);
    ck_assert_int_eq(sl_gguf_u32(gguf, "i8", &u32, &error), SL_ERR_FORMAT);
    ck_assert_int_eq(sl_gguf_u32(gguf, "f32", &u32, &error), SL_ERR_FORMAT);
    ck_assert_int_eq(sl_gguf_string(gguf, "u32", &text, &error), SL_ERR_FORMAT);
    ck_assert_uint_eq(u32, 99);
    ck_assert_uint_eq(sl_gguf_u32_or(gguf, "u64", 5), 5);
    ck_assert_uint_eq(sl_gguf_u32_or(gguf, "u32", 5), 7);
    ck_assert(!sl_gguf_bool_or(gguf, "u32", false));
    sl_gguf_close(gguf);
    free(copy);
}
END_TEST

START_TEST(tensors_have_shape_size_and_place)
{
    struct sl_gguf *gguf;
    struct sl_error error;
    write_good();
    ck_assert_int_eq(open_copy(&gguf, &error), SL_OK);
    const struct sl_gguf_tensor *a = sl_gguf_tensor(gguf, "a.weight");
    const struct sl_gguf_tensor *b = sl_gguf_tensor_at(gguf, 1);
    ck_assert(a != NULL && b == sl_gguf_tensor(gguf, "b.weight"));
    ck_assert_ptr_null(sl_gguf_tensor(gguf, "c.weight"));
    ck_assert_ptr_null(sl_gguf_tensor_at(gguf, 2));
    ck_assert_uint_eq(a->bytes, 16);
    ck_assert_uint_eq(a->dims[1], 1);
    ck_assert_uint_eq(b->bytes, 18);
    ck_assert_int_eq(((const uint8_t *)a->data)[2], 3);
    ck_assert_ptr_eq((const uint8_t *)b->data, (const uint8_t *)a->data + 32);
    sl_gguf_close(gguf);
    free(copy);
}
END_TEST

START_TEST(every_truncation_of_a_good_file_is_refused)
{
    write_good();
    const size_t whole = writer.len;
    for (writer.len = 0; writer.len < whole; writer.len++) {
        struct sl_gguf *gguf;
        struct sl_error error;
        const enum sl_err err = open_copy(&gguf, &error);
        ck_assert_msg(err == SL_ERR_FORMAT && error.message[0] != '\0', "%zu bytes: %d", writer.len,
                      (int)err);
        free(copy);
    }
}
END_TEST

START_TEST(a_flipped_byte_never_crashes)
{
    write_good();
    for (size_t i = 0; i < writer.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct sl_gguf *gguf;
            struct sl_error error;
            writer.data[i] ^= (uint8_t)(1 << bit);
            if (open_copy(&gguf, &error) == SL_OK)
                sl_gguf_close(gguf);
            free(copy);
            writer.data[i] ^= (uint8_t)(1 << bit);
        }
}
END_TEST

START_TEST(lies_are_refused_with_field_and_offset)
{
    writer.len = 0;
    gw_bytes(&writer, "GGML....", 8);
    expect_refused(SL_ERR_FORMAT, "magic at offset 0");
    writer.len = 0;
    gw_bytes(&writer, "GGUF\1\0\0\0", 8);
    expect_refused(SL_ERR_UNSUPPORTED, "version at offset 4: 1");
    writer.len = 0;
    gw_bytes(&writer, "GGUF\0\0\0\3", 8);
    expect_refused(SL_ERR_UNSUPPORTED, "big-endian");
    gw_header(&writer, UINT64_MAX, 0);
    expect_refused(SL_ERR_FORMAT, "tensor count at offset 8");
    gw_header(&writer, 0, UINT64_MAX / 2);
    expect_refused(SL_ERR_FORMAT, "metadata count at offset 16");
    gw_header(&writer, 0, 1);
    gw_u64(&writer, UINT64_MAX - 7);
    gw_align(&writer, 64);
    expect_refused(SL_ERR_FORMAT, "metadata key at offset 32");
    gw_header(&writer, 0, 1);
    gw_key(&writer, "k", 13);
    gw_u64(&writer, 0);
    expect_refused(SL_ERR_FORMAT, "k at offset 33: value type 13");
    gw_header(&writer, 0, 1);
    gw_key(&writer, "k", SL_GGUF_BOOL);
    gw_bytes(&writer, "\2", 1);
    expect_refused(SL_ERR_FORMAT, "boolean of 2");
    gw_header(&writer, 0, 1);
    gw_key(&writer, "k", SL_GGUF_ARRAY);
    gw_u32(&writer, SL_GGUF_U64);
    gw_u64(&writer, 1ull << 61);
    gw_u64(&writer, 0);
    expect_refused(SL_ERR_FORMAT, "elements do not fit");
    gw_header(&writer, 0, 2);
    gw_key_u32(&writer, "same", 1);
    gw_key_u32(&writer, "same", 2);
    expect_refused(SL_ERR_FORMAT, "metadata key at offset 44: defined twice");
    gw_header(&writer, 0, 1);
    gw_key(&writer, "deep", SL_GGUF_ARRAY);
    for (int i = 0; i < 9; i++) {
        gw_u32(&writer, SL_GGUF_ARRAY);
        gw_u64(&writer, 1);
    }
    expect_refused(SL_ERR_FORMAT, "nest");
    gw_header(&writer, 0, 1);
    gw_key_u32(&writer, "general.alignment", 12);
    expect_refused(SL_ERR_FORMAT, "general.alignment: 12");
}
END_TEST

static void write_tensor(uint32_t type, uint64_t cols, uint64_t rows, uint64_t offset)
{
    gw_header(&writer, 1, 0);
    gw_tensor(&writer, "t", type, cols, rows, offset);
    gw_align(&writer, 32);
    const uint8_t zeros[64] = {0};
    gw_bytes(&writer, zeros, 64);
}

START_TEST(tensors_that_lie_are_refused)
{
    write_tensor(SL_TYPE_F32, 16, 1, 0);
    struct sl_gguf *gguf;
    struct sl_error error;
    ck_assert_int_eq(open_copy(&gguf, &error), SL_OK);
    sl_gguf_close(gguf);
    free(copy);
    write_tensor(SL_TYPE_F32, 17, 1, 0);
    expect_refused(SL_ERR_FORMAT, "pass the end of the file");
    write_tensor(SL_TYPE_F32, 8, 1, 4);
    expect_refused(SL_ERR_FORMAT, "no multiple of 32");
    write_tensor(SL_TYPE_F32, 8, 1, UINT64_MAX - 31);
    expect_refused(SL_ERR_FORMAT, "pass the end");
    write_tensor(SL_TYPE_Q4_0, 33, 1, 0);
    expect_refused(SL_ERR_FORMAT, "no multiple of Q4_0's block of 32");
    write_tensor(17, 256, 1, 0);
    expect_refused(SL_ERR_UNSUPPORTED, "type 17 is not supported");
    write_tensor(SL_TYPE_F32, 1ull << 40, 1ull << 40, 0);
    expect_refused(SL_ERR_FORMAT, "overflows");
    gw_header(&writer, 1, 0);
    gw_text(&writer, "t");
    gw_u32(&writer, 5);
    gw_align(&writer, 256);
    expect_refused(SL_ERR_FORMAT, "5 dimensions");
    gw_header(&writer, 2, 0);
    gw_tensor(&writer, "t", SL_TYPE_F32, 16, 0, 0);
    gw_tensor(&writer, "u", SL_TYPE_F32, 8, 0, 32);
    gw_align(&writer, 32);
    gw_align(&writer, 128);
    gw_bytes(&writer, writer.data, 64);
    expect_refused(SL_ERR_FORMAT, "tensor u: its data");
}
END_TEST

START_TEST(files_are_mapped_and_bad_paths_say_why)
{
    struct sl_gguf *gguf = NULL;
    struct sl_error error = {0};
    char path[1024];
    write_good();
    snprintf(path, sizeof path, "%s/good.gguf", sl_test_scratch());
    gw_save(&writer, path);
    ck_assert_msg(sl_gguf_open(path, &gguf, &error) == SL_OK, "%s", error.message);
    ck_assert_uint_eq(sl_gguf_file_bytes(gguf), writer.len);
    ck_assert_mem_eq(sl_gguf_file_data(gguf), "GGUF", 4);
    sl_gguf_close(gguf);
    sl_gguf_close(NULL);
    ck_assert_int_eq(sl_gguf_open("/nonexistent/m.gguf", &gguf, &error), SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent/m.gguf"));
    ck_assert_int_eq(sl_gguf_open("/", &gguf, &error), SL_ERR_IO);
    writer.len = 0;
    gw_save(&writer, path);
    ck_assert_int_eq(sl_gguf_open(path, &gguf, &error), SL_ERR_FORMAT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf");
    TCase *tcase = tcase_create("gguf");
    tcase_add_test(tcase, values_read_as_written);
    tcase_add_test(tcase, wrong_types_and_values_that_do_not_fit_name_the_key);
    tcase_add_test(tcase, tensors_have_shape_size_and_place);
    tcase_add_test(tcase, every_truncation_of_a_good_file_is_refused);
    tcase_add_test(tcase, a_flipped_byte_never_crashes);
    tcase_add_test(tcase, lies_are_refused_with_field_and_offset);
    tcase_add_test(tcase, tensors_that_lie_are_refused);
    tcase_add_test(tcase, files_are_mapped_and_bad_paths_say_why);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}

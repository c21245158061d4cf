/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversions of halves, and dequantization against the layout written out by hand. The full rows
 * of every type are in tests/conformance/engine/conformance_dequant.c.
 */
#include "kernels_matmul.h"
#include "quant_blocks.h"
#include "test_support.h"

#include <math.h>

START_TEST(halves_convert_both_ways)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const float value = sl_f16_to_f32((sl_f16)bits);
        const int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
        double expected = exponent == 0 ? ldexp(mantissa, -24)
                                        : ldexp(1024 + mantissa, exponent - 25);
        if (exponent == 31)
            expected = mantissa != 0 ? (double)NAN : (double)INFINITY;
        if ((bits & 0x8000) != 0)
            expected = -expected;
        if (expected != expected) {
            ck_assert(value != value);
            ck_assert_uint_eq(sl_f16_from_f32(value) & 0x7e00, 0x7e00);
            continue;
        }
        ck_assert_double_eq((double)value, expected);
        ck_assert_uint_eq(sl_f16_from_f32(value), bits);
    }
}
END_TEST

START_TEST(halves_round_to_the_nearest_ties_to_even)
{
    static const struct {
        float value;
        uint16_t half;
    } cases[] = {
        {0x1.002p0f, 0x3c00}, /* 1 + 2^-11: a tie, down to even */
        {0x1.006p0f, 0x3c02}, /* a tie, up to even */
        {0x1.002002p0f, 0x3c01}, {65504, 0x7bff}, {65519.996f, 0x7bff}, {65520, 0x7c00},
        {1e30f, 0x7c00},      {-1e30f, 0xfc00},    {0x1p-24f, 1},        {0x1p-25f, 0},
        {0x1.000002p-25f, 1}, {0x1.8p-24f, 2},     {0x1.ff8p-15f, 0x03ff}, {-0.0f, 0x8000},
        {0x1.ffffp-15f, 0x0400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(sl_f16_from_f32(cases[i].value) == cases[i].half, "%a gives %04x, not %04x",
                      (double)cases[i].value, sl_f16_from_f32(cases[i].value), cases[i].half);
    ck_assert_uint_eq(sl_bf16_from_f32(0x1.01p0f), 0x3f80); /* a tie, down to even */
    ck_assert_uint_eq(sl_bf16_from_f32(0x1.03p0f), 0x3f82);
    ck_assert_uint_eq(sl_bf16_from_f32(0x1.010002p0f), 0x3f81);
    ck_assert_uint_eq(sl_bf16_from_f32(NAN) & 0x7fc0, 0x7fc0);
    ck_assert_float_eq(sl_bf16_to_f32(0xc000), -2);
}
END_TEST

START_TEST(six_bit_scales_unpack_as_they_were_packed)
{
    uint8_t packed[12] = {0}, scales[8], mins[8], sixteen[16];
    /* Scales 1, 2, 3, 4, 50, 33, 63, 16 and minimums 60, 7, 0, 63, 9, 31, 32, 1. */
    static const uint8_t s[8] = {1, 2, 3, 4, 50, 33, 63, 16}, m[8] = {60, 7, 0, 63, 9, 31, 32, 1};
    for (int i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(s[i] | (s[i + 4] >> 4) << 6);
        packed[i + 4] = (uint8_t)(m[i] | (m[i + 4] >> 4) << 6);
        packed[i + 8] = (uint8_t)((s[i + 4] & 15) | (m[i + 4] & 15) << 4);
    }
    sl_k_scales_unpack(packed, scales, mins);
    ck_assert_mem_eq(scales, s, 8);
    ck_assert_mem_eq(mins, m, 8);
    memset(packed, 0, sizeof packed);
    for (int i = 0; i < 16; i++) {
        const int scale = i * 4 + 3;
        packed[i % 8] = (uint8_t)(packed[i % 8] | (scale & 15) << (i / 8 * 4));
        packed[8 + i % 4] = (uint8_t)(packed[8 + i % 4] | (scale >> 4) << (i / 4 * 2));
    }
    sl_q3_k_scales_unpack(packed, sixteen);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(sixteen[i], i * 4 + 3);
}
END_TEST

START_TEST(codes_and_dequantized_floats_are_the_same_weights)
{
    for (uint32_t type = 0; type < SL_TYPE_COUNT; type++) {
        const struct sl_type_traits *traits = sl_type_traits(type);
        uint8_t block[256];
        float floats[SL_SUPER_BLOCK];
        struct sl_codes codes;
        if (traits == NULL || !traits->is_quantized)
            continue;
        for (uint32_t round = 0; round < 50; round++) {
            for (uint32_t i = 0; i < sizeof block; i++) /* halves stay finite: no exponent of 31 */
                block[i] = (uint8_t)((i * 37 + round * 101 + i * i * round) & 0xbb);
            traits->dequantize(block, floats, traits->block_size);
            sl_codes_unpack[type](block, &codes);
            for (uint32_t i = 0; i < traits->block_size; i++) {
                const float value = codes.scale[i / 16] * (float)codes.code[i] + codes.min[i / 16];
                ck_assert_double_eq_tol((double)value, (double)floats[i],
                                        1e-6 * (fabs((double)floats[i]) +
                                                fabs((double)codes.min[i / 16])) + 1e-30);
            }
        }
    }
}
END_TEST

START_TEST(types_have_their_published_names_and_sizes)
{
    ck_assert_str_eq(sl_type_name(SL_TYPE_Q4_K), "Q4_K");
    ck_assert_str_eq(sl_type_name(4), "an unknown type"); /* Q4_2, long gone */
    ck_assert_ptr_null(sl_type_traits(SL_TYPE_Q8_1));
    ck_assert_ptr_null(sl_type_traits(SL_TYPE_COUNT));
    ck_assert_ptr_null(sl_type_traits(UINT32_MAX));
    ck_assert_uint_eq(sl_type_row_bytes(SL_TYPE_Q6_K, 512), 420);
    ck_assert_uint_eq(sl_type_row_bytes(SL_TYPE_F16, 3), 6);
    ck_assert_uint_eq(sl_type_row_bytes(999, 32), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quant_blocks");
    TCase *tcase = tcase_create("quant_blocks");
    tcase_add_test(tcase, halves_convert_both_ways);
    tcase_add_test(tcase, halves_round_to_the_nearest_ties_to_even);
    tcase_add_test(tcase, six_bit_scales_unpack_as_they_were_packed);
    tcase_add_test(tcase, codes_and_dequantized_floats_are_the_same_weights);
    tcase_add_test(tcase, types_have_their_published_names_and_sizes);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an answer, cut as the first bytes say: the same as in one piece, nothing held beyond
 * the longest form, nothing held at the end.
 */
#include "pii/vault.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sl_vault *vault(void)
{
    static struct sl_vault *shared;
    if (shared == NULL) {
        shared = sl_vault_create();
        for (char c = 'a'; c < 'a' + 12; c++) {
            char value[] = {c, '"', '\n', '@'};
            pii_vault_put(shared, SL_PII_EMAIL, "EMAIL", (struct sl_slice){value, 4}, true,
                          (struct sl_slice){0});
        }
        pii_vault_put(shared, SL_PII_US_ITIN, "US_ITIN", SL_SLICE("911-70-1234"), true,
                      (struct sl_slice){0});
        pii_vault_put(shared, SL_PII_SECRET, "SECRET", SL_SLICE("x"), false, (struct sl_slice){0});
        if (!pii_vault_seal(shared))
            abort();
    }
    return shared;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_buf whole, pieces;
    if (size < 3)
        return 0;
    enum sl_restore_mode mode = data[0] % 2 == 0 ? SL_RESTORE_TEXT : SL_RESTORE_JSON_STRING;
    unsigned tolerance = data[1] & SL_TOLERATE_ALL;
    size_t step = 1 + data[2] % 16;
    struct sl_slice text = {(const char *)data + 3, size - 3};
    struct sl_restorer *restorer = sl_restorer_create(vault(), mode, tolerance);

    sl_buf_init(&whole, 1 << 24);
    sl_buf_init(&pieces, 1 << 24);
    if (sl_pii_restore_text(vault(), mode, tolerance, text, &whole, NULL, NULL) != SL_OK)
        abort();
    for (size_t at = 0; at < text.len; at += step) {
        size_t len = text.len - at < step ? text.len - at : step;
        if (sl_restorer_feed(restorer, (struct sl_slice){text.data + at, len}, &pieces, NULL) !=
                SL_OK ||
            sl_restorer_held_bytes(restorer) > 6 * 32)
            abort();
    }
    if (sl_restorer_flush(restorer, &pieces, NULL) != SL_OK ||
        sl_restorer_held_bytes(restorer) != 0)
        abort();
    if (!sl_slice_equal(sl_buf_slice(&whole), sl_buf_slice(&pieces)))
        abort();
    sl_restorer_free(restorer);
    sl_buf_clear(&whole);
    sl_buf_clear(&pieces);
    return 0;
}

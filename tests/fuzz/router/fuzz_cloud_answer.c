/* SPDX-License-Identifier: Apache-2.0
 *
 * What a provider answers in one piece: whole answers and error bodies of both wire forms, and
 * Retry-After. The first byte picks which.
 */
#include "provider.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sl_err keep(void *ctx, const struct sl_delta *delta)
{
    return sl_answer_add(ctx, delta, NULL);
}

static void read_answer(enum sl_cloud_kind kind, struct sl_slice json)
{
    struct sl_answer *answer = malloc(sizeof *answer);
    struct sl_provider_reader *reader = malloc(sizeof *reader);
    if (answer == NULL || reader == NULL)
        abort();
    sl_answer_init(answer, 1 << 16);
    sl_provider_reader_init(reader, kind, 1, keep, answer);
    enum sl_err err = sl_provider_read_whole(reader, json);
    if (err == SL_OK && !reader->is_done)
        abort();
    sl_answer_clear(answer);
    free(answer);
    free(reader);
}

static void read_failure(struct sl_slice body)
{
    static const int statuses[] = {400, 413, 429, 500, 0};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct sl_provider_failure failure;
        sl_provider_failure_read(statuses[i], body, &failure);
        if (strlen(failure.reason) >= SL_PROVIDER_REASON_MAX || failure.outcome == SL_CLOUD_SERVED)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct sl_slice bytes = {(const char *)data + 1, size - 1};
    uint32_t ms;
    switch (data[0] % 4) {
    case 0:
        read_answer(SL_CLOUD_KIND_OPENAI, bytes);
        break;
    case 1:
        read_answer(SL_CLOUD_KIND_ANTHROPIC, bytes);
        break;
    case 2:
        read_failure(bytes);
        break;
    default:
        if (sl_retry_after_parse(bytes, 1700000000, &ms) && ms > 86400u * 1000)
            abort();
    }
    return 0;
}

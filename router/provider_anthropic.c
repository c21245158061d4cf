/* SPDX-License-Identifier: Apache-2.0 */
#include "provider.h"
enum sl_err sl_provider_anthropic_body(const struct sl_provider_ask *ask, struct sl_buf *out,
                                       struct sl_error *error)
{
    (void)ask;
    (void)out;
    return sl_error_set(error, SL_ERR_UNSUPPORTED, NULL);
}
enum sl_err sl_provider_anthropic_event(struct sl_provider_reader *reader, const json_t *event)
{
    (void)reader;
    (void)event;
    return SL_ERR_FORMAT;
}
enum sl_err sl_provider_anthropic_whole(struct sl_provider_reader *reader, const json_t *answer)
{
    (void)reader;
    (void)answer;
    return SL_ERR_FORMAT;
}

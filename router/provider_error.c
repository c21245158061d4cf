/* SPDX-License-Identifier: Apache-2.0
 *
 * What a provider's error means. Status codes are not enough: "too long", "against our policy" and
 * "malformed" are all 400, and quota and overload are both 429; the words in `code`, `type` and
 * `message` tell them apart. The words are those of OpenAI, Azure, Anthropic, llama-server and
 * vLLM.
 */
#include "provider.h"

#include <stdio.h>
#include <string.h>

struct meaning {
    enum sl_cloud_outcome outcome;
    const char *word; /* in code or type: exact; in message: anywhere, any case */
};

static const struct meaning code_meanings[] = {
    {SL_CLOUD_CONTEXT_LENGTH, "context_length_exceeded"},
    {SL_CLOUD_CONTEXT_LENGTH, "exceed_context_size_error"},
    {SL_CLOUD_CONTEXT_LENGTH, "request_too_large"},
    {SL_CLOUD_CONTENT_POLICY, "content_policy_violation"},
    {SL_CLOUD_CONTENT_POLICY, "content_policy"},
    {SL_CLOUD_CONTENT_POLICY, "content_filter"},
    {SL_CLOUD_CONTENT_POLICY, "moderation_blocked"},
    {SL_CLOUD_CONTENT_POLICY, "ResponsibleAIPolicyViolation"},
    {SL_CLOUD_CONTENT_POLICY, "invalid_prompt"},
    {SL_CLOUD_NOT_FOUND, "model_not_found"},
    {SL_CLOUD_CREDENTIALS, "invalid_api_key"},
    {SL_CLOUD_CREDENTIALS, "authentication_error"},
    {SL_CLOUD_CREDENTIALS, "permission_error"},
    {SL_CLOUD_RATE_LIMITED, "rate_limit_exceeded"},
    {SL_CLOUD_RATE_LIMITED, "rate_limit_error"},
    {SL_CLOUD_RATE_LIMITED, "insufficient_quota"},
    {SL_CLOUD_SERVER_ERROR, "overloaded_error"},
    {SL_CLOUD_SERVER_ERROR, "server_error"},
    {SL_CLOUD_SERVER_ERROR, "api_error"},
};

/* Looked at for a 400 or 413 only. */
static const struct meaning message_meanings[] = {
    {SL_CLOUD_CONTEXT_LENGTH, "maximum context length"},
    {SL_CLOUD_CONTEXT_LENGTH, "prompt is too long"},
    {SL_CLOUD_CONTEXT_LENGTH, "context window"},
    {SL_CLOUD_CONTEXT_LENGTH, "exceed context limit"},
    {SL_CLOUD_CONTEXT_LENGTH, "context size"},
    {SL_CLOUD_CONTENT_POLICY, "content management policy"},
    {SL_CLOUD_CONTENT_POLICY, "content policy"},
    {SL_CLOUD_CONTENT_POLICY, "content filtering policy"},
    {SL_CLOUD_CONTENT_POLICY, "usage policies"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum sl_cloud_outcome outcome_of_status(int status)
{
    if (status == 429)
        return SL_CLOUD_RATE_LIMITED;
    if (status == 401 || status == 403)
        return SL_CLOUD_CREDENTIALS;
    if (status == 404)
        return SL_CLOUD_NOT_FOUND;
    if (status == 408 || status == 409 || status >= 500)
        return SL_CLOUD_SERVER_ERROR;
    if (status == 413)
        return SL_CLOUD_CONTEXT_LENGTH;
    if (status >= 400)
        return SL_CLOUD_REJECTED;
    return SL_CLOUD_MALFORMED; /* redirects and the like: this is not an API */
}

static bool find_code(struct sl_slice word, enum sl_cloud_outcome *out)
{
    for (size_t i = 0; i < COUNT(code_meanings) && word.len > 0; i++)
        if (sl_slice_equal_text(word, code_meanings[i].word)) {
            *out = code_meanings[i].outcome;
            return true;
        }
    return false;
}

static bool find_in_message(const char *message, enum sl_cloud_outcome *out)
{
    for (size_t i = 0; i < COUNT(message_meanings); i++)
        if (strcasestr(message, message_meanings[i].word) != NULL) {
            *out = message_meanings[i].outcome;
            return true;
        }
    return false;
}

/* One printable line; cut at a character's boundary by dropping what is no ASCII at the cut. */
static void copy_reason(struct sl_slice text, char out[SL_PROVIDER_REASON_MAX])
{
    size_t len = text.len < SL_PROVIDER_REASON_MAX ? text.len : SL_PROVIDER_REASON_MAX - 1;
    if (len < text.len)
        while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
            len--;
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)text.data[i] < 0x20 ? ' ' : text.data[i];
    out[len] = '\0';
}

/* A code only says more than the status where both can be true: a 500 stays a server error
 * whatever its body claims. */
static bool may_refine(int status)
{
    return status == 0 || (status >= 400 && status < 500);
}

void sl_provider_failure_from_json(int http_status, const json_t *error_object,
                                   struct sl_provider_failure *out)
{
    *out = (struct sl_provider_failure){
        .outcome = http_status == 0 ? SL_CLOUD_STREAM_ERROR : outcome_of_status(http_status)};
    struct sl_slice code = sl_provider_text(json_object_get(error_object, "code"));
    struct sl_slice type = sl_provider_text(json_object_get(error_object, "type"));
    struct sl_slice message = json_is_string(error_object)
                                  ? sl_provider_text(error_object)
                                  : sl_provider_text(json_object_get(error_object, "message"));
    copy_reason(message, out->reason);
    out->forbids_retry = sl_slice_equal_text(code, "insufficient_quota") ||
                         sl_slice_equal_text(type, "insufficient_quota");
    enum sl_cloud_outcome refined;
    if (!may_refine(http_status))
        return;
    if (find_code(code, &refined) || find_code(type, &refined) ||
        ((http_status == 400 || http_status == 413 || http_status == 0) &&
         find_in_message(out->reason, &refined)))
        out->outcome = refined;
    if (http_status == 0 && out->outcome == SL_CLOUD_SERVER_ERROR)
        out->outcome = SL_CLOUD_STREAM_ERROR;
}

void sl_provider_failure_read(int http_status, struct sl_slice body,
                              struct sl_provider_failure *out)
{
    json_t *object = json_loadb(body.data != NULL ? body.data : "", body.len, 0, NULL);
    const json_t *failure = json_object_get(object, "error");
    sl_provider_failure_from_json(http_status, failure != NULL ? failure : object, out);
    json_decref(object);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads scenarios from model names. Parts are looked up in one table, so a misspelt name is an
 * error (404) and not a test that passes by accident.
 */
#include "scenario.h"

#include "sluice/crypto.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX (2 * MOCK_SAY_BYTES + 8) /* say- and its digits */
#define WORDS_DEFAULT 60 /* the length of the broken streams of the fault table */

enum part_kind {
    PART_FLAG,     /* no argument: sets a bool */
    PART_NUMBER,   /* -N: sets an int */
    PART_DURATION, /* -20s or -1500ms: sets an int in ms */
    PART_ANSWER,   /* sets the answer */
    PART_HEX,      /* -68656c6c6f: sets a text */
    PART_OTHER
};

struct part {
    const char *name;
    enum part_kind kind;
    size_t offset;
    int value; /* PART_ANSWER: which; PART_NUMBER: default, or MOCK_NEVER where one is needed;
                * PART_HEX: bytes at most */
};

#define FLAG(name, field)                                                                          \
    {                                                                                              \
        name, PART_FLAG, offsetof(struct mock_scenario, field), 0                                  \
    }
#define NUMBER(name, field)                                                                        \
    {                                                                                              \
        name, PART_NUMBER, offsetof(struct mock_scenario, field), MOCK_NEVER                       \
    }
#define DURATION(name, field)                                                                      \
    {                                                                                              \
        name, PART_DURATION, offsetof(struct mock_scenario, field), 0                              \
    }

static const struct part parts[] = {
    {"echo", PART_ANSWER, 0, MOCK_ECHO},
    {"canned", PART_ANSWER, 0, MOCK_CANNED},
    {"tool", PART_ANSWER, 0, MOCK_TOOL},
    NUMBER("words", words),
    NUMBER("clock", clocks),
    NUMBER("split", split_bytes),
    NUMBER("cutat", cut_at_bytes),
    NUMBER("wire", wire_bytes),
    FLAG("crlf", is_crlf),
    DURATION("slow-first", first_token_ms),
    DURATION("slow-head", head_ms),
    DURATION("token", token_ms),
    NUMBER("retry-after-ms", retry_after_ms),
    NUMBER("retry-after", retry_after_s),
    FLAG("html", is_html),
    FLAG("quote", quotes_user),
    FLAG("reset", is_reset),
    FLAG("silent", is_silent),
    FLAG("garbage", is_garbage),
    NUMBER("cut", cut_tokens),
    NUMBER("end", end_tokens),
    NUMBER("stall", stall_tokens),
    NUMBER("error", error_tokens),
    {"malformed", PART_NUMBER, offsetof(struct mock_scenario, malformed_tokens), 2},
    FLAG("no-done", has_no_done),
    FLAG("open", stays_open),
    FLAG("no-usage", has_no_usage),
    FLAG("no-prefill", refuses_prefill),
    FLAG("no-stream", refuses_stream),
    NUMBER("broken", malformed_count),
    NUMBER("times", times),
    {"say", PART_HEX, offsetof(struct mock_scenario, said), MOCK_SAY_BYTES - 1},
    {"once", PART_OTHER, 0, 0},
    {"context-length", PART_OTHER, 0, 0},
    {"content-policy", PART_OTHER, 0, 0},
    {"bad-key", PART_OTHER, 0, 0},
    {"quota", PART_OTHER, 0, 0},
    {"refusal", PART_OTHER, 0, 0},
    {"length", PART_OTHER, 0, 0},
};

static void set_error(struct mock_scenario *scenario, int status, const char *type,
                      const char *code, const char *message)
{
    scenario->status = status;
    scenario->error_type = type;
    scenario->error_code = code;
    scenario->error_message = message;
}

static void apply_other(struct mock_scenario *scenario, const char *name)
{
    if (strcmp(name, "once") == 0)
        scenario->times = 1;
    else if (strcmp(name, "context-length") == 0)
        set_error(scenario, 400, "invalid_request_error", "context_length_exceeded",
                  "This model's maximum context length is 8192 tokens.");
    else if (strcmp(name, "content-policy") == 0)
        set_error(scenario, 400, "invalid_request_error", "content_policy_violation",
                  "Rejected by the simulated safety system.");
    else if (strcmp(name, "bad-key") == 0)
        set_error(scenario, 401, "invalid_request_error", "invalid_api_key",
                  "Incorrect API key provided.");
    else if (strcmp(name, "quota") == 0)
        set_error(scenario, 429, "insufficient_quota", "insufficient_quota",
                  "You exceeded your current quota.");
    else if (strcmp(name, "refusal") == 0)
        scenario->finish_reason = "content_filter";
    else if (strcmp(name, "length") == 0)
        scenario->finish_reason = "length";
}

/* "-12" -> 12; "-20s" -> 20000; "-1500ms" -> 1500. False for anything else. */
static bool read_argument(const char *text, bool is_duration, int *out)
{
    if (text[0] != '-' || text[1] < '0' || text[1] > '9')
        return false;
    char *end;
    long value = strtol(text + 1, &end, 10);
    if (is_duration && strcmp(end, "s") == 0)
        value *= 1000;
    else if (strcmp(end, is_duration ? "ms" : "") != 0)
        return false;
    *out = (int)value;
    return value >= 0 && value <= 86400 * 1000;
}

/* "-6869" -> "hi". False for anything else. */
static bool read_hex(const char *text, size_t bytes_max, char *out)
{
    size_t len = strlen(text) / 2;
    if (text[0] != '-' || len == 0 || len > bytes_max || strlen(text) != 2 * len + 1)
        return false;
    out[len] = '\0';
    return sl_hex_decode((struct sl_slice){text + 1, 2 * len}, (uint8_t *)out, len);
}

static bool apply_part(struct mock_scenario *scenario, const struct part *part, const char *rest)
{
    void *field = (char *)scenario + part->offset;
    switch (part->kind) {
    case PART_FLAG:
        *(bool *)field = true;
        return rest[0] == '\0';
    case PART_NUMBER:
        if (rest[0] == '\0' && part->value != MOCK_NEVER) {
            *(int *)field = part->value;
            return true;
        }
        return read_argument(rest, false, field);
    case PART_DURATION:
        return read_argument(rest, true, field);
    case PART_ANSWER:
        scenario->answer = (enum mock_answer)part->value;
        return rest[0] == '\0';
    case PART_HEX:
        return read_hex(rest, (size_t)part->value, field);
    case PART_OTHER:
        apply_other(scenario, part->name);
        return rest[0] == '\0';
    }
    return false;
}

static bool parse_part(struct mock_scenario *scenario, char *text)
{
    size_t len = strlen(text);
    if (len > 5 && strcmp(text + len - 5, "-once") == 0) {
        scenario->times = 1;
        text[len - 5] = '\0';
    }
    int status = atoi(text);
    if (status >= 400 && status <= 599 && strlen(text) == 3) {
        scenario->status = status;
        return true;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t name_len = strlen(parts[i].name);
        if (strncmp(text, parts[i].name, name_len) == 0 &&
            (text[name_len] == '\0' || text[name_len] == '-') &&
            apply_part(scenario, &parts[i], text + name_len))
            return true;
    }
    return false;
}

static void finish(struct mock_scenario *scenario)
{
    bool counts_tokens = scenario->cut_tokens >= 0 || scenario->stall_tokens >= 0 ||
                         scenario->error_tokens >= 0 || scenario->end_tokens >= 0;
    if (counts_tokens && scenario->words == 0 && scenario->answer == MOCK_ECHO)
        scenario->words = WORDS_DEFAULT;
    if (scenario->said[0] != '\0')
        scenario->answer = MOCK_SAY;
    else if (scenario->clocks > 0)
        scenario->answer = MOCK_CLOCK;
    else if (scenario->words > 0)
        scenario->answer = MOCK_WORDS;
}

bool mock_scenario_parse(const char *model, enum mock_answer plain, struct mock_scenario *out)
{
    *out = (struct mock_scenario){.answer = plain,
                                  .finish_reason = "stop",
                                  .retry_after_s = MOCK_NEVER,
                                  .retry_after_ms = MOCK_NEVER,
                                  .cut_tokens = MOCK_NEVER,
                                  .end_tokens = MOCK_NEVER,
                                  .stall_tokens = MOCK_NEVER,
                                  .error_tokens = MOCK_NEVER,
                                  .malformed_tokens = MOCK_NEVER,
                                  .times = MOCK_NEVER};
    if (strncmp(model, "mock-", 5) != 0)
        return true;
    out->answer = MOCK_ECHO;
    const char *at = model + 5;
    while (*at != '\0') {
        char part[PART_MAX];
        size_t len = strcspn(at, "+");
        if (len == 0 || len >= sizeof part)
            return false;
        memcpy(part, at, len);
        part[len] = '\0';
        if (!parse_part(out, part))
            return false;
        at += len + (at[len] == '+');
    }
    finish(out);
    return true;
}

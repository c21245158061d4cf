/* SPDX-License-Identifier: Apache-2.0
 *
 * Speed of personal data on one core: scanning (structured kinds and secrets; with names), whole
 * requests, restoring, and PCRE2-JIT with patterns for the same structured kinds beside it. Prints
 * one line a measurement.
 *
 *     bench_pii [FILE]     FILE: text to scan instead of the built-in mix
 *
 * The built-in text is prose with a line of contact data every few lines, code and JSON: some two
 * finds per kilobyte, which is more than most requests have.
 */
#include "sluice/clock.h"
#include "sluice/pii.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define TEXT_BYTES (4u << 20)
#define ROUNDS 5 /* the best is printed: the machine is shared */

static const char *const lines[] = {
    "The quarterly numbers look better than we expected, mostly because shipping costs went "
    "down.\n",
    "Could you rewrite the following paragraph so that it sounds more friendly and less formal?\n",
    "We discussed three options and agreed that the second one is cheap enough to try first.\n",
    "Please summarise the discussion below in five bullet points and list the open questions.\n",
    "def mean(values):\n    total = sum(values)\n    return total / len(values) if values else "
    "0.0\n",
    "{\"id\": 4711, \"status\": \"open\", \"priority\": 2, \"tags\": [\"billing\", \"refund\"]}\n",
    "You can reach Maria Keller at maria.keller@example.org or +49 30 901820, she lives in "
    "Berlin.\n",
    "It rained on 12.03.2024 and the 2nd run took 1438 ms, see build 20240312 in the log.\n",
    "If the model is unsure it should say so instead of inventing an answer, which is annoying.\n",
    "My card 4111 1111 1111 1111 was charged twice by Acme Corp from 192.0.2.17 yesterday.\n",
    "Translate this into French, keep the tone, and do not change the numbers in the table.\n",
    "for (size_t i = 0; i < count; i++) {\n    if (items[i].key == key) return &items[i];\n}\n",
    "A short story about a lighthouse keeper who learns to play the violin during a long winter.\n",
    "API_KEY=sk_live_FAKE7s46IPOV7hExFlPhREfW and the rest of the configuration is unchanged.\n",
};

static char *make_text(const char *path, size_t *len)
{
    char *text = malloc(TEXT_BYTES + 1);
    size_t at = 0;
    if (text == NULL)
        exit(1);
    if (path != NULL) {
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            perror(path);
            exit(1);
        }
        *len = fread(text, 1, TEXT_BYTES, file);
        fclose(file);
        return text;
    }
    for (size_t i = 0; at < TEXT_BYTES - 256; i++) {
        const char *line = lines[i % (sizeof lines / sizeof *lines)];
        size_t line_len = strlen(line);
        memcpy(text + at, line, line_len);
        at += line_len;
    }
    *len = at;
    return text;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static struct sl_pii_detector *make_detector(bool with_names)
{
    struct sl_pii_rules rules;
    struct sl_pii_detector *detector;
    struct sl_error error = {0};
    sl_pii_rules_init(&rules);
    rules.spans_max = 10000000;
    rules.types[SL_PII_PERSON].is_on = with_names;
    rules.types[SL_PII_LOCATION].is_on = with_names;
    rules.types[SL_PII_ORG].is_on = with_names;
    if (sl_pii_detector_create(&rules, &detector, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return detector;
}

static void bench_scan(const char *what, bool with_names, struct sl_slice text)
{
    struct sl_pii_detector *detector = make_detector(with_names);
    struct sl_pii_spans spans = {0};
    struct sl_error error = {0};
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        if (sl_pii_scan_all(detector, text, &spans, &error) != SL_OK)
            exit(1);
        double took = seconds() - start;
        best = took < best ? took : best;
    }
    printf("%-44s %8.1f MB/s   %zu finds\n", what, (double)text.len / best / 1e6, spans.count);
    sl_pii_spans_clear(&spans);
    sl_pii_detector_free(detector);
}

static void bench_request(const char *what, struct sl_slice text, size_t bytes, int repeats)
{
    struct sl_pii_detector *detector = make_detector(true);
    json_t *request = json_object();
    json_t *messages = json_array();
    double best = 1e9;
    char *part = strndup(text.data, bytes);
    json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "user", "content", part));
    json_object_set_new(request, "messages", messages);
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        for (int i = 0; i < repeats; i++) {
            struct sl_vault *vault = sl_vault_create();
            struct sl_pii_report report;
            json_t *scrubbed;
            if (sl_pii_scrub(detector, request, vault, &scrubbed, &report, NULL) != SL_OK)
                exit(1);
            json_decref(scrubbed);
            sl_vault_free(vault);
        }
        double took = (seconds() - start) / repeats;
        best = took < best ? took : best;
    }
    printf("%-44s %8.2f us\n", what, best * 1e6);
    free(part);
    json_decref(request);
    sl_pii_detector_free(detector);
}

static void bench_restore(struct sl_slice text)
{
    struct sl_pii_detector *detector = make_detector(false);
    struct sl_vault *vault = sl_vault_create();
    struct sl_pii_report report;
    struct sl_buf scrubbed, out;
    double best = 1e9;
    sl_buf_init(&scrubbed, 2 * TEXT_BYTES);
    sl_buf_init(&out, 4 * TEXT_BYTES);
    if (sl_pii_scrub_text(detector, text, vault, &scrubbed, &report, NULL) != SL_OK)
        exit(1);
    for (int round = 0; round < ROUNDS; round++) {
        sl_buf_reset(&out);
        double start = seconds();
        if (sl_pii_restore_text(vault, SL_RESTORE_TEXT, SL_TOLERATE_ALL, sl_buf_slice(&scrubbed),
                                &out, NULL, NULL) != SL_OK)
            exit(1);
        double took = seconds() - start;
        best = took < best ? took : best;
    }
    printf("%-44s %8.1f MB/s\n", "restore, one piece", (double)scrubbed.len / best / 1e6);
    for (int round = 0; round < ROUNDS; round++) {
        struct sl_restorer *restorer = sl_restorer_create(vault, SL_RESTORE_TEXT, SL_TOLERATE_ALL);
        sl_buf_reset(&out);
        double start = seconds();
        for (size_t at = 0; at < scrubbed.len; at += 5) { /* a token is some five bytes */
            size_t len = scrubbed.len - at < 5 ? scrubbed.len - at : 5;
            if (sl_restorer_feed(restorer, (struct sl_slice){scrubbed.data + at, len}, &out,
                                 NULL) != SL_OK)
                exit(1);
        }
        double took = seconds() - start;
        best = round == 0 || took < best ? took : best;
        sl_restorer_free(restorer);
    }
    printf("%-44s %8.1f MB/s\n", "restore, pieces of 5 bytes", (double)scrubbed.len / best / 1e6);
    sl_buf_clear(&scrubbed);
    sl_buf_clear(&out);
    sl_vault_free(vault);
    sl_pii_detector_free(detector);
}

static void bench_pcre2(struct sl_slice text)
{
    static const char *const patterns[] = {
        "[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)+",
        "\\b(?:\\d[ -]?){12,18}\\d\\b",
        "\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\\b",
        "\\b(?:\\d{1,3}\\.){3}\\d{1,3}\\b",
        "(?:[0-9A-Fa-f]{1,4}:){2,7}[0-9A-Fa-f]{1,4}",
        "\\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\\b",
        "\\b\\d{3}-\\d{2}-\\d{4}\\b",
        "\\+\\d[\\d ().-]{6,16}\\d|\\(?\\b\\d{3}\\)?[-. ]\\d{3}[-. ]\\d{4}\\b",
        "\\b(?:ghp|gho|ghs|sk|rk|xox[bp]|glpat|AKIA|AIza|hf|npm)[-_A-Za-z0-9]{16,}",
        "(?i)(?:password|secret|token|api_?key)\\s*[:=]\\s*[\"']?[^\\s\"']{8,}",
    };
    size_t found = 0;
    double best = 1e9;
    for (int round = 0; round < 2; round++) {
        double start = seconds();
        found = 0;
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            int code;
            PCRE2_SIZE offset;
            pcre2_code *regex = pcre2_compile((PCRE2_SPTR)patterns[i], PCRE2_ZERO_TERMINATED, 0,
                                              &code, &offset, NULL);
            if (regex == NULL)
                exit(1);
            pcre2_jit_compile(regex, PCRE2_JIT_COMPLETE);
            pcre2_match_data *data = pcre2_match_data_create_from_pattern(regex, NULL);
            PCRE2_SIZE at = 0;
            while (at < text.len &&
                   pcre2_jit_match(regex, (PCRE2_SPTR)text.data, text.len, at, 0, data, NULL) > 0) {
                at = pcre2_get_ovector_pointer(data)[1];
                found++;
            }
            pcre2_match_data_free(data);
            pcre2_code_free(regex);
        }
        double took = seconds() - start;
        best = took < best ? took : best;
    }
    printf("%-44s %8.1f MB/s   %zu matches\n", "PCRE2-JIT, 10 patterns, structured + secrets",
           (double)text.len / best / 1e6, found);
}

static void bench_one_byte(const char *what, char c, struct sl_slice scratch)
{
    memset((char *)scratch.data, c, 1u << 20);
    bench_scan(what, true, (struct sl_slice){scratch.data, 1u << 20});
}

int main(int argc, char **argv)
{
    size_t len;
    char *text = make_text(argc > 1 ? argv[1] : NULL, &len);
    struct sl_slice slice = {text, len};

    bench_scan("scan, structured kinds and secrets", false, slice);
    bench_scan("scan, with names", true, slice);
    bench_pcre2(slice);
    bench_request("scrub a request of 32 KB", slice, 32768, 50);
    bench_request("scrub a request of 200 bytes, no finds", slice, 185, 2000);
    bench_restore(slice);
    bench_one_byte("scan 1 MB of '1'", '1', slice);
    bench_one_byte("scan 1 MB of '@'", '@', slice);
    bench_one_byte("scan 1 MB of '<'", '<', slice);
    bench_one_byte("scan 1 MB of ':'", ':', slice);
    bench_one_byte("scan 1 MB of '='", '=', slice);
    bench_one_byte("scan 1 MB of 'a'", 'a', slice);
    bench_one_byte("scan 1 MB of 'A'", 'A', slice);
    bench_one_byte("scan 1 MB of '\"'", '"', slice);
    bench_one_byte("scan 1 MB of '.'", '.', slice);
    bench_one_byte("scan 1 MB of '-'", '-', slice);
    free(text);
    return 0;
}

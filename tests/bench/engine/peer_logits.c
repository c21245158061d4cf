/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_logits.c with the reference implementation: the same words, the same output. Not part of the
 * build; engine/default/check_export.py compiles it against a llama.cpp that was built elsewhere.
 */
#include "llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 512
#define LINE_MAX_BYTES 65536

static void show_errors(enum ggml_log_level level, const char *text, void *ctx)
{
    (void)ctx;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

/* A new context for each text: how a used one is emptied differs between versions. */
static bool run(struct llama_model *model, llama_token *ids, int count, FILE *out)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = CONTEXT;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    struct llama_context *context = llama_init_from_model(model, params);
    bool is_fine =
        context != NULL && llama_decode(context, llama_batch_get_one(ids, count)) == 0;
    if (is_fine)
        fwrite(llama_get_logits_ith(context, -1), sizeof(float),
               (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model)), out);
    llama_free(context);
    return is_fine;
}

static bool run_line(struct llama_model *model, const char *text, FILE *out)
{
    llama_token ids[CONTEXT];
    int count = llama_tokenize(llama_model_get_vocab(model), text, (int)strlen(text), ids, CONTEXT,
                               false, true);
    for (int i = 0; i < count; i++)
        printf("%d%c", (int)ids[i], i + 1 < count ? ' ' : '\n');
    return count > 0 && run(model, ids, count, out);
}

int main(int argc, char **argv)
{
    static char line[LINE_MAX_BYTES];
    FILE *out = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (out == NULL) {
        fprintf(stderr, "usage: peer_logits MODEL.gguf OUT.f32 < TEXTS\n");
        return 2;
    }
    llama_log_set(show_errors, NULL);
    ggml_backend_load_all();
    struct llama_model *model =
        llama_model_load_from_file(argv[1], llama_model_default_params());
    bool is_fine = model != NULL;
    while (is_fine && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        is_fine = run_line(model, line, out);
    }
    llama_model_free(model);
    return fclose(out) == 0 && is_fine ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
// bench_logits.c with the reference implementation: the same words, the same output. Not part of the
// build; engine/default/check_export.py compiles it against a llama.cpp that was built elsewhere.
#include "llama.h"

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

static const int context_tokens = 512;

static std::vector<llama_token> ids_of(const llama_vocab *vocab, const std::string &text)
{
    std::vector<llama_token> ids(context_tokens);
    int count = llama_tokenize(vocab, text.c_str(), (int)text.size(), ids.data(), context_tokens,
                               false, true);
    ids.resize(count > 0 ? count : 0);
    return ids;
}

// A new context a text: how a used one is emptied differs between versions.
static bool run(llama_model *model, std::vector<llama_token> &ids, FILE *out)
{
    llama_context_params params = llama_context_default_params();
    params.n_ctx = context_tokens;
    params.n_batch = params.n_ubatch = context_tokens;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    llama_context *context = llama_init_from_model(model, params);
    bool is_fine = context != nullptr &&
                   llama_decode(context, llama_batch_get_one(ids.data(), (int)ids.size())) == 0;
    if (is_fine)
        fwrite(llama_get_logits_ith(context, -1), sizeof(float),
               llama_vocab_n_tokens(llama_model_get_vocab(model)), out);
    llama_free(context);
    return is_fine;
}

int main(int argc, char **argv)
{
    FILE *out = argc == 3 ? fopen(argv[2], "wb") : nullptr;
    if (out == nullptr)
        return 2;
    llama_log_set([](ggml_log_level level, const char *text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR)
            fputs(text, stderr);
    }, nullptr);
    ggml_backend_load_all();
    llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (model == nullptr)
        return 1;
    for (std::string line; std::getline(std::cin, line);) {
        std::vector<llama_token> ids = ids_of(llama_model_get_vocab(model), line);
        for (size_t i = 0; i < ids.size(); i++)
            printf("%d%c", ids[i], i + 1 < ids.size() ? ' ' : '\n');
        if (ids.empty() || !run(model, ids, out))
            return 1;
    }
    llama_model_free(model);
    return fclose(out) == 0 ? 0 : 1;
}

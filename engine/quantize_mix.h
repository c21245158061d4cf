/* SPDX-License-Identifier: Apache-2.0
 *
 * Which type each tensor of a model gets under a mix such as Q4_K_M. Private to engine/.
 */
#ifndef SLUICE_ENGINE_QUANTIZE_MIX_H
#define SLUICE_ENGINE_QUANTIZE_MIX_H

#include "gguf.h"
#include "quant_blocks.h"

enum sl_mix_size { SL_MIX_PLAIN, SL_MIX_SMALL, SL_MIX_MEDIUM, SL_MIX_LARGE };

/* A row of the table of mixes. */
struct sl_mix {
    const char *name;         /* as published: "Q4_K_M" */
    enum sl_tensor_type type; /* of most tensors */
    enum sl_mix_size size;
    uint32_t file_type;       /* general.file_type, llama.h's LLAMA_FTYPE_* */
};

/* By name, in any case; "Q4_K" means "Q4_K_M". NULL for no mix. */
const struct sl_mix *sl_mix_find(const char *name);
/* Row `idx`, NULL past the end. */
const struct sl_mix *sl_mix_at(size_t idx);

/* What the choice for one tensor depends on beside the tensor. */
struct sl_mix_model {
    uint32_t layers;
    uint32_t queries_per_kv; /* heads that share one K and V */
    bool has_output;         /* an output matrix of its own, else the embedding serves */
};
void sl_mix_model_init(struct sl_mix_model *model, const struct sl_gguf *gguf);

/* The type for `tensor`; its own where it is not to be quantized (norms, biases, positions). */
enum sl_tensor_type sl_mix_choose(const struct sl_mix *mix, const struct sl_mix_model *model,
                                  const struct sl_gguf_tensor *tensor);

#endif

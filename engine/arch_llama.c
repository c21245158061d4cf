/* SPDX-License-Identifier: Apache-2.0
 *
 * llama: the shape that the defaults describe (Touvron et al. 2023). Llama 1 to 3, TinyLlama,
 * SmolLM 1 and 2, Mistral. Llama 3's rope factors are a tensor, which rope.c reads.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    uint32_t experts = sl_arch_u32_or(gguf, hparams, "expert_count", 0);
    if (experts > 0)
        return sl_error_set(error, SL_ERR_UNSUPPORTED,
                            "llama.expert_count is %u: mixtures of experts are not supported",
                            experts);
    hparams->attention_scale =
        sl_arch_f32_or(gguf, hparams, "attention.scale", hparams->attention_scale);
    return SL_OK;
}

const struct sl_arch sl_arch_llama = {"llama", configure};

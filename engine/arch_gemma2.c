/* SPDX-License-Identifier: Apache-2.0
 *
 * gemma2 (Gemma Team 2024): embeddings scaled by sqrt(width), norms before and after each block,
 * capped scores and logits, every other layer slides. Norm weights are stored with their 1 added.
 */
#include "model.h"

#include <math.h>

#define LAYERS_OF_27B 46

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)error;
    hparams->rope_style = SL_ROPE_HALVES;
    hparams->activation = SL_ACTIVATION_GELU;
    hparams->embedding_scale = sqrtf((float)hparams->embedding_size);
    hparams->has_post_norms = true;
    hparams->attention_softcap = sl_arch_f32_or(gguf, hparams, "attn_logit_softcapping", 50.0f);
    hparams->final_softcap = sl_arch_f32_or(gguf, hparams, "final_logit_softcapping", 30.0f);
    hparams->window = sl_arch_u32_or(gguf, hparams, "attention.sliding_window", 4096);
    hparams->global_every = 2;
    /* query_pre_attn_scalar is the head's size but in the 27B, where it is width / heads. */
    if (hparams->layer_count == LAYERS_OF_27B)
        hparams->attention_scale =
            1.0f / sqrtf((float)hparams->embedding_size / (float)hparams->head_count);
    return SL_OK;
}

const struct sl_arch sl_arch_gemma2 = {"gemma2", configure};

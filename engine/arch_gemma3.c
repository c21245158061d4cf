/* SPDX-License-Identifier: Apache-2.0
 *
 * gemma3 (Gemma Team 2025): gemma2 without caps, with Q and K norms; five sliding layers to one
 * global, and a rotary base of its own for the sliding ones, which no scaling applies to.
 */
#include "model.h"

#include <math.h>

#define LAYERS_OF_27B 62

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)error;
    hparams->rope_style = SL_ROPE_HALVES;
    hparams->activation = SL_ACTIVATION_GELU;
    hparams->embedding_scale = sqrtf((float)hparams->embedding_size);
    hparams->has_post_norms = true;
    hparams->has_qk_norms = true;
    hparams->final_softcap = sl_arch_f32_or(gguf, hparams, "final_logit_softcapping", 0.0f);
    hparams->window = sl_arch_u32_or(gguf, hparams, "attention.sliding_window", 0);
    hparams->global_every = sl_arch_u32_or(gguf, hparams, "attention.sliding_window_pattern", 6);
    hparams->rope_base_sliding = sl_arch_f32_or(gguf, hparams, "rope.freq_base_swa", 10000.0f);
    if (hparams->layer_count == LAYERS_OF_27B)
        hparams->attention_scale =
            1.0f / sqrtf((float)hparams->embedding_size / (float)hparams->head_count);
    return SL_OK;
}

const struct sl_arch sl_arch_gemma3 = {"gemma3", configure};

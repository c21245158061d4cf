/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen3: Q and K of each head are normalised before the rotary embedding, no biases; the width of
 * attention (heads * head_dim) differs from the model's.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)gguf;
    (void)error;
    hparams->rope_style = SL_ROPE_HALVES;
    hparams->has_qk_norms = true;
    return SL_OK;
}

const struct sl_arch sl_arch_qwen3 = {"qwen3", configure};

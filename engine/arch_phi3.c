/* SPDX-License-Identifier: Apache-2.0
 *
 * phi3 (Phi-3, Phi-3.5, Phi-4-mini): Q, K and V in one matrix, gate and up in another, partial
 * rotary embedding with short and long factors, which rope.c chooses between by the context length.
 * The sliding window of Phi-3-mini-4k (2047) is not applied, as the reference implementation does
 * not apply it either: within 2047 tokens there is no difference.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)gguf;
    (void)error;
    hparams->rope_style = SL_ROPE_HALVES;
    hparams->is_gate_fused = true;
    return SL_OK;
}

const struct sl_arch sl_arch_phi3 = {"phi3", configure};

/* SPDX-License-Identifier: Apache-2.0
 *
 * nomic-bert (Nussbaum et al. 2024): bert with rotary embedding instead of learned positions, Q, K
 * and V in one matrix, a gated feed-forward with SiLU, no biases but those of the norms.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)error;
    sl_arch_encoder(gguf, hparams);
    hparams->rope_style = SL_ROPE_HALVES;
    hparams->has_gate = true;
    hparams->activation = SL_ACTIVATION_SILU;
    return SL_OK;
}

const struct sl_arch sl_arch_nomic_bert = {"nomic-bert", configure};

/* SPDX-License-Identifier: Apache-2.0
 *
 * bert (Devlin et al. 2018): an encoder with learned positions, layer norms after each block, a
 * plain feed-forward with GELU and biases everywhere.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)error;
    sl_arch_encoder(gguf, hparams);
    hparams->rope_dims = 0;
    hparams->has_gate = false;
    hparams->activation = SL_ACTIVATION_GELU;
    return SL_OK;
}

const struct sl_arch sl_arch_bert = {"bert", configure};

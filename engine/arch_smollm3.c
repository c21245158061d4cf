/* SPDX-License-Identifier: Apache-2.0
 *
 * smollm3: llama, but every fourth layer has no rotary embedding (NoPE).
 * Source: SmolLM3Config.no_rope_layer_interval.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)gguf;
    (void)error;
    hparams->no_rope_every = 4; /* no key of the file says it; all published SmolLM3 have 4 */
    return SL_OK;
}

const struct sl_arch sl_arch_smollm3 = {"smollm3", configure};

/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen2 (Qwen 2 and 2.5): biases on Q, K and V, which are bound wherever a file has them, and
 * rotary embedding over halves. Their sliding window is off in all published configurations.
 */
#include "model.h"

static enum sl_err configure(const struct sl_gguf *gguf, struct sl_hparams *hparams,
                             struct sl_error *error)
{
    (void)gguf;
    (void)error;
    hparams->rope_style = SL_ROPE_HALVES;
    return SL_OK;
}

const struct sl_arch sl_arch_qwen2 = {"qwen2", configure};

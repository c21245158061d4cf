/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a gate file, and as the text that it scores.
 */
#include "gate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_gate *gate;
    struct sl_gate_result result;
    struct sl_slice text = {(const char *)data, size};
    if (sl_gate_read(data, size, &gate, NULL) != SL_OK)
        return 0;
    sl_gate_score(gate, text, &result);
    if (result.label >= sl_gate_labels(gate))
        abort();
    (void)sl_gate_names_label(gate, result.label, text);
    sl_gate_free(gate);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a calibration: refused, or every score that it gives is a probability or missing.
 */
#include "calibration.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_calibration *calibration;
    struct sl_error error = {0};
    double low[SL_FEATURE_IDS], high[SL_FEATURE_IDS];
    if (sl_calibration_parse("fuzz.json", (struct sl_slice){(const char *)data, size}, &calibration,
                             &error) != SL_OK)
        return 0;
    for (int id = 0; id < SL_FEATURE_IDS; id++) {
        low[id] = -1;
        high[id] = 1;
    }
    for (uint32_t kind = 0; kind <= calibration->kinds.count; kind++) {
        double worst = sl_calibration_score(calibration, kind, low);
        double best = sl_calibration_score_max(calibration, kind, low, high);
        double prompt = sl_calibration_prompt_score(calibration, kind, high);
        if (!(worst >= 0 && worst <= 1) || best < worst - 1e-9 || prompt < 0 || prompt > 1)
            abort();
    }
    sl_calibration_free(calibration);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats to blocks: the inverse of quant_blocks.h, for the quantize tool. Private to engine/.
 */
#ifndef SLUICE_ENGINE_QUANTIZE_BLOCKS_H
#define SLUICE_ENGINE_QUANTIZE_BLOCKS_H

#include "quant_blocks.h"

/* Writes one row of `columns` (a multiple of the block size) floats as `type`. Plain blocks and
 * Q8_0 come out byte for byte as ggml's reference makes them; super-blocks by a search of our own
 * for the least squared error. false for a type that cannot be written (IQ4_NL, IQ4_XS). */
bool sl_quantize_row(enum sl_tensor_type type, const float *x, void *out, size_t columns);
bool sl_quantize_can_write(enum sl_tensor_type type);

#endif

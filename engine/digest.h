/* SPDX-License-Identifier: Apache-2.0
 *
 * The SHA-256 of a model file without waiting for it at start. Hashing runs at some 400 MB/s, so a
 * large file is hashed by a thread of its own, and the result is kept beside the file
 * (`.NAME.sha256`: digest, size, modification time) where the folder can be written to: the next
 * start reads it there. A file that was changed has another size or time and is hashed anew. The
 * remembered value serves as the name of the model in cache keys; trust in a model comes from the
 * signature of its bundle, which is verified over the bytes.
 */
#ifndef SLUICE_ENGINE_DIGEST_H
#define SLUICE_ENGINE_DIGEST_H

#include "sluice/crypto.h"
#include "sluice/err.h"

struct sl_digest;

/* Begins; `data` is the mapped file, and `value` gets the result: both must stay until
 * sl_digest_free, and `value` may be read after sl_digest_wait. Errors: SL_ERR_MEMORY. */
enum sl_err sl_digest_start(const char *path, const void *data, uint64_t len,
                            uint8_t value[SL_SHA256_BYTES], struct sl_digest **out,
                            struct sl_error *error) SL_MUST_CHECK;
/* Waits for the result. Any thread. */
void sl_digest_wait(struct sl_digest *digest);
/* Stops where it is, and joins. NULL is fine. */
void sl_digest_free(struct sl_digest *digest);

#endif

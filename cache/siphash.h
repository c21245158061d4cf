/* SPDX-License-Identifier: Apache-2.0
 *
 * SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash of 64 bits for short input. It stands
 * where HMAC-SHA-256 would cost ten times as much: dozens of words a look-up. Header only; any
 * thread.
 */
#ifndef SLUICE_CACHE_SIPHASH_H
#define SLUICE_CACHE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t siphash_rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static inline void siphash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = siphash_rotate(v[1], 13) ^ v[0];
    v[0] = siphash_rotate(v[0], 32);
    v[2] += v[3];
    v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = siphash_rotate(v[1], 17) ^ v[2];
    v[2] = siphash_rotate(v[2], 32);
}

static inline void siphash_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    siphash_round(v);
    siphash_round(v);
    v[0] ^= word;
}

static inline uint64_t siphash(const uint64_t key[2], const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t v[4] = {key[0] ^ 0x736F6D6570736575u, key[1] ^ 0x646F72616E646F6Du,
                     key[0] ^ 0x6C7967656E657261u, key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word = 0;
        for (unsigned i = 0; i < 8; i++)
            word |= (uint64_t)at[i] << (8 * i);
        siphash_word(v, word);
    }
    for (unsigned i = 0; i < len; i++)
        last |= (uint64_t)at[i] << (8 * i);
    siphash_word(v, last);
    v[2] ^= 0xFF;
    for (int i = 0; i < 4; i++)
        siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Cache keys: filled in by the cache part.
 */
typedef int sl_empty;

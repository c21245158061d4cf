/* SPDX-License-Identifier: Apache-2.0
 *
 * The kinds of task that labelled rows show: one for every set of labels that they are held to, and
 * one for rows without labels, which are asked for no form. Rows that are all foreign make none:
 * they show what a kind is not, and a kind of their own would refuse every request of its form.
 *
 *     enum sl_err err = sl_labelled_kinds(&rows, "a.jsonl,b.jsonl", &kinds, &error);
 */
#ifndef SLUICE_CALIBRATE_SETS_H
#define SLUICE_CALIBRATE_SETS_H

#include "calibration_kinds.h"
#include "labelled.h"

/* Adds to *kinds and indexes them. `paths` as the rows were read with: kinds are named after their
 * file. Errors: SL_ERR_LIMIT (more than 64 of them), SL_ERR_MEMORY. */
enum sl_err sl_labelled_kinds(const struct sl_labelled *rows, const char *paths,
                              struct sl_kinds *kinds, struct sl_error *error) SL_MUST_CHECK;

#endif

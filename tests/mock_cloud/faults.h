/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered between requests: how often a model's name was asked for ("once"), and the
 * faults that a test has switched on for a name. Process-wide; any thread.
 */
#ifndef MOCK_FAULTS_H
#define MOCK_FAULTS_H

#include <jansson.h>
#include <stdbool.h>

#define MOCK_NAME_BYTES 256

/* Counts a request for this name; returns how many came before. */
int mock_faults_count(const char *model);
/* The name that a request for `model` is treated as: its own, or that of a fault, which it uses up.
 */
void mock_faults_apply(const char *model, char as[MOCK_NAME_BYTES]);
/* {"model","as","times"}; false where it is not that, or `as` is no scenario. */
bool mock_faults_add(const json_t *request);
void mock_faults_reset(void);

#endif

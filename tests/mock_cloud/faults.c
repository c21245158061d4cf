/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of faults.h, under one lock. Tests need few of them; past the caps a name is not
 * counted and a fault is refused.
 */
#include "faults.h"

#include "scenario.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define COUNTERS_MAX 512
#define FAULTS_MAX 64

struct counter {
    char model[MOCK_NAME_BYTES];
    int count;
};

struct fault {
    char model[MOCK_NAME_BYTES];
    char as[MOCK_NAME_BYTES];
    int left; /* MOCK_NEVER: for ever */
};

static struct {
    pthread_mutex_t lock; /* guards the two tables */
    struct counter counters[COUNTERS_MAX];
    size_t counter_count;
    struct fault faults[FAULTS_MAX];
    size_t fault_count;
} tables = {.lock = PTHREAD_MUTEX_INITIALIZER};

int mock_faults_count(const char *model)
{
    int before = 0;
    pthread_mutex_lock(&tables.lock);
    size_t i = 0;
    while (i < tables.counter_count && strcmp(tables.counters[i].model, model) != 0)
        i++;
    if (i == tables.counter_count && i < COUNTERS_MAX) {
        snprintf(tables.counters[i].model, sizeof tables.counters[i].model, "%s", model);
        tables.counters[i].count = 0;
        tables.counter_count++;
    }
    if (i < tables.counter_count)
        before = tables.counters[i].count++;
    pthread_mutex_unlock(&tables.lock);
    return before;
}

void mock_faults_apply(const char *model, char as[MOCK_NAME_BYTES])
{
    snprintf(as, MOCK_NAME_BYTES, "%s", model);
    pthread_mutex_lock(&tables.lock);
    for (size_t i = 0; i < tables.fault_count; i++) {
        struct fault *fault = &tables.faults[i];
        if (fault->left == 0 ||
            (strcmp(fault->model, "*") != 0 && strcmp(fault->model, model) != 0))
            continue;
        if (fault->left > 0)
            fault->left--;
        snprintf(as, MOCK_NAME_BYTES, "%s", fault->as);
        break;
    }
    pthread_mutex_unlock(&tables.lock);
}

bool mock_faults_add(const json_t *request)
{
    const char *model = json_string_value(json_object_get(request, "model"));
    const char *as = json_string_value(json_object_get(request, "as"));
    const json_t *times = json_object_get(request, "times");
    struct mock_scenario scenario;
    if (model == NULL || as == NULL || !mock_scenario_parse(as, MOCK_ECHO, &scenario))
        return false;
    pthread_mutex_lock(&tables.lock);
    bool has_room = tables.fault_count < FAULTS_MAX;
    if (has_room) {
        struct fault *fault = &tables.faults[tables.fault_count++];
        snprintf(fault->model, sizeof fault->model, "%s", model);
        snprintf(fault->as, sizeof fault->as, "%s", as);
        fault->left = json_is_integer(times) ? (int)json_integer_value(times) : MOCK_NEVER;
    }
    pthread_mutex_unlock(&tables.lock);
    return has_room;
}

void mock_faults_reset(void)
{
    pthread_mutex_lock(&tables.lock);
    tables.counter_count = 0;
    tables.fault_count = 0;
    pthread_mutex_unlock(&tables.lock);
}

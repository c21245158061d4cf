/* SPDX-License-Identifier: Apache-2.0
 *
 * Scripts: lists of steps. One owner.
 */
#include "script.h"

#include <stdlib.h>
#include <string.h>

static struct mock_step *add_step(struct mock_script *script, enum mock_step_kind kind)
{
    bool is_full = (script->step_count & (script->step_count - 1)) == 0; /* 0 or a power of two */
    if (is_full) {
        size_t room = script->step_count > 0 ? script->step_count * 2 : 1;
        script->steps = realloc(script->steps, room * sizeof *script->steps);
        if (script->steps == NULL)
            abort();
    }
    struct mock_step *step = &script->steps[script->step_count++];
    *step = (struct mock_step){.kind = kind};
    return step;
}

void mock_script_write(struct mock_script *script, struct sl_slice bytes)
{
    struct mock_step *step = add_step(script, MOCK_WRITE);
    step->bytes = malloc(bytes.len + 1);
    if (step->bytes == NULL)
        abort();
    memcpy(step->bytes, bytes.data != NULL ? bytes.data : "", bytes.len);
    step->bytes[bytes.len] = '\0';
    step->len = bytes.len;
}

void mock_script_sleep(struct mock_script *script, int ms)
{
    if (ms > 0)
        add_step(script, MOCK_SLEEP)->ms = ms;
}

void mock_script_cut(struct mock_script *script)
{
    add_step(script, MOCK_CUT);
}

void mock_script_repiece(struct mock_script *script, size_t piece_bytes)
{
    struct mock_script pieces = {0};
    for (size_t i = 0; i < script->step_count; i++) {
        struct mock_step *step = &script->steps[i];
        if (step->kind == MOCK_WRITE)
            for (size_t at = 0; at < step->len; at += piece_bytes)
                mock_script_write(&pieces,
                                  (struct sl_slice){step->bytes + at, step->len - at < piece_bytes
                                                                          ? step->len - at
                                                                          : piece_bytes});
        else
            add_step(&pieces, step->kind)->ms = step->ms;
        free(step->bytes);
    }
    free(script->steps);
    script->steps = pieces.steps;
    script->step_count = pieces.step_count;
}

void mock_script_clear(struct mock_script *script)
{
    for (size_t i = 0; i < script->step_count; i++)
        free(script->steps[i].bytes);
    free(script->steps);
    *script = (struct mock_script){0};
}

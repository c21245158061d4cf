/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two files of filters share: how arguments are read, and the filters over sequences
 * (chat_filters_list.c) that the table in chat_filters.c names. Private to them.
 */
#ifndef SLUICE_ENGINE_CHAT_FILTERS_H
#define SLUICE_ENGINE_CHAT_FILTERS_H

#include "chat_interp.h"

typedef struct sl_value filter_fn(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments);

filter_fn sl_filter_attr;
filter_fn sl_filter_batch;
filter_fn sl_filter_default;
filter_fn sl_filter_dictsort;
filter_fn sl_filter_first;
filter_fn sl_filter_groupby;
filter_fn sl_filter_items;
filter_fn sl_filter_join;
filter_fn sl_filter_last;
filter_fn sl_filter_length;
filter_fn sl_filter_list;
filter_fn sl_filter_map;
filter_fn sl_filter_max;
filter_fn sl_filter_min;
filter_fn sl_filter_reject;
filter_fn sl_filter_rejectattr;
filter_fn sl_filter_reverse;
filter_fn sl_filter_select;
filter_fn sl_filter_selectattr;
filter_fn sl_filter_slice;
filter_fn sl_filter_sort;
filter_fn sl_filter_sum;
filter_fn sl_filter_unique;

static inline bool flag_argument(const struct sl_arguments *arguments, size_t index,
                                 const char *name, bool otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    return value != NULL ? sl_value_is_true(*value) : otherwise;
}

static inline int64_t int_argument(const struct sl_arguments *arguments, size_t index,
                                   const char *name, int64_t otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    int64_t integer;
    return value != NULL && sl_value_as_int(*value, &integer) ? integer : otherwise;
}

static inline struct sl_slice text_argument(struct sl_interp *interp,
                                            const struct sl_arguments *arguments, size_t index,
                                            const char *name, struct sl_slice otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    return value != NULL ? sl_interp_text(interp, *value) : otherwise;
}

#endif

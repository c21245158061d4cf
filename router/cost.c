/* SPDX-License-Identifier: Apache-2.0
 *
 * Spending. Owns DATA/cloud_spend.json: {"version":1,"accounts":[{"app":"","day":"2026-11-21",
 * "day_usd":0.1,"month_usd":2.5}, ...]}; app "" is all of them. Written to a new file and renamed,
 * on every charge: it is a few hundred bytes, and a call to a cloud takes thousands of times
 * longer. Not fsynced: a power cut may forget the last seconds of spending, a crash of the process
 * does not.
 *
 * Invariants, under `lock`: 1. There is an account "", the sum. 2. An account's amounts belong to
 * its `day` and that day's month; reading them on another day gives zero for what has passed.
 */
#include "cost.h"

#include "sluice/buf.h"
#include "sluice/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define APPS_MAX 1024 /* apps past it are counted in the sum only */
#define APP_NAME_MAX 128
#define FILE_BYTES_MAX (1u << 20)
#define PATH_BYTES_MAX 4096

struct account {
    char app[APP_NAME_MAX];
    int32_t day; /* days since 1970-01-01 UTC */
    double day_usd;
    double month_usd;
};

struct sl_cost {
    pthread_mutex_t lock; /* guards the accounts and the file */
    struct account *accounts;
    size_t account_count;
    char path[PATH_BYTES_MAX]; /* "": not kept */
    bool is_write_failing;     /* said once */
};

/* ---- Days ---- */

static int32_t day_of(int64_t wall_seconds)
{
    return (int32_t)(wall_seconds / 86400);
}

static int month_of(int32_t day)
{
    time_t seconds = (time_t)day * 86400;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    return parts.tm_year * 12 + parts.tm_mon;
}

static void format_day(int32_t day, char out[32])
{
    time_t seconds = (time_t)day * 86400;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(out, 32, "%Y-%m-%d", &parts);
}

static bool parse_day(const char *text, int32_t *out)
{
    struct tm parts = {0};
    const char *end = text != NULL ? strptime(text, "%Y-%m-%d", &parts) : NULL;
    if (end == NULL || *end != '\0')
        return false;
    *out = (int32_t)(timegm(&parts) / 86400);
    return true;
}

/* What of the account counts on `day`. */
static struct sl_cloud_spending spending_on(const struct account *account, int32_t day)
{
    struct sl_cloud_spending spending = {0};
    if (account->day == day)
        spending.day_usd = account->day_usd;
    if (month_of(account->day) == month_of(day))
        spending.month_usd = account->month_usd;
    return spending;
}

/* ---- Accounts; under the lock ---- */

static struct account *find_account(const struct sl_cost *cost, const char *app)
{
    for (size_t i = 0; i < cost->account_count; i++)
        if (strncmp(cost->accounts[i].app, app, APP_NAME_MAX - 1) == 0)
            return &cost->accounts[i];
    return NULL;
}

static struct account *add_account(struct sl_cost *cost, const char *app)
{
    struct account *account = find_account(cost, app);
    if (account != NULL || cost->account_count == APPS_MAX)
        return account;
    account = &cost->accounts[cost->account_count++];
    *account = (struct account){0};
    snprintf(account->app, sizeof account->app, "%s", app);
    return account;
}

static void charge(struct account *account, double usd, int32_t day)
{
    if (account == NULL)
        return;
    struct sl_cloud_spending now = spending_on(account, day);
    account->day = day;
    account->day_usd = now.day_usd + usd;
    account->month_usd = now.month_usd + usd;
}

/* ---- The file ---- */

static json_t *encode(const struct sl_cost *cost)
{
    json_t *accounts = json_array();
    for (size_t i = 0; i < cost->account_count; i++) {
        char day[32];
        format_day(cost->accounts[i].day, day);
        json_array_append_new(accounts, json_pack("{s:s,s:s,s:f,s:f}", "app", cost->accounts[i].app,
                                                  "day", day, "day_usd", cost->accounts[i].day_usd,
                                                  "month_usd", cost->accounts[i].month_usd));
    }
    return json_pack("{s:i,s:o}", "version", 1, "accounts", accounts);
}

static bool write_file(const struct sl_cost *cost)
{
    char path[PATH_BYTES_MAX + 8];
    snprintf(path, sizeof path, "%s.new", cost->path);
    json_t *root = encode(cost);
    int fd = root != NULL ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    bool is_written = fd >= 0 && json_dumpfd(root, fd, JSON_COMPACT) == 0;
    if (fd >= 0 && close(fd) != 0)
        is_written = false;
    json_decref(root);
    return is_written && rename(path, cost->path) == 0;
}

static void save(struct sl_cost *cost)
{
    if (cost->path[0] == '\0')
        return;
    bool is_failing = !write_file(cost);
    if (is_failing && !cost->is_write_failing)
        SL_LOG_WARN("cloud", "spending cannot be written to %s: %s", cost->path, strerror(errno));
    cost->is_write_failing = is_failing;
}

static bool decode(struct sl_cost *cost, const json_t *root)
{
    const json_t *accounts = json_object_get(root, "accounts");
    if (json_integer_value(json_object_get(root, "version")) != 1 || !json_is_array(accounts))
        return false;
    for (size_t i = 0; i < json_array_size(accounts); i++) {
        const json_t *item = json_array_get(accounts, i);
        const char *app = json_string_value(json_object_get(item, "app"));
        int32_t day;
        if (app == NULL || !parse_day(json_string_value(json_object_get(item, "day")), &day))
            return false;
        struct account *account = add_account(cost, app);
        if (account == NULL)
            continue;
        account->day = day;
        account->day_usd = json_number_value(json_object_get(item, "day_usd"));
        account->month_usd = json_number_value(json_object_get(item, "month_usd"));
    }
    return true;
}

static void load(struct sl_cost *cost)
{
    if (access(cost->path, F_OK) != 0)
        return;
    json_t *root = json_load_file(cost->path, JSON_REJECT_DUPLICATES, NULL);
    bool is_read = root != NULL && decode(cost, root);
    json_decref(root);
    if (is_read)
        return;
    char aside[PATH_BYTES_MAX + 8];
    snprintf(aside, sizeof aside, "%s.broken", cost->path);
    rename(cost->path, aside);
    SL_LOG_WARN("cloud", "%s is damaged: kept as %s, spending starts at zero", cost->path, aside);
    cost->account_count = 0;
}

/* ---- Public ---- */

enum sl_err sl_cost_open(const char *data_folder, struct sl_cost **out, struct sl_error *error)
{
    *out = NULL;
    struct sl_cost *cost = calloc(1, sizeof *cost);
    if (cost != NULL)
        cost->accounts = calloc(APPS_MAX, sizeof *cost->accounts);
    if (cost == NULL || cost->accounts == NULL) {
        free(cost);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    pthread_mutex_init(&cost->lock, NULL);
    if (data_folder != NULL) {
        int len = snprintf(cost->path, sizeof cost->path, "%s/cloud_spend.json", data_folder);
        if (len < 0 || (size_t)len >= sizeof cost->path) {
            sl_cost_close(cost);
            return sl_error_set(error, SL_ERR_INVALID, "the data folder's path is too long");
        }
        load(cost);
    }
    if (cost->account_count == 0)
        add_account(cost, "");
    *out = cost;
    return SL_OK;
}

void sl_cost_close(struct sl_cost *cost)
{
    if (cost == NULL)
        return;
    pthread_mutex_destroy(&cost->lock);
    free(cost->accounts);
    free(cost);
}

void sl_cost_charge(struct sl_cost *cost, const char *app, double usd, int64_t wall_seconds)
{
    if (!(usd > 0))
        return;
    pthread_mutex_lock(&cost->lock);
    charge(add_account(cost, ""), usd, day_of(wall_seconds));
    if (app != NULL && app[0] != '\0')
        charge(add_account(cost, app), usd, day_of(wall_seconds));
    save(cost);
    pthread_mutex_unlock(&cost->lock);
}

struct sl_cloud_spending sl_cost_spending(struct sl_cost *cost, const char *app,
                                          int64_t wall_seconds)
{
    struct sl_cloud_spending spending = {0};
    pthread_mutex_lock(&cost->lock);
    const struct account *account = find_account(cost, app != NULL ? app : "");
    if (account != NULL)
        spending = spending_on(account, day_of(wall_seconds));
    pthread_mutex_unlock(&cost->lock);
    return spending;
}

static bool is_within(double spent, double limit)
{
    return limit <= 0 || spent < limit;
}

bool sl_cost_allows(struct sl_cost *cost, const char *app, const struct sl_cloud_budget *budget,
                    int64_t wall_seconds)
{
    struct sl_cloud_spending all = sl_cost_spending(cost, NULL, wall_seconds);
    if (!is_within(all.day_usd, budget->global_daily_usd) ||
        !is_within(all.month_usd, budget->global_monthly_usd))
        return false;
    if (app == NULL || app[0] == '\0')
        return true;
    struct sl_cloud_spending own = sl_cost_spending(cost, app, wall_seconds);
    return is_within(own.day_usd, budget->app_daily_usd) &&
           is_within(own.month_usd, budget->app_monthly_usd);
}

#include "shared.h"
enum sl_err shared_open(struct sl_cache *cache, const char *url, struct shared **out,
                        struct sl_error *error)
{ (void)cache; (void)url; *out = NULL; return sl_error_set(error, SL_ERR_UNSUPPORTED, NULL); }
void shared_close(struct shared *shared) { (void)shared; }
bool shared_is_up(const struct shared *shared) { return shared != NULL; }
void shared_put(struct shared *shared, struct record *record) { (void)shared; (void)record; }
struct record *shared_get(struct shared *shared, const struct sl_cache_key *key) { (void)shared; (void)key; return NULL; }
void shared_purge(struct shared *shared, const struct filter_tags *tags) { (void)shared; (void)tags; }

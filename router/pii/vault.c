/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the values of one request and the numbers given to them. Memory for values comes from pages
 * of its own that core dumps leave out (MADV_DONTDUMP) and that are overwritten before they go
 * back: one place to wipe. A request without finds allocates only the small struct. A few wiped
 * pages are kept for the next requests: mapping one for each cost a third of a cache hit.
 *
 * One thread fills it (scrub), then any thread reads it (restore).
 *
 * Invariants: 1. (kind, value) is unique, name is unique; 2. an entry never moves, so restorers may
 * keep pointers; 3. `sorted` is complete when `is_sealed`.
 */
#include "pii/vault.h"

#include "sluice/crypto.h"
#include "sluice/secret.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_BYTES 65536u /* values of an ordinary request fit into one */
#define NAME_MAX_BYTES 64u
#define SPARE_PAGES_MAX 16u /* as many as vaults that live at the same time on a busy small box */

struct page {
    struct page *next;
    size_t size, used;
};

/* Wiped pages of PAGE_BYTES, ready for the next vault. */
static struct {
    pthread_mutex_t lock; /* guards the rest */
    struct page *first;
    unsigned count;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct reserved {
    uint32_t number;
    uint16_t kind;
};

struct sl_vault {
    struct page *pages;
    struct vault_entry **entries; /* in the order given out */
    size_t count, capacity;
    uint32_t *slots; /* open addressing over entries by (kind, value); 0: empty, else idx + 1 */
    uint32_t *name_slots; /* the same over entries by name, for stable names only */
    size_t slot_count;
    const struct vault_entry **sorted;
    bool is_sealed;
    size_t longest_name;
    size_t restorable_count;
    uint32_t next_number[SL_PII_KINDS_MAX];
    struct reserved *reserved;
    size_t reserved_count, reserved_capacity;
};

struct sl_vault *sl_vault_create(void)
{
    return calloc(1, sizeof(struct sl_vault));
}

/* Overwrites what was used and keeps the page for the next vault, or unmaps it. */
static void release_page(struct page *page)
{
    size_t size = page->size;
    bool is_kept = false;
    sl_wipe(page, page->used);
    if (size == PAGE_BYTES) {
        pthread_mutex_lock(&spare.lock);
        is_kept = spare.count < SPARE_PAGES_MAX;
        if (is_kept) {
            page->next = spare.first;
            spare.first = page;
            spare.count++;
        }
        pthread_mutex_unlock(&spare.lock);
    }
    if (!is_kept)
        munmap(page, size);
}

static struct page *take_spare_page(void)
{
    pthread_mutex_lock(&spare.lock);
    struct page *page = spare.first;
    if (page != NULL) {
        spare.first = page->next;
        spare.count--;
    }
    pthread_mutex_unlock(&spare.lock);
    return page;
}

static struct page *map_page(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_DONTDUMP); /* a kernel without it dumps; no more to do */
    return memory;
}

void sl_vault_free(struct sl_vault *vault)
{
    if (vault == NULL)
        return;
    for (struct page *page = vault->pages, *next; page != NULL; page = next) {
        next = page->next;
        release_page(page);
    }
    free(vault->entries);
    free(vault->slots);
    free(vault->name_slots);
    free(vault->sorted);
    free(vault->reserved);
    sl_wipe(vault, sizeof *vault);
    free(vault);
}

static void *allocate(struct sl_vault *vault, size_t size)
{
    size_t aligned = (size + 15) & ~(size_t)15;
    struct page *page = vault->pages;

    if (page == NULL || page->size - page->used < aligned) {
        size_t wanted = sizeof(struct page) + aligned + 16;
        wanted = wanted < PAGE_BYTES ? PAGE_BYTES : (wanted + 4095) & ~(size_t)4095;
        page = wanted == PAGE_BYTES ? take_spare_page() : NULL;
        if (page == NULL)
            page = map_page(wanted);
        if (page == NULL)
            return NULL;
        *page = (struct page){vault->pages, wanted, (sizeof(struct page) + 15) & ~(size_t)15};
        vault->pages = page;
    }
    void *result = (char *)page + page->used;
    page->used += aligned;
    return result;
}

/* FNV-1a: the table is per request and its keys are bounded by the request's size. */
static uint64_t hash_value(unsigned kind, struct sl_slice value)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ kind;
    for (size_t i = 0; i < value.len; i++)
        hash = (hash ^ (unsigned char)value.data[i]) * UINT64_C(1099511628211);
    return hash ^ (hash >> 29);
}

static size_t find_slot(const struct sl_vault *vault, unsigned kind, struct sl_slice value)
{
    size_t slot = (size_t)hash_value(kind, value) & (vault->slot_count - 1);
    while (vault->slots[slot] != 0) {
        const struct vault_entry *entry = vault->entries[vault->slots[slot] - 1];
        if (entry->kind == kind && sl_slice_equal(entry->value, value))
            break;
        slot = (slot + 1) & (vault->slot_count - 1);
    }
    return slot;
}

static size_t find_name_slot(const struct sl_vault *vault, struct sl_slice name)
{
    size_t slot = (size_t)hash_value(0, name) & (vault->slot_count - 1);
    while (vault->name_slots[slot] != 0 &&
           !sl_slice_equal(vault->entries[vault->name_slots[slot] - 1]->name, name))
        slot = (slot + 1) & (vault->slot_count - 1);
    return slot;
}

static bool grow(struct sl_vault *vault)
{
    if (vault->count == vault->capacity) {
        size_t wanted = vault->capacity == 0 ? 32 : vault->capacity * 2;
        struct vault_entry **entries = realloc(vault->entries, wanted * sizeof *entries);
        if (entries == NULL)
            return false;
        vault->entries = entries;
        vault->capacity = wanted;
    }
    if ((vault->count + 1) * 2 <= vault->slot_count)
        return true;
    size_t wanted = vault->slot_count == 0 ? 64 : vault->slot_count * 2;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    uint32_t *name_slots = calloc(wanted, sizeof *name_slots);
    if (slots == NULL || name_slots == NULL) {
        free(slots);
        free(name_slots);
        return false;
    }
    free(vault->slots);
    free(vault->name_slots);
    vault->slots = slots;
    vault->name_slots = name_slots;
    vault->slot_count = wanted;
    for (size_t i = 0; i < vault->count; i++) {
        const struct vault_entry *entry = vault->entries[i];
        slots[find_slot(vault, entry->kind, entry->value)] = (uint32_t)i + 1;
        name_slots[find_name_slot(vault, entry->name)] = (uint32_t)i + 1;
    }
    return true;
}

bool pii_vault_reserve(struct sl_vault *vault, unsigned kind, uint32_t number)
{
    if (vault->reserved_count == vault->reserved_capacity) {
        size_t wanted = vault->reserved_capacity == 0 ? 16 : vault->reserved_capacity * 2;
        struct reserved *reserved = realloc(vault->reserved, wanted * sizeof *reserved);
        if (reserved == NULL)
            return false;
        vault->reserved = reserved;
        vault->reserved_capacity = wanted;
    }
    vault->reserved[vault->reserved_count++] = (struct reserved){number, (uint16_t)kind};
    vault->is_sealed = false; /* the list must be sorted again before numbers are given out */
    return true;
}

static int compare_reserved(const void *a, const void *b)
{
    const struct reserved *x = a;
    const struct reserved *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_reserved(const struct sl_vault *vault, unsigned kind, uint32_t number)
{
    struct reserved key = {number, (uint16_t)kind};
    return vault->reserved_count > 0 && bsearch(&key, vault->reserved, vault->reserved_count,
                                                sizeof key, compare_reserved) != NULL;
}

/* `EMAIL_` + five letters of base 32 (25 bits). On a collision within the request the hash is
 * taken again with a counter: rare, and stable as long as the history keeps its order. */
static int stable_name(const struct sl_vault *vault, const char *word, struct sl_slice value,
                       struct sl_slice key, char *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    int len = 0;
    for (uint32_t round = 0; round < 64; round++) {
        uint8_t digest[SL_SHA256_BYTES];
        struct sl_hash *hash = sl_hash_create(key.data, key.len);
        if (hash == NULL)
            return -1;
        sl_hash_update(hash, word, strlen(word) + 1);
        sl_hash_update(hash, &round, sizeof round);
        sl_hash_update(hash, value.data, value.len);
        sl_hash_finish(hash, digest);
        sl_hash_free(hash);
        len = snprintf(out, NAME_MAX_BYTES, "%s_%c%c%c%c%c", word, letters[digest[0] & 31],
                       letters[digest[1] & 31], letters[digest[2] & 31], letters[digest[3] & 31],
                       letters[digest[4] & 31]);
        if (vault->name_slots[find_name_slot(vault, (struct sl_slice){out, (size_t)len})] == 0)
            return len;
    }
    return -1;
}

static int plain_name(struct sl_vault *vault, unsigned kind, const char *word, char *out)
{
    uint32_t number = vault->next_number[kind];
    do
        number++;
    while (is_reserved(vault, kind, number));
    vault->next_number[kind] = number;
    return snprintf(out, NAME_MAX_BYTES, "%s_%u", word, number);
}

const struct vault_entry *pii_vault_put(struct sl_vault *vault, unsigned kind, const char *word,
                                        struct sl_slice value, bool is_restorable,
                                        struct sl_slice stable_key)
{
    char name[NAME_MAX_BYTES];
    if (!grow(vault))
        return NULL;
    size_t slot = find_slot(vault, kind, value);
    if (vault->slots[slot] != 0)
        return vault->entries[vault->slots[slot] - 1];

    int name_len = stable_key.len > 0 ? stable_name(vault, word, value, stable_key, name)
                                      : plain_name(vault, kind, word, name);
    if (name_len <= 0 || (size_t)name_len >= sizeof name)
        return NULL;
    struct vault_entry *entry = allocate(vault, sizeof *entry);
    char *bytes = entry != NULL ? allocate(vault, value.len + (size_t)name_len + 1) : NULL;
    if (bytes == NULL)
        return NULL;
    memcpy(bytes, name, (size_t)name_len);
    if (value.len > 0)
        memcpy(bytes + name_len, value.data, value.len);
    *entry = (struct vault_entry){
        .value = {bytes + name_len, value.len},
        .name = {bytes, (size_t)name_len},
        .kind = (uint16_t)kind,
        .is_restorable = is_restorable,
    };
    vault->entries[vault->count++] = entry;
    vault->slots[slot] = (uint32_t)vault->count;
    vault->name_slots[find_name_slot(vault, entry->name)] = (uint32_t)vault->count;
    vault->restorable_count += is_restorable;
    if ((size_t)name_len > vault->longest_name)
        vault->longest_name = (size_t)name_len;
    vault->is_sealed = false;
    return entry;
}

static int compare_names(const void *a, const void *b)
{
    const struct vault_entry *x = *(const struct vault_entry *const *)a;
    const struct vault_entry *y = *(const struct vault_entry *const *)b;
    size_t shared = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.data, y->name.data, shared);
    return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

bool pii_vault_seal(struct sl_vault *vault)
{
    if (vault->reserved_count > 1)
        qsort(vault->reserved, vault->reserved_count, sizeof *vault->reserved, compare_reserved);
    if (vault->count == 0) {
        vault->is_sealed = true;
        return true;
    }
    const struct vault_entry **sorted = realloc(vault->sorted, vault->count * sizeof *sorted);
    if (sorted == NULL)
        return false;
    memcpy(sorted, vault->entries, vault->count * sizeof *sorted);
    qsort(sorted, vault->count, sizeof *sorted, compare_names);
    vault->sorted = sorted;
    vault->is_sealed = true;
    return true;
}

const struct vault_entry *const *pii_vault_sorted(const struct sl_vault *vault, size_t *count)
{
    *count = vault->is_sealed ? vault->count : 0;
    return vault->sorted;
}

size_t pii_vault_longest_name(const struct sl_vault *vault)
{
    return vault->longest_name;
}

size_t sl_vault_count(const struct sl_vault *vault)
{
    return vault->count;
}

size_t sl_vault_restorable_count(const struct sl_vault *vault)
{
    return vault->restorable_count;
}

bool sl_vault_find(const struct sl_vault *vault, struct sl_slice placeholder,
                   struct sl_slice *value)
{
    size_t low = 0;
    size_t high = vault->is_sealed ? vault->count : 0;

    if (placeholder.len < 3 || placeholder.data[0] != '<' ||
        placeholder.data[placeholder.len - 1] != '>')
        return false;
    struct vault_entry wanted = {.name = {placeholder.data + 1, placeholder.len - 2}};
    const struct vault_entry *key = &wanted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_names(&key, &vault->sorted[middle]);
        if (order == 0) {
            *value = vault->sorted[middle]->value;
            return vault->sorted[middle]->is_restorable;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

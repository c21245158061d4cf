/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_test.h"

#include "vector_scan.h"
#include "vectors.h"

#include <math.h>
#include <pthread.h>

#define COSINE_MIN 0.8f

static float random_part(unsigned *seed)
{
    float sum = 0;
    for (int i = 0; i < 6; i++)
        sum += (float)rand_r(seed) / (float)RAND_MAX - 0.5f;
    return sum;
}

/* Around a common direction, as embeddings are. */
static struct vector random_vector(size_t len, float common, uint64_t scope, unsigned *seed)
{
    struct vector vector;
    float elements[VECTOR_LEN_MAX];
    for (size_t i = 0; i < len; i++)
        elements[i] = common * sinf((float)i) + random_part(seed);
    ck_assert(vector_quantize(elements, len, &vector));
    vector.scope = scope;
    return vector;
}

START_TEST(every_kernel_gives_the_dots_of_the_reference)
{
    static int8_t rows[9 * 416];
    static int8_t query[416];
    unsigned seed = 7;
    for (size_t len = VECTOR_STEP; len <= 416; len += VECTOR_STEP)
        for (size_t count = 0; count <= 9; count++) {
            int32_t expected[9];
            int32_t dots[9];
            for (size_t i = 0; i < count * len; i++)
                rows[i] = (int8_t)(rand_r(&seed) % 5 == 0 ? -127 : rand_r(&seed) % 255 - 127);
            for (size_t i = 0; i < len; i++)
                query[i] = (int8_t)(rand_r(&seed) % 5 == 0 ? 127 : rand_r(&seed) % 255 - 127);
            vector_scan_ref(rows, len, count, query, expected);
            vector_scan()(rows, len, count, query, dots);
            ck_assert_mem_eq(dots, expected, count * sizeof *dots);
        }
    if (vector_scan() == vector_scan_ref)
        sl_test_skip("this machine has no other kernel than the reference");
}
END_TEST

static float cosine_of(const struct vector *a, const struct vector *b)
{
    double dot = 0;
    double a_square = 0;
    double b_square = 0;
    for (size_t i = 0; i < a->len; i++) {
        dot += a->elements[i] * b->elements[i];
        a_square += a->elements[i] * a->elements[i];
        b_square += b->elements[i] * b->elements[i];
    }
    return (float)(dot / sqrt(a_square * b_square));
}

/* The ids found are those of a full scan, in the order of their cosines. */
static void compare_with_full_scan(size_t len, float common)
{
    enum { ROWS = 700, WANTED = 8 };
    static struct vector rows[ROWS];
    unsigned seed = (unsigned)len;
    struct vectors *vectors = vectors_create(ROWS);
    ck_assert(vectors_expect(vectors, len));
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = random_vector(len, common, 1 + i % 2, &seed);
        vectors_add(vectors, (int64_t)i, &rows[i]);
    }
    for (size_t asked = 0; asked < ROWS; asked += 41) {
        int64_t ids[WANTED];
        size_t better = 0;
        size_t close = 0;
        size_t found = vectors_find(vectors, &rows[asked], COSINE_MIN, ids, WANTED);
        ck_assert_uint_gt(found, 0);
        float last = cosine_of(&rows[asked], &rows[ids[found - 1]]);
        for (size_t i = 0; i < ROWS; i++) {
            float cosine = cosine_of(&rows[asked], &rows[i]);
            bool is_close = rows[i].scope == rows[asked].scope && cosine >= COSINE_MIN + 1e-5f;
            close += is_close;
            better += is_close && cosine > last + 1e-5f;
        }
        ck_assert_uint_lt(better, found); /* nothing nearer was left out */
        ck_assert_uint_ge(found, close < WANTED ? close : WANTED);
        for (size_t i = 0; i < found; i++) {
            ck_assert_uint_eq(rows[ids[i]].scope, rows[asked].scope);
            ck_assert(i == 0 || cosine_of(&rows[asked], &rows[ids[i]]) <=
                                    cosine_of(&rows[asked], &rows[ids[i - 1]]) + 1e-5f);
        }
    }
    vectors_free(vectors);
}

START_TEST(a_search_that_skips_finds_what_a_full_scan_finds)
{
    static const size_t lens[] = {1, 3, 31, 127, 128, 129, 256, 384, 1023, 1024};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        compare_with_full_scan(lens[i], 0);
        compare_with_full_scan(lens[i], 1);
        compare_with_full_scan(lens[i], 3); /* most rows are close: the bound rules out few */
    }
}
END_TEST

START_TEST(what_has_no_direction_is_no_vector)
{
    struct vector vector;
    float zero[4] = {0};
    float broken[4] = {1, NAN, 0, 0};
    float endless[4] = {1, INFINITY, 0, 0};
    float tiny[4] = {1e-44f, 0, 0, 0};
    static float longest[VECTOR_LEN_MAX + 1] = {1};
    ck_assert(!vector_quantize(zero, 4, &vector));
    ck_assert(!vector_quantize(broken, 4, &vector));
    ck_assert(!vector_quantize(endless, 4, &vector));
    ck_assert(!vector_quantize(tiny, 4, &vector));
    ck_assert(!vector_quantize(longest, VECTOR_LEN_MAX + 1, &vector));
    ck_assert(!vector_quantize(longest, 0, &vector));
    ck_assert(vector_quantize(longest, VECTOR_LEN_MAX, &vector));
    ck_assert_int_eq(vector.elements[0], 127);
}
END_TEST

START_TEST(the_newest_are_kept_and_memory_is_bounded)
{
    struct vectors *vectors = vectors_create(10);
    unsigned seed = 3;
    struct vector kept[25];
    int64_t id;
    ck_assert(vectors_expect(vectors, 48));
    ck_assert(!vectors_expect(vectors, 48));
    for (int64_t i = 0; i < 25; i++) {
        kept[i] = random_vector(48, 0, 1, &seed);
        vectors_add(vectors, i, &kept[i]);
    }
    ck_assert_uint_eq(vectors_count(vectors), 10);
    for (int64_t i = 0; i < 25; i++) {
        size_t found = vectors_find(vectors, &kept[i], 0.999f, &id, 1);
        ck_assert_uint_eq(found, i >= 15);
        ck_assert(found == 0 || id == i);
    }
    struct vector other = random_vector(64, 0, 1, &seed); /* of another model */
    vectors_add(vectors, 99, &other);
    ck_assert_uint_eq(vectors_find(vectors, &other, 0, &id, 1), 0);
    ck_assert(vectors_expect(vectors, 64));
    ck_assert_uint_eq(vectors_count(vectors), 0);
    vectors_free(vectors);
    vectors = vectors_create(0);
    vectors_expect(vectors, 64);
    vectors_add(vectors, 1, &other);
    ck_assert_uint_eq(vectors_find(vectors, &other, 0, &id, 1), 0);
    vectors_free(vectors);
}
END_TEST

static void *search_for_ever(void *context)
{
    struct vectors *vectors = context;
    unsigned seed = 11;
    for (int i = 0; i < 300; i++) {
        int64_t ids[4];
        struct vector query = random_vector(200, 1, 1, &seed);
        vectors_find(vectors, &query, 0.3f, ids, 4);
    }
    return NULL;
}

START_TEST(searches_and_additions_do_not_disturb_each_other)
{
    struct vectors *vectors = vectors_create(5000);
    pthread_t threads[3];
    unsigned seed = 5;
    vectors_expect(vectors, 200);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, search_for_ever, vectors);
    for (int64_t i = 0; i < 6000; i++) {
        struct vector vector = random_vector(200, 1, 1, &seed);
        vectors_add(vectors, i, &vector);
        if (i == 3000)
            vectors_clear(vectors);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(vectors_count(vectors), 2999);
    vectors_free(vectors);
}
END_TEST

/* ---- in the cache --------------------------------------------------------------------------- */

#define LEN 96

/* Close to each other for equal `topic`, far for different ones. */
static void embed(unsigned topic, unsigned wording, float out[LEN])
{
    unsigned seed = topic;
    for (size_t i = 0; i < LEN; i++)
        out[i] = random_part(&seed);
    seed = 1000 + wording;
    for (size_t i = 0; i < LEN; i++)
        out[i] += 0.1f * random_part(&seed);
}

static struct sl_cache_similar_text text_of(struct sl_cache *cache, const char *text,
                                            const float *vector)
{
    return (struct sl_cache_similar_text){.scope = key_of(cache, 900),
                                          .text = sl_slice_of(text),
                                          .vector = vector,
                                          .vector_len = LEN,
                                          .vector_model = sl_cache_digest_of(SL_SLICE("bert"))};
}

static void put_embedded(struct sl_cache *cache, uint64_t number, const char *text, unsigned topic)
{
    float vector[LEN];
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD};
    struct sl_cache_key key = key_of(cache, number);
    embed(topic, (unsigned)number, vector);
    struct sl_cache_similar_text similar = text_of(cache, text, vector);
    ck_assert(sl_cache_put(cache, &key, &meta, SL_SLICE("answer"), NOW, 3600, &similar));
    flush(cache);
}

static enum sl_cache_match ask(struct sl_cache *cache, const char *text, unsigned topic)
{
    float vector[LEN];
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    struct sl_cache_entry entry;
    enum sl_cache_match match;
    embed(topic, 77, vector);
    struct sl_cache_similar_text similar = text_of(cache, text, vector);
    sl_cache_similar(cache, &similar, &want, &entry, &match);
    sl_cache_entry_clear(&entry);
    return match;
}

START_TEST(close_texts_match_where_only_the_frame_of_the_sentence_differs)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_embedded(cache, 1, "what is the weather in york tomorrow morning", 5);
    put_embedded(cache, 2, "book a flight from york to leeds", 6);
    put_embedded(cache, 3, "does ada like ben", 7);
    ck_assert_int_eq(ask(cache, "what is weather in york tomorrow morning", 5),
                     SL_CACHE_MATCH_CONTENT);
    ck_assert_int_eq(ask(cache, "tomorrow morning what is the weather in york", 5),
                     SL_CACHE_MATCH_CONTENT);
    ck_assert_int_eq(ask(cache, "book flight from york to leeds", 6), SL_CACHE_MATCH_CONTENT);
    static const struct {
        const char *text;
        unsigned topic;
    } others[] = {
        {"what is weather in york tomorrow morning", 9}, /* far away, says the model */
        {"what is the weather in leeds tomorrow morning", 5},
        {"what is the weather in york tomorrow evening", 5},
        {"what is not the weather in york tomorrow morning", 5},
        {"what was weather in york tomorrow morning", 5},
        {"book flight from leeds to york", 6},
        {"book flight to york from leeds", 6},
        {"does ben like ada", 7},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(ask(cache, others[i].text, others[i].topic) == SL_CACHE_MATCH_NONE, "%s",
                      others[i].text);
    sl_cache_close(cache);
}
END_TEST

/* The index is filled again behind the first question. */
static enum sl_cache_match ask_until(struct sl_cache *cache, enum sl_cache_match wanted)
{
    enum sl_cache_match match = SL_CACHE_MATCH_NONE;
    for (int i = 0; i < 500 && match != wanted; i++) {
        match = ask(cache, "what is weather in york tomorrow morning", 5);
        if (match != wanted)
            usleep(10000);
    }
    return match;
}

START_TEST(embeddings_survive_a_restart_and_a_rotation_but_no_purge)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_embedded(cache, 1, "what is the weather in york tomorrow morning", 5);
    sl_cache_close(cache);
    cache = open_at(&place);
    ck_assert_int_eq(ask_until(cache, SL_CACHE_MATCH_CONTENT), SL_CACHE_MATCH_CONTENT);
    ck_assert_int_eq(sl_cache_rotate_key(cache, NULL), SL_OK);
    sl_cache_close(cache);
    cache = open_at(&place);
    ck_assert_int_eq(ask_until(cache, SL_CACHE_MATCH_CONTENT), SL_CACHE_MATCH_CONTENT);
    uint64_t purged;
    struct sl_cache_filter all = {.everything = true};
    ck_assert_int_eq(sl_cache_purge(cache, &all, &purged, NULL), SL_OK);
    ck_assert_int_eq(ask(cache, "what is weather in york tomorrow morning", 5),
                     SL_CACHE_MATCH_NONE);
    sl_cache_close(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vectors");
    TCase *tcase = tcase_create("vectors");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_kernel_gives_the_dots_of_the_reference);
    tcase_add_test(tcase, a_search_that_skips_finds_what_a_full_scan_finds);
    tcase_add_test(tcase, what_has_no_direction_is_no_vector);
    tcase_add_test(tcase, the_newest_are_kept_and_memory_is_bounded);
    tcase_add_test(tcase, searches_and_additions_do_not_disturb_each_other);
    tcase_add_test(tcase, close_texts_match_where_only_the_frame_of_the_sentence_differs);
    tcase_add_test(tcase, embeddings_survive_a_restart_and_a_rotation_but_no_purge);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}

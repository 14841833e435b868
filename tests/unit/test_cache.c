/* The response cache: bounded, least recently used first, never older than asked for; of several who ask one asks, and nobody who waits is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "state/cache.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY ((size_t)1 << 20)

static struct lun_cache *fresh(size_t size)
{
    struct lun_cache *c = lun_cache_new();
    lun_cache_resize(c, size);
    return c;
}

static struct lun_digest key(uint64_t n) { return (struct lun_digest){ n, ~n }; }

static struct lun_cached *answer(const char *text, size_t n, lun_us made)
{
    char *bytes = lun_zalloc(n + 1);
    memcpy(bytes, text, strlen(text) < n ? strlen(text) : n);
    struct lun_cached *a = lun_cached_new(&(struct lun_cached){ .target = "t", .content_type = "application/json", .bytes = bytes, .n = n, .made = made });
    free(bytes);
    return a;
}

static void nobody(struct lun_cache_visit *v) { (void)v; }

/* Asks and answers. */
static void keep(struct lun_cache *c, uint64_t n, const char *text, size_t size, lun_us now)
{
    struct lun_cache_visit v = { .post = nobody };
    struct lun_cached *out, *a = answer(text, size, now);
    assert_int_equal(lun_cache_find(c, &v, key(n), LUN_NEVER, false, &out), LUN_CACHE_ASKS);
    lun_cache_keep(c, &v, a, true);
    lun_cached_unref(a);
}

/* What is there, as a text that is good until the next call; NULL: nothing. */
static const char *there(struct lun_cache *c, uint64_t n, lun_us since)
{
    static char text[64];
    struct lun_cache_visit v = { .post = nobody };
    struct lun_cached *out;
    enum lun_cache_state found = lun_cache_find(c, &v, key(n), since, false, &out);
    if (found != LUN_CACHE_SERVED) {
        lun_cache_leave(c, &v, LUN_CACHE_LEFT);
        return NULL;
    }
    snprintf(text, sizeof text, "%s", out->bytes);
    lun_cached_unref(out);
    return text;
}

static struct lun_cache_view view(struct lun_cache *c)
{
    struct lun_cache_view v;
    lun_cache_look_at(c, &v);
    return v;
}

static void empty(struct lun_cache *c)
{
    struct lun_cache_view v = view(c);
    assert_int_equal(v.asking + v.waiting, 0);
    lun_cache_free(c);
}

/* ---- what is kept ---- */

static void an_answer_is_there_until_it_is_too_old_or_another_takes_its_place(void **state)
{
    (void)state;
    struct lun_cache *c = fresh(MANY);
    assert_null(there(c, 1, 0));
    keep(c, 1, "one", 3, 100);
    assert_string_equal(there(c, 1, 100), "one");
    assert_null(there(c, 1, 101));
    assert_null(there(c, 2, 0));
    keep(c, 1, "two", 3, 200);
    assert_string_equal(there(c, 1, 200), "two");
    assert_int_equal(view(c).entries, 1);
    empty(c);
}

static void everything_of_an_answer_is_copied(void **state)
{
    (void)state;
    char target[] = "target", type[] = "type", id[] = "id", warning[] = "warn", bytes[] = "by\0tes", hidden[] = "hidden";
    struct lun_cached like = { .events = true, .usage_shown = true, .fallback = true, .target = target, .content_type = type, .provider_request_id = id, .warning = warning,
                               .usage = { .known = true, .input = 7 }, .bytes = bytes, .n = 6, .hidden = hidden, .hidden_n = 6, .made = 9 };
    struct lun_cached *a = lun_cached_new(&like);
    memset(target, 'x', 6), memset(type, 'x', 4), memset(id, 'x', 2), memset(warning, 'x', 4), memset(bytes, 'x', 6), memset(hidden, 'x', 6);
    assert_string_equal(a->target, "target");
    assert_string_equal(a->content_type, "type");
    assert_string_equal(a->provider_request_id, "id");
    assert_string_equal(a->warning, "warn");
    assert_memory_equal(a->bytes, "by\0tes", 6);
    assert_string_equal(a->hidden, "hidden");
    assert_true(a->events && a->usage_shown && a->fallback && a->usage.input == 7 && a->made == 9 && a->n == 6 && a->hidden_n == 6);
    assert_true(a->size > sizeof *a + 24);
    lun_cached_unref(a);
    a = lun_cached_new(&(struct lun_cached){ .target = "t" });
    assert_null(a->provider_request_id);
    assert_null(a->warning);
    assert_string_equal(a->bytes, "");
    lun_cached_unref(a);
}

static void when_it_is_full_the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct lun_cache *c = fresh(MANY);
    for (uint64_t i = 0; i < 4; i++) keep(c, i, "x", MANY / 5, 0);
    assert_string_equal(there(c, 0, 0), "x");
    keep(c, 4, "x", MANY / 5, 0);
    assert_null(there(c, 1, 0));
    assert_non_null(there(c, 0, 0));
    assert_non_null(there(c, 2, 0));
    assert_int_equal(view(c).evictions, 1);
    assert_true(view(c).bytes <= MANY);
    keep(c, 5, "large", MANY, 0);               /* with what it takes itself it is too large: nothing makes room for it */
    assert_null(there(c, 5, 0));
    assert_int_equal(view(c).entries, 4);
    empty(c);
}

static void another_size_counts_at_once(void **state)
{
    (void)state;
    struct lun_cache *c = fresh(MANY);
    for (uint64_t i = 0; i < 8; i++) keep(c, i, "x", MANY / 10, 0);
    lun_cache_resize(c, MANY / 4);
    assert_int_equal(view(c).entries, 2);
    assert_non_null(there(c, 7, 0));
    assert_non_null(there(c, 6, 0));
    lun_cache_resize(c, 0);
    assert_int_equal(view(c).bytes, 0);
    keep(c, 1, "x", 1, 0);
    assert_null(there(c, 1, 0));
    empty(c);
}

static void a_purge_takes_what_is_there_and_what_is_under_way_is_not_kept(void **state)
{
    (void)state;
    struct lun_cache *c = fresh(MANY);
    struct lun_cache_visit asks = { .post = nobody }, waits = { .post = nobody };
    struct lun_cached *out, *a = answer("before", 6, 5);
    keep(c, 1, "one", 3, 0);
    assert_int_equal(lun_cache_find(c, &asks, key(2), 0, true, &out), LUN_CACHE_ASKS);
    assert_int_equal(lun_cache_find(c, &waits, key(2), 0, true, &out), LUN_CACHE_WAITS);
    lun_cache_purge(c);
    assert_null(there(c, 1, 0));
    lun_cache_keep(c, &asks, a, true);
    lun_cached_unref(a);
    assert_int_equal(lun_cache_look(c, &waits, &out), LUN_CACHE_SERVED);
    assert_string_equal(out->bytes, "before");
    lun_cached_unref(out);
    assert_null(there(c, 2, 0));
    keep(c, 2, "after", 5, 6);
    assert_string_equal(there(c, 2, 0), "after");
    empty(c);
}

/* ---- who asks and who waits ---- */

struct crowd { struct lun_cache *cache; struct lun_cache_visit visit[64]; int posted[64]; };
static struct crowd *crowd;
static void told(struct lun_cache_visit *v) { crowd->posted[v - crowd->visit]++; }

static void gather(struct crowd *all, struct lun_cache *c, int n)
{
    struct lun_cached *out;
    memset(all, 0, sizeof *all);
    all->cache = c;
    crowd = all;
    for (int i = 0; i < n; i++) {
        all->visit[i].post = told;
        assert_int_equal(lun_cache_find(c, &all->visit[i], key(7), 0, true, &out), i ? LUN_CACHE_WAITS : LUN_CACHE_ASKS);
    }
}

static int in_state(struct crowd *all, int n, enum lun_cache_state wanted)
{
    struct lun_cached *out;
    int count = 0;
    for (int i = 0; i < n; i++) {
        enum lun_cache_state s = lun_cache_look(all->cache, &all->visit[i], &out);
        if (s == LUN_CACHE_SERVED) lun_cached_unref(out);
        count += s == wanted;
    }
    return count;
}

static void one_asks_and_all_have_its_answer(void **state)
{
    (void)state;
    struct crowd all;
    struct lun_cache *c = fresh(MANY);
    struct lun_cached *a = answer("one", 3, 1);
    gather(&all, c, 20);
    assert_int_equal(view(c).asking, 1);
    assert_int_equal(view(c).waiting, 19);
    assert_true(lun_cache_awaited(c, &all.visit[0]));
    lun_cache_keep(c, &all.visit[0], a, false);
    lun_cached_unref(a);
    for (int i = 1; i < 20; i++) assert_int_equal(all.posted[i], 1);
    assert_int_equal(in_state(&all, 20, LUN_CACHE_SERVED), 19);
    assert_null(there(c, 7, 0));                /* it was not to be kept */
    for (int i = 0; i < 20; i++) lun_cache_leave(c, &all.visit[i], LUN_CACHE_LEFT);
    empty(c);
}

static void an_answer_that_is_too_old_for_some_serves_the_others_and_of_those_one_asks(void **state)
{
    (void)state;
    struct lun_cache *c = fresh(MANY);
    struct crowd all;
    struct lun_cached *out, *old = answer("old", 3, 50), *fresher = answer("new", 3, 150);
    gather(&all, c, 2);
    for (int i = 2; i < 5; i++) {
        all.visit[i].post = told;
        assert_int_equal(lun_cache_find(c, &all.visit[i], key(7), 100, true, &out), LUN_CACHE_WAITS);
    }
    lun_cache_keep(c, &all.visit[0], old, true);
    assert_int_equal(lun_cache_look(c, &all.visit[1], &out), LUN_CACHE_SERVED);
    lun_cached_unref(out);
    assert_int_equal(in_state(&all, 5, LUN_CACHE_ASKS), 1);
    assert_int_equal(in_state(&all, 5, LUN_CACHE_WAITS), 2);
    assert_true(all.posted[2] == 1 && !all.posted[3] && !all.posted[4]);
    assert_string_equal(there(c, 7, 0), "old");
    lun_cache_keep(c, &all.visit[2], fresher, true);
    for (int i = 3; i < 5; i++) {
        assert_int_equal(lun_cache_look(c, &all.visit[i], &out), LUN_CACHE_SERVED);
        lun_cached_unref(out);
    }
    struct lun_cache_visit late = { .post = nobody };           /* looked elsewhere meanwhile, and found what is older */
    assert_int_equal(lun_cache_find(c, &late, key(7), LUN_NEVER, false, &out), LUN_CACHE_ASKS);
    lun_cache_keep(c, &late, old, true);
    assert_string_equal(there(c, 7, 0), "new");
    lun_cached_unref(old), lun_cached_unref(fresher);
    empty(c);
}

static void when_the_one_who_asks_leaves_the_next_one_asks(void **state)
{
    (void)state;
    struct crowd all;
    struct lun_cache *c = fresh(MANY);
    gather(&all, c, 10);
    lun_cache_leave(c, &all.visit[3], LUN_CACHE_LEFT);          /* one who waits: nothing comes of it */
    assert_int_equal(view(c).asking, 1);
    for (int i = 0; i < 10; i++) {
        if (i == 3) continue;
        lun_cache_leave(c, &all.visit[i], LUN_CACHE_LEFT);
        int next = i == 2 ? 4 : i + 1;
        if (next < 10) assert_int_equal(all.posted[next], 1);
        assert_int_equal(view(c).asking, next < 10);
    }
    assert_int_equal(all.posted[3], 0);
    empty(c);
}

static void each_time_all_who_asked_have_failed_twice_as_many_ask(void **state)
{
    (void)state;
    struct crowd all;
    struct lun_cache *c = fresh(MANY);
    int from = 0, asks = 1;
    gather(&all, c, 16);
    while (from < 16) {
        assert_int_equal(in_state(&all, 16, LUN_CACHE_ASKS), asks);
        for (int i = from; i < from + asks; i++) {
            assert_int_equal(view(c).asking, from + asks - i);  /* nobody before the last one has failed */
            lun_cache_leave(c, &all.visit[i], LUN_CACHE_FAILED);
        }
        from += asks;
        asks = from == 1 ? 1 : asks * 2 < 16 - from ? asks * 2 : 16 - from;
    }
    assert_int_equal(view(c).asking, 0);
    empty(c);
}

static void an_answer_that_is_nobody_elses_lets_all_ask(void **state)
{
    (void)state;
    struct crowd all;
    struct lun_cache *c = fresh(MANY);
    gather(&all, c, 16);
    lun_cache_leave(c, &all.visit[0], LUN_CACHE_UNFIT);
    assert_int_equal(in_state(&all, 16, LUN_CACHE_ASKS), 15);
    for (int i = 1; i < 16; i++) lun_cache_leave(c, &all.visit[i], LUN_CACHE_FAILED);
    empty(c);
}

static void who_is_let_ask_and_leaves_before_he_knew_passes_it_on(void **state)
{
    (void)state;
    struct crowd all;
    struct lun_cache *c = fresh(MANY);
    gather(&all, c, 3);
    lun_cache_leave(c, &all.visit[0], LUN_CACHE_FAILED);
    lun_cache_leave(c, &all.visit[1], LUN_CACHE_LEFT);
    assert_int_equal(all.posted[2], 1);
    assert_int_equal(in_state(&all, 3, LUN_CACHE_ASKS), 1);
    struct lun_cached *a = answer("x", 1, 0);
    lun_cache_keep(c, &all.visit[2], a, true);
    assert_int_equal(atomic_load(&a->references), 2);
    gather(&all, fresh(MANY), 2);                               /* and so does who was served */
    lun_cache_keep(all.cache, &all.visit[0], a, false);
    assert_int_equal(atomic_load(&a->references), 3);
    lun_cache_leave(all.cache, &all.visit[1], LUN_CACHE_LEFT);
    assert_int_equal(atomic_load(&a->references), 2);
    lun_cached_unref(a);
    empty(all.cache);
    empty(c);
}

/* ---- any schedule ---- */

static uint64_t rng;
static uint64_t rnd(void)
{
    uint64_t z = rng += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static int upto(int n) { return (int)(rnd() % (uint64_t)n); }

#define KEYS 6
#define PEOPLE 24
struct person { struct lun_cache_visit visit; int key; bool in, news; };
static void news(struct lun_cache_visit *v) { ((struct person *)(void *)v)->news = true; }

/* What must hold whatever happened: whoever waits has somebody who asks under the same key; and the bound. */
static void check(struct lun_cache *c, struct person *p)
{
    size_t asking = 0, waiting = 0;
    for (int k = 0; k < KEYS; k++) {
        int ask = 0, wait = 0;
        for (int i = 0; i < PEOPLE; i++) {
            if (!p[i].in || p[i].key != k) continue;
            ask += p[i].visit.state == LUN_CACHE_ASKS;
            wait += p[i].visit.state == LUN_CACHE_WAITS;
            if (p[i].visit.state == LUN_CACHE_SERVED) assert_true(p[i].news);
        }
        assert_true(!wait || ask);
        asking += (size_t)ask;
        waiting += (size_t)wait;
    }
    struct lun_cache_view v = view(c);
    assert_int_equal(v.asking, asking);
    assert_int_equal(v.waiting, waiting);
    assert_true(v.bytes <= v.size && (v.entries > 0) == (v.bytes > 0));
}

static void enter(struct lun_cache *c, struct person *p, lun_us now)
{
    struct lun_cached *out = NULL;
    p->key = upto(KEYS);
    p->news = false;
    lun_us since = upto(6) ? now - upto(50) : LUN_NEVER;
    enum lun_cache_state s = lun_cache_find(c, &p->visit, key((uint64_t)p->key), since, upto(4) && since != LUN_NEVER, &out);
    p->in = s != LUN_CACHE_SERVED;
    if (p->in) return;
    assert_true(out->made >= since && out->bytes[0] == 'a' + p->key);
    lun_cached_unref(out);
}

static void go_on(struct lun_cache *c, struct person *p, lun_us now)
{
    struct lun_cached *out = NULL;
    char text[] = { (char)('a' + p->key), 0 };
    if (upto(6) == 0) { lun_cache_leave(c, &p->visit, LUN_CACHE_LEFT); p->in = false; return; }
    enum lun_cache_state s = lun_cache_look(c, &p->visit, &out);
    assert_true(s != LUN_CACHE_AWAY);
    if (s == LUN_CACHE_SERVED) {
        assert_true(out->bytes[0] == 'a' + p->key);
        lun_cached_unref(out);
        p->in = false;
    } else if (s == LUN_CACHE_ASKS && upto(2)) {
        p->in = false;
        if (upto(3) == 0) { lun_cache_leave(c, &p->visit, upto(4) ? LUN_CACHE_FAILED : LUN_CACHE_UNFIT); return; }
        struct lun_cached *a = answer(text, (size_t)(1 + upto(3000)), now);
        lun_cache_keep(c, &p->visit, a, upto(5) != 0);
        lun_cached_unref(a);
    }
}

static void nobody_who_waits_is_lost_in_any_schedule(void **state)
{
    (void)state;
    for (rng = 1; rng < 300; rng = rng % 1000 + 1) {
        uint64_t seed = rng;
        struct lun_cache *c = fresh(4096);
        struct person p[PEOPLE];
        memset(p, 0, sizeof p);
        for (int i = 0; i < PEOPLE; i++) p[i].visit.post = news;
        for (lun_us now = 0; now < 600; now++) {
            struct person *one = &p[upto(PEOPLE)];
            if (one->in) go_on(c, one, now);
            else enter(c, one, now);
            if (upto(200) == 0) lun_cache_purge(c);
            if (upto(100) == 0) lun_cache_resize(c, (size_t)upto(8192));
            check(c, p);
        }
        for (int i = 0; i < PEOPLE; i++) if (p[i].in) lun_cache_leave(c, &p[i].visit, upto(2) ? LUN_CACHE_LEFT : LUN_CACHE_FAILED);
        empty(c);
        rng = seed;
    }
}

/* ---- threads ---- */

#define THREADS 4
struct worker { struct lun_cache *cache; struct sleeper *sleeper; int number; long asked, served; };
struct sleeper { struct lun_cache_visit visit; pthread_mutex_t lock; pthread_cond_t bell; bool rung; };

static void ring(struct lun_cache_visit *v)
{
    struct sleeper *s = (struct sleeper *)(void *)v;
    pthread_mutex_lock(&s->lock);
    s->rung = true;
    pthread_cond_signal(&s->bell);
    pthread_mutex_unlock(&s->lock);
}

static void sleep_until_rung(struct sleeper *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->rung) pthread_cond_wait(&s->bell, &s->lock);
    s->rung = false;
    pthread_mutex_unlock(&s->lock);
}

static void *work(void *self)
{
    struct worker *w = self;
    struct sleeper *s = w->sleeper;
    uint64_t random = (uint64_t)w->number + 1;
    for (lun_us i = 0; i < 20000; i++) {
        struct lun_cached *out = NULL;
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned dice = (unsigned)(random >> 33);
        enum lun_cache_state state = lun_cache_find(w->cache, &s->visit, key(dice % 3), dice % 7 ? i - 2 : LUN_NEVER, dice % 7, &out);
        while (state == LUN_CACHE_WAITS) {
            if (dice % 11 == 0) break;
            sleep_until_rung(s);
            state = lun_cache_look(w->cache, &s->visit, &out);
        }
        if (state == LUN_CACHE_SERVED) {
            if (out->bytes[0] != (char)('a' + dice % 3)) abort();
            lun_cached_unref(out);
            w->served++;
        } else if (state == LUN_CACHE_ASKS && dice % 5) {
            char text[] = { (char)('a' + dice % 3), 0 };
            struct lun_cached *a = answer(text, 1, i);
            lun_cache_keep(w->cache, &s->visit, a, true);
            lun_cached_unref(a);
            w->asked++;
        } else lun_cache_leave(w->cache, &s->visit, dice % 2 ? LUN_CACHE_LEFT : LUN_CACHE_FAILED);
        pthread_mutex_lock(&s->lock);
        s->rung = false;
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

static void threads_wait_for_each_other_and_all_go_home(void **state)
{
    (void)state;
    struct lun_cache *c = fresh(1000);
    struct sleeper sleepers[THREADS];
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    memset(sleepers, 0, sizeof sleepers);
    for (int i = 0; i < THREADS; i++) {
        sleepers[i].visit.post = ring;
        pthread_mutex_init(&sleepers[i].lock, NULL);
        pthread_cond_init(&sleepers[i].bell, NULL);
        workers[i] = (struct worker){ .cache = c, .sleeper = &sleepers[i], .number = i };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].asked && workers[i].served);
        pthread_mutex_destroy(&sleepers[i].lock);
        pthread_cond_destroy(&sleepers[i].bell);
    }
    empty(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_there_until_it_is_too_old_or_another_takes_its_place), cmocka_unit_test(everything_of_an_answer_is_copied),
        cmocka_unit_test(when_it_is_full_the_least_recently_used_goes_first), cmocka_unit_test(another_size_counts_at_once),
        cmocka_unit_test(a_purge_takes_what_is_there_and_what_is_under_way_is_not_kept), cmocka_unit_test(one_asks_and_all_have_its_answer),
        cmocka_unit_test(an_answer_that_is_too_old_for_some_serves_the_others_and_of_those_one_asks),
        cmocka_unit_test(when_the_one_who_asks_leaves_the_next_one_asks), cmocka_unit_test(each_time_all_who_asked_have_failed_twice_as_many_ask),
        cmocka_unit_test(an_answer_that_is_nobody_elses_lets_all_ask), cmocka_unit_test(who_is_let_ask_and_leaves_before_he_knew_passes_it_on),
        cmocka_unit_test(nobody_who_waits_is_lost_in_any_schedule), cmocka_unit_test(threads_wait_for_each_other_and_all_go_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

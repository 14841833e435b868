/* Changes of a gateway that runs on threads of its own, while others ask it: nothing is mixed, nothing is lost, and no two threads touch the same
 * thing unguarded (which a build with -fsanitize=thread shows). */
#include "loading.h"
#include "lunette.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { ASKERS = 2, QUESTIONS = 2500, AT_ONCE = 24, WORKERS = 3, CHANGES_LEAST = 6, CHANGES_MOST = 10000, MARKS = 3 };

/* What differs from version to version: names, and every kind of limit. */
static const char *const configs[MARKS] = {
    "total = { limit = 1000 } }, limits = { deadline = 10 },", "total = { limit = 2000, per = 'day' } }, limits = { deadline = 11, retries = false, connections = 900 },",
    " }, limits = { deadline = 12, buffered = 30000000 }," };
static const char *const rates[MARKS] = { "requests_per_minute = 1000000", "tokens_per_minute = 1000000000, requests_per_minute = 2000000", "weight = 2" };
static const char *const clients[MARKS] = { "requests_per_minute = 1000000, budget = { limit = 100 }, team = 't'", "budget = { limit = 200, per = 'day' }", "requests_per_minute = 2000000, team = 't'" };
static const char *const teams[MARKS] = { "budget = { limit = 500 }", "", "budget = { limit = 700, per = 'month' }" };

static const char config[] =
    "return { policy = 'policy.lua', budgets = { %s\n"
    "  providers = { a = { script = 'a.lua', key = secret 'ONE' }, b = { script = 'b.lua', key = { secret 'ONE', secret 'TWO' } } },\n"
    "  teams = { t = { %s } },\n"
    "  clients = { { name = 'app', hash = '%s', %s } },\n"
    "  models = { m = { { provider = 'a', price = { input = 1, output = 2 }, %s }, { provider = 'b', price = { input = 1, output = 2 } } } } }";
static const char policy[] =
    "local lunette = require 'lunette'\n"
    "return { settings = { share = { default = 0, min = 0, max = 100 } },\n"
    "  classify = function(request) lunette.note('share', lunette.setting 'share') lunette.metric('seen') return { 'mark%d' } end,\n"
    "  budget = function(request, spend) return spend.total.left < 0 and lunette.refuse { message = 'no' } or nil end,\n"
    "  select = function(request, targets) lunette.store.incr('n') return targets:balanced(request) .. targets end,\n"
    "  finish = function(request, outcome) lunette.store.incr(outcome.labels[1]) end }";
static const char failing[] = "return function(request, n) if n % 17 == 0 then return { status = 500 } end return { text = 'hello you', every = 0.001 } end";
static const char serving[] = "return function(request, n) return { text = 'hello you', every = 0.001 } end";

struct house {
    struct lunette *gateway;
    sem_t room, all_told, changed;
    atomic_int left, bad, changes;      /* left: askers and questions that are not over */
    bool runs;
    pthread_mutex_t lock;
    char versions[MARKS][128];          /* by mark: the version that was first seen with it */
    char problem[400];
};
struct question { struct house *house; bool stream; int status; bool done_seen; };

static void wrong(struct house *h, const char *what, const char *of)
{
    pthread_mutex_lock(&h->lock);
    if (!atomic_fetch_add(&h->bad, 1)) snprintf(h->problem, sizeof h->problem, "%s: %.300s", what, of);
    pthread_mutex_unlock(&h->lock);
}

static const char *header(const struct lunette_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) if (!strcmp(headers[i].name, name)) return headers[i].value;
    return "";
}

static bool on_head(void *user, int status, const struct lunette_header *headers, size_t n)
{
    struct question *q = user;
    struct house *h = q->house;
    const char *labels = header(headers, n, "x-lunette-labels"), *version = header(headers, n, "x-lunette-policy");
    int mark = !strncmp(labels, "mark", 4) ? atoi(labels + 4) : -1;
    q->status = status;
    if (mark < 0 || mark >= MARKS) { wrong(h, "labels", labels); return true; }
    pthread_mutex_lock(&h->lock);
    if (!*h->versions[mark]) snprintf(h->versions[mark], sizeof h->versions[mark], "%s", version);
    bool same = !strcmp(h->versions[mark], version);
    pthread_mutex_unlock(&h->lock);
    if (!same) wrong(h, "another version with the same labels", version);
    return true;
}

static bool on_bytes(void *user, const char *bytes, size_t n)
{
    struct question *q = user;
    if (q->status != 200) wrong(q->house, "refused", bytes);
    if (memmem(bytes, n, "[DONE]", 6)) q->done_seen = true;
    return true;
}

static void over(struct house *h)
{
    if (atomic_fetch_sub(&h->left, 1) == 1) sem_post(&h->all_told);
}

static void on_end(void *user, bool clean, const struct lunette_header *trailers, size_t n)
{
    struct question *q = user;
    struct house *h = q->house;
    (void)trailers, (void)n;
    if (!clean || (q->stream && q->status == 200 && !q->done_seen)) wrong(h, "torn", "");
    free(q);
    sem_post(&h->room);
    over(h);
}

static void *ask(void *self)
{
    struct house *h = self;
    static const struct lunette_callbacks callbacks = { .size = sizeof callbacks, .head = on_head, .bytes = on_bytes, .end = on_end };
    static const char *const bodies[] = { "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}",
                                          "{\"model\":\"auto\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}" };
    for (int i = 0; i < QUESTIONS || atomic_load(&h->changes) < CHANGES_LEAST; i++) {
        struct question *q = lun_zalloc(sizeof *q);
        *q = (struct question){ .house = h, .stream = i % 2 };
        sem_wait(&h->room);
        atomic_fetch_add(&h->left, 1);
        lun_ask_post(h->gateway, &(struct lunette_query){ .size = sizeof(struct lunette_query), .body = bodies[i % 2], .length = strlen(bodies[i % 2]), .key = "sk-app" }, &callbacks, q);
    }
    over(h);
    return NULL;
}

static void *turn(void *self)
{
    struct house *h = self;
    char *error = NULL;
    if (!lun_run(h->gateway, &error)) wrong(h, "run", error);
    free(error);
    return NULL;
}

static void put_version(int mark)
{
    char *text = lun_printf(config, configs[mark], teams[mark], "sha256:72016003589eb0bb8dbcc1fab3b1e74b81a25f06f79801b0b63fcf30be2e06c3", clients[mark], rates[mark]), *hooks = lun_printf(policy, mark);
    put_file("gateway.lua", text);
    put_file("policy.lua", hooks);
    free(text), free(hooks);
}

static void on_changed(void *user, const char *version, const char *error)
{
    struct house *h = user;
    if (error) wrong(h, version, error);
    sem_post(&h->changed);
}

static void on_first(void *user, const char *version, const char *error)
{
    struct house *h = user;
    (void)version;
    h->runs = !error;
    sem_post(&h->changed);
}

/* What is asked of a gateway that does not run yet is told that it does not. */
static void await_running(struct house *h)
{
    while (!h->runs) {
        lun_set(h->gateway, "share", "1", on_first, h);
        sem_wait(&h->changed);
    }
}

static void on_log(void *user, enum lunette_level level, const char *text)
{
    if (level >= LUNETTE_ERROR) wrong(user, "log", text);
}

static void nothing_is_mixed_or_lost_while_versions_limits_and_settings_change(void **state)
{
    struct house h = { .left = ASKERS };
    pthread_t gateway, askers[ASKERS];
    char *path = lun_printf("%s/gateway.lua", folder), *kept = lun_printf("%s/state", folder), *error = NULL, share[8];
    const char *environment[] = { "ONE=key-one", "TWO=key-two", NULL };
    (void)state;
    put_file("a.lua", failing);
    put_file("b.lua", serving);
    put_version(0);
    pthread_mutex_init(&h.lock, NULL);
    sem_init(&h.room, 0, AT_ONCE), sem_init(&h.all_told, 0, 0), sem_init(&h.changed, 0, 0);
    h.gateway = lun_open(path, &(struct lunette_options){ .size = sizeof(struct lunette_options), .log = on_log, .log_user = &h, .log_least = LUNETTE_ERROR, .environment = environment, .state = kept, .workers = WORKERS }, &error);
    if (!h.gateway) fail_msg("%s", error);
    assert_int_equal(pthread_create(&gateway, NULL, turn, &h), 0);
    await_running(&h);
    for (int i = 0; i < ASKERS; i++) assert_int_equal(pthread_create(&askers[i], NULL, ask, &h), 0);
    for (int i = 0; atomic_load(&h.left) > 0 && i < CHANGES_MOST; i++) {
        put_version(i % MARKS);
        lun_reload(h.gateway, on_changed, &h);
        snprintf(share, sizeof share, "%d", i % 100);
        lun_set(h.gateway, "share", share, on_changed, &h);
        sem_wait(&h.changed), sem_wait(&h.changed);
        atomic_fetch_add(&h.changes, 1);
    }
    sem_wait(&h.all_told);
    for (int i = 0; i < ASKERS; i++) pthread_join(askers[i], NULL);
    lun_stop(h.gateway, 5);
    pthread_join(gateway, NULL);
    lun_free(h.gateway);
    if (h.bad) fail_msg("%d wrong, the first: %s", h.bad, h.problem);
    assert_true(h.changes >= CHANGES_LEAST);
    sem_destroy(&h.room), sem_destroy(&h.all_told), sem_destroy(&h.changed);
    pthread_mutex_destroy(&h.lock);
    free(path), free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_mixed_or_lost_while_versions_limits_and_settings_change) };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

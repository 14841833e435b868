#include "walk_world.h"
#include "state/registry.h"
#include <strings.h>

#define START (1000 * LUN_SECOND)
#define WALL  (1700000000 * LUN_SECOND)

const struct lun_step world_step = { .connect = LUN_UNSET, .first_byte = LUN_UNSET, .idle = LUN_UNSET, .total = LUN_UNSET, .wait = LUN_UNSET };

void world_broken(struct world *w, const char *what, const char *file, int line)
{
    printf("seed %llu at %.3f ms: %s (%s:%d)\n", (unsigned long long)w->seed, (double)w->loop.now / 1000, what, file, line);
    fflush(stdout);
    abort();
}

bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

static uint64_t random64(struct world *w)
{
    uint64_t z = w->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* ---- the house ---- */

static void moved(void *self) { ((struct world *)self)->moved++; }

struct world *world_new(int n_targets)
{
    static const char *const names[] = { "a", "b", "c", "d" }, *const providers[] = { "pa", "pb", "pc", "pd" };
    static const struct lun_secret keys[] = { { "KEY_ONE", "sk-first-secret" }, { "KEY_TWO", "sk-second-secret" }, { "KEY_THREE", "sk-third-secret" } };
    struct world *w = lun_zalloc(sizeof *w);
    w->loop.now = START;
    w->n_targets = n_targets;
    w->step = world_step;
    w->registry = lun_registry_new();
    w->snapshot = lun_snapshot_new();
    w->snapshot->version = "test";
    w->snapshot->limits.retries = -1;
    w->waiting = (struct lun_waiting){ moved, w, NULL };
    for (int i = 0; i < n_targets; i++) {
        w->provider[i] = (struct lun_provider){ .index = i, .name = providers[i], .dialect = "openai", .base_url = "http://127.0.0.1", .keys = keys, .n_keys = 1,
            .timeouts = { 500 * LUN_MS, 8 * LUN_SECOND, 30 * LUN_SECOND, 120 * LUN_SECOND }, .usage = true, .health = lun_health_rules_default };
        w->target[i] = (struct lun_target){ .index = i, .name = names[i], .model = "m", .upstream = "upstream-m", .provider = &w->provider[i],
            .price = { 1 * LUN_NANO_PER_USD, 2 * LUN_NANO_PER_USD, LUN_UNPRICED, LUN_UNPRICED, LUN_UNPRICED, LUN_UNPRICED }, .weight = 1, .facts = "{}" };
    }
    w->client = (struct lun_client_rule){ .name = "app", .substitute = true, .expose = true, .budget = { .limit = -1 } };
    return w;
}

void world_open(struct world *w)
{
    static const struct lun_target *list[TARGETS];
    struct lun_model *m = lun_arena_zalloc(&w->snapshot->arena, sizeof *m);
    w->snapshot->providers = w->provider;
    w->snapshot->n_providers = w->n_targets;
    w->snapshot->targets = w->target;
    w->snapshot->n_targets = w->n_targets;
    w->snapshot->clients = &w->client;
    w->snapshot->n_clients = 1;
    for (int i = 0; i < w->n_targets; i++) list[i] = &w->target[i];
    *m = (struct lun_model){ "m", false, list, w->n_targets };
    w->snapshot->models = m;
    w->snapshot->n_models = 1;
    lun_snapshot_sort_models(w->snapshot);
    lun_registry_bind(w->registry, w->snapshot);
    lun_cache_resize(w->registry->cache, (size_t)w->snapshot->cache.size);
}

/* ---- a bookkeeper: what is drawn comes a little later, now and then not at all ---- */

static void line_dispatched(void *self, uint32_t slot, const struct lun_draw_line *line) { (void)self, (void)slot, (void)line; }
static void line_settled(void *self, uint32_t slot, uint64_t seq, const struct lun_settlement *how) { (void)self, (void)slot, (void)seq, (void)how; }

static void wake_bookkeeper(void *self, bool urgent)
{
    struct world *w = self;
    lun_us in = w->books_in ? w->books_in : urgent ? (lun_us)(random64(w) % 3 ? random64(w) % 2000 : random64(w) % 1500000) : 5 * LUN_MS;
    if (in == LUN_NEVER) return;
    if (!w->bookkeeper.at || w->bookkeeper.due > w->loop.now + in) lun_timer_set(&w->loop, &w->bookkeeper, w->loop.now + in);
}

static void keep_books(struct lun_timer *t)
{
    struct world *w = (struct world *)(void *)((char *)t - offsetof(struct world, bookkeeper));
    if (!lun_draw_begin(w->registry->money, &w->work, WALL)) return;
    if (w->books_fail && random64(w) % 4 == 0) {
        lun_draw_failed(w->registry->money, &w->work);
        lun_draw_close(w->registry->money, "the disk is full");
        lun_timer_set(&w->loop, t, w->loop.now + 500 * LUN_MS);
        return;
    }
    for (size_t i = 0; i < w->work.n_names; i++) w->work.names[i].id = 1;
    for (size_t i = 0; i < w->work.n_payers; i++) w->work.payers[i].id = 1;
    for (size_t i = 0; i < w->work.n_spans; i++) if (!w->work.spans[i].id) lun_draw_opened(&w->work.spans[i], 1, 0, 0, 0);
    lun_draw_done(w->registry->money, &w->work);
    lun_draw_close(w->registry->money, NULL);
}

void world_keep_books(struct world *w)
{
    w->keeps_books = true;
    w->bookkeeper.fire = keep_books;
    lun_draw_attach(w->registry->money, &(struct lun_draw_books){ w, 64, 0, line_dispatched, line_settled, wake_bookkeeper });
    wake_bookkeeper(w, true);
}

const struct lun_target *target(struct world *w, char letter) { return &w->target[letter - 'a']; }

int64_t held(struct world *w)
{
    struct lun_account_view v;
    lun_account_look(w->client.account, WALL, &v);
    return v.held;
}

void world_script(struct world *w, char letter, const char *script) { w->script[letter - 'a'][w->n_scripts[letter - 'a']++] = script; }

int calls_to(struct world *w, char letter)
{
    int n = 0;
    for (struct call *k = w->calls; k; k = k->next) n += k->target == target(w, letter);
    return n;
}

/* ---- scripts ---- */

static bool hides_usage(const struct call *k) { return !k->asked->q.include_usage && k->target->provider->usage; }

static const char *chunk(struct call *k, const char *word, bool shown)
{
    bool text = *word == 'e' || *word == 'f' || *word == 'g' || *word == 'n', hidden = !shown && hides_usage(k);
    const char *usage = *word == 'g' && !hidden ? ",\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}" : *word == 'n' && !hidden ? ",\"usage\":null" : "";
    if (!text) return NULL;
    return lun_arena_printf(&k->asked->arena, "data: {\"id\":\"c%d\",\"choices\":[{\"index\":%d,\"delta\":{\"content\":\"%d\"},\"finish_reason\":%s}]%s}\n\n",
                            k->id, word[1] >= '0' && word[1] <= '9' ? word[1] - '0' : 0, k->content, *word == 'f' ? "\"stop\"" : "null", usage);
}

static const char *error_body(struct call *k, const char *message, const char *code)
{
    return lun_arena_printf(&k->asked->arena, "{\"error\":{\"message\":\"%s\",\"type\":\"x\",\"code\":%s%s%s}}", message, code ? "\"" : "", code ? code : "null", code ? "\"" : "");
}

static const char *event_of(struct call *k, const char *json) { return lun_arena_printf(&k->asked->arena, "data: %s\n\n", json); }

/* The bytes of a word, and (in i->want) what of them a client is to see. */
static const char *bytes_of(struct call *k, const char *word, struct item *i)
{
    struct lun_arena *arena = &k->asked->arena;
    const char *bytes = chunk(k, word, true);
    if (bytes) {
        i->want = chunk(k, word, false);
        i->good = true;
        i->finish = *word == 'f' ? 1 + (word[1] >= '0' && word[1] <= '9' ? word[1] - '0' : 0) : 0;
        i->usage = *word == 'g';
        k->content++;
        return bytes;
    }
    if (!strcmp(word, "u")) {
        i->usage = i->good = true;
        bytes = lun_arena_printf(arena, "data: {\"id\":\"c%d\",\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":3,\"total_tokens\":7}}\n\n", k->id);
        if (!hides_usage(k)) i->want = bytes; else i->good = false;
        return bytes;
    }
    if (!strcmp(word, "d")) { i->done = true; return i->want = "data: [DONE]\n\n"; }
    if (!strcmp(word, "p")) return i->want = ": ping\n\n";
    if (!strcmp(word, "b")) return "data: {\"id\":\n\n";
    if (!strcmp(word, "x")) return event_of(k, error_body(k, "it broke", "server_error"));
    if (!strcmp(word, "q")) return event_of(k, error_body(k, "slow down", "rate_limit_exceeded"));
    if (!strcmp(word, "l")) return event_of(k, error_body(k, "too much", "context_length_exceeded"));
    if (!strcmp(word, "o")) return event_of(k, error_body(k, "busy", "overloaded_error"));
    if (!strcmp(word, "j")) return error_body(k, "it broke", "server_error");
    if (!strcmp(word, "k")) return error_body(k, "you sent sk-first-secret to us", NULL);
    if (!strncmp(word, "m:", 2)) return error_body(k, word + 2, NULL);
    if (!strncmp(word, "c:", 2)) return error_body(k, "no", word + 2);
    if (!strcmp(word, "html")) return i->want = "<html><body>Bad gateway</body></html>\n\n";
    if (*word == '{') return word;
    if (*word == 'w') {
        i->good = true;
        i->usage = !strcmp(word, "w");
        bytes = lun_arena_printf(arena, "{\"id\":\"c%d\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"%s\"},\"finish_reason\":\"%s\"}]%s}", k->id,
                                 word[1] == 'f' ? "" : "hello", word[1] == 'f' ? "content_filter" : "stop",
                                 i->usage ? ",\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":3}" : "");
        return i->want = bytes;
    }
    MUST(k->w, false, word);
}

static void add_bytes(struct call *k, char *word, lun_us after)
{
    char *slash = *word == '{' ? NULL : strrchr(word, '/'), *plus = slash ? strchr(slash, '+') : NULL;
    struct item i = { .what = ITEM_BYTES, .after = after };
    if (slash) *slash = 0;
    const char *bytes = bytes_of(k, word, &i);
    size_t n = strlen(bytes), cut = slash ? strtoul(slash + 1, NULL, 10) % n : 0;
    if (cut) {
        k->item[k->n++] = (struct item){ .what = ITEM_BYTES, .after = after, .bytes = bytes, .n = cut };
        i.after = plus ? strtoll(plus + 1, NULL, 10) * LUN_MS : 0;
    }
    i.bytes = bytes + cut;
    i.n = n - cut;
    i.want_n = i.want ? strlen(i.want) : 0;
    k->item[k->n++] = i;
}

static enum lun_kind kind_of(struct world *w, const char *word)
{
    for (int k = 0; k < LUN_KIND_COUNT; k++) if (!strcmp(lun_kind_name((enum lun_kind)k), word)) return (enum lun_kind)k;
    MUST(w, false, word);
}

static bool is_end(const char *word)
{
    if (!strcmp(word, "end")) return true;
    for (int k = 0; k < LUN_KIND_COUNT; k++) if (!strcmp(lun_kind_name((enum lun_kind)k), word)) return true;
    return false;
}

static void read_script(struct call *k, const char *script)
{
    struct item head = { .what = ITEM_HEAD };
    lun_us after = 0;
    char *words = lun_arena_strdup(&k->asked->arena, script), *save, *word;
    for (word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        MUST(k->w, k->n < 90, "a script too long");
        if (*word == '+') { after += (lun_us)(strtod(word + 1, NULL) * 1000); continue; }
        if (!strncmp(word, "retry=", 6)) { head.retry = word + 6; continue; }
        if (!strncmp(word, "left=", 5)) { head.left = word + 5; continue; }
        if (!strncmp(word, "type=", 5)) { head.type = word + 5; continue; }
        if (*word >= '0' && *word <= '9') {
            head.after = after;
            head.status = atoi(word);
            k->item[k->n++] = head;
            head = (struct item){ .what = ITEM_HEAD };
        } else if (is_end(word)) k->item[k->n++] = (struct item){ .what = ITEM_END, .after = after, .end = strcmp(word, "end") ? kind_of(k->w, word) : LUN_KIND_OK };
        else add_bytes(k, word, after);
        after = 0;
    }
}

/* ---- providers ---- */

static void arm_call(struct call *k)
{
    if (k->at < k->n && !k->paused && !k->ended && !k->closed) lun_timer_set(&k->w->loop, &k->timer, k->w->loop.now + k->item[k->at].after);
}

static void tell_head(struct call *k, struct item *i)
{
    struct lun_pair h[5];
    int n = 0;
    const char *type = i->type ? i->type : k->stream && i->status < 300 ? "text/event-stream; charset=utf-8" : "application/json";
    h[n++] = (struct lun_pair){ "content-type", type };
    h[n++] = (struct lun_pair){ "x-request-id", "req_upstream" };
    if (i->retry) h[n++] = (struct lun_pair){ "retry-after", i->retry };
    if (i->left) h[n++] = (struct lun_pair){ "x-ratelimit-remaining-requests", i->left };
    k->head = true;
    k->status = i->status;
    lun_attempt_head(k->a, &(struct lun_answer_head){ i->status, h, n });
}

static void note_bytes(struct call *k, struct item *i)
{
    if (!k->bytes) k->alien = lun_stream_alien(i->bytes, i->n);       /* not read as events then */
    k->bytes = true;
    k->claimed |= i->usage && !k->alien;
    if (i->good && !(k->stream && k->alien)) k->started = true;
    if (i->want && k->started) lun_buf_add(&k->want, i->want, i->want_n);
    if (i->finish) k->finished |= 1u << (i->finish - 1);
    bool all = __builtin_popcount(k->finished) >= k->asked->q.n;
    if ((i->done || (i->finish && all)) && !k->complete) { k->complete = true; k->complete_at = k->w->loop.now; }
}

static void deliver(struct call *k)
{
    struct item *i = &k->item[k->at++];
    struct world *w = k->w;
    w->facts++;
    k->heard = w->loop.now;
    k->held_heard = 0;
    if (k->paused && w->loop.now > k->held_since) k->held_since = w->loop.now;
    k->inside++;
    if (i->what == ITEM_HEAD) { SAY(w, "call %d: %d", k->id, i->status); tell_head(k, i); }
    else if (i->what == ITEM_BYTES) {
        SAY(w, "call %d: %.*s", k->id, (int)(i->n > 2 ? i->n - 2 : i->n), i->bytes);
        note_bytes(k, i);
        lun_attempt_bytes(k->a, i->bytes, i->n);
    } else {
        SAY(w, "call %d: ends, %s", k->id, lun_kind_name(i->end));
        k->ended = true;
        lun_attempt_end(k->a, i->end, i->end == LUN_KIND_OK ? NULL : "as the script says");
    }
    k->inside--;
}

static void call_fire(struct lun_timer *t)
{
    struct call *k = (struct call *)(void *)((char *)t - offsetof(struct call, timer));
    deliver(k);
    arm_call(k);
}

static bool was_barred(struct call *k)
{
    for (struct lun_trial *t = k->asked->q.trials; t; t = t->next)
        if (t->closed && t->target == k->target && lun_kind_rule(t->kind) == LUN_RULE_OTHER) return true;
    return false;
}

static void check_start(struct call *k)
{
    struct world *w = k->w;
    struct lun_attempt *a = k->a;
    int minute = 0;
    MUST(w, !k->asked->left && !k->asked->ended, "started for nobody");
    MUST(w, a->insist || !was_barred(k), "asked again where it would hear the same");
    MUST(w, a->bill.hold.open || !k->asked->q.client, "sent without a hold");
    MUST(w, a->begun, "sent without health being told");
    MUST(w, k->key < k->target->provider->n_keys && (k->key >= 0) == (k->target->provider->n_keys > 0), "a key that is not there");
    for (struct call *other = w->calls; other; other = other->next)
        minute += other->target == k->target && other->key == k->key && !other->insist && other->start > w->loop.now - 60 * LUN_SECOND;
    if (!k->insist && k->target->requests_per_minute) MUST(w, minute < k->target->requests_per_minute, "more requests than the rate allows");
}

static void *start(void *self, const struct lun_call *asked, struct lun_attempt *a)
{
    struct world *w = self;
    struct call *k = lun_zalloc(sizeof *k);
    int i = asked->step->target->index, *n = &w->n_scripts[i];
    *k = (struct call){ .w = w, .asked = a->request->ask.client_self, .a = a, .target = asked->step->target, .id = ++w->n_calls, .number = a->trial.number, .key = asked->key, .timer.fire = call_fire,
                        .stream = asked->stream, .start = w->loop.now, .heard = w->loop.now, .step = *asked->step, .insist = a->insist, .talk = w->talks ? (int)(random64(w) % 5) : 9 };
    k->hides = hides_usage(k);
    check_start(k);
    k->next = w->calls;
    w->calls = k;
    if (w->make_script) k->script = w->make_script(k);
    else k->script = *n ? w->script[i][0] : k->stream ? "+10 200 e e f u d end" : "+10 200 w end";
    if (*n > 1) memmove(w->script[i], w->script[i] + 1, (size_t)--*n * sizeof *w->script[i]);
    read_script(k, k->script);
    SAY(w, "call %d: for %d at %s, key %d: %s", k->id, k->asked->id, k->target->name, k->key, k->script);
    if (k->talk == 0) for (int left = (int)(random64(w) % (unsigned)(k->n + 1)); left-- && !k->ended; ) deliver(k);     /* facts from inside start() */
    arm_call(k);
    return k;
}

static void pause_call(void *call, bool paused)
{
    struct call *k = call;
    struct world *w = k->w;
    MUST(w, !k->closed, "paused after its close");
    MUST(w, k->paused != paused, "paused twice");
    SAY(w, "call %d: %s", k->id, paused ? "paused" : "resumed");
    if (paused) {
        if (k->talk == 1 && k->at < k->n && !k->ended) deliver(k);      /* facts from inside pause() */
        k->held_since = w->loop.now;
        k->paused = true;
        lun_timer_set(&w->loop, &k->timer, LUN_NEVER);
        return;
    }
    k->paused = false;
    k->held_all += w->loop.now - k->held_since;
    k->held_heard += w->loop.now - k->held_since;
    if (k->talk == 2 && k->at < k->n && !k->ended) deliver(k);
    arm_call(k);
}

static lun_us silent(const struct call *k)
{
    return k->w->loop.now - k->heard - k->held_heard - (k->paused ? k->w->loop.now - k->held_since : 0);
}

static lun_us total(const struct call *k) { return k->w->loop.now - k->start - k->held_all - (k->paused ? k->w->loop.now - k->held_since : 0); }

static void close_call(void *call)
{
    struct call *k = call;
    struct world *w = k->w;
    struct lun_attempt *a = k->a;
    MUST(w, !k->closed, "closed twice");
    MUST(w, !k->inside, "closed inside its own callback");
    SAY(w, "call %d: closed, %s", k->id, lun_kind_name(a->trial.kind));
    if (a->trial.kind == LUN_KIND_IDLE_TIMEOUT) MUST(w, silent(k) >= k->step.idle, "idle time-out too early");
    if (a->trial.kind == LUN_KIND_TOTAL_TIMEOUT) MUST(w, total(k) >= k->step.total, "total time-out too early");
    if (a->trial.kind == LUN_KIND_FIRST_BYTE_TIMEOUT) MUST(w, w->loop.now - k->start >= k->step.first_byte, "first byte time-out too early");
    bool claimed = k->claimed, complete = k->complete;
    size_t want = k->want.n;
    if (k->talk == 3 && k->at < k->n) {                                 /* facts from inside close() */
        if (!k->ended) deliver(k);
        lun_attempt_end(a, LUN_KIND_CUT, NULL);
    }
    k->claimed = claimed;
    k->complete = complete;
    k->want.n = want;
    k->closed = true;
    k->closed_at = w->loop.now;
    lun_timer_set(&w->loop, &k->timer, LUN_NEVER);
    k->a = NULL;
}

static const struct lun_upstream_port upstream = { start, pause_call, close_call };

/* ---- clients ---- */

static void client_head(void *self, const struct lun_head *h)
{
    struct asked *c = self;
    struct world *w = c->w;
    MUST(w, !c->left && !c->ended && !c->heads, "a head out of place");
    c->heads++;
    c->status = h->status;
    c->said = w->loop.now;
    for (int i = 0; i < h->n_headers; i++) {
        size_t n = strlen(c->head);
        MUST(w, !strpbrk(h->headers[i].value, "\r\n"), "a header that ends its line");
        snprintf(c->head + n, sizeof c->head - n, "%s: %s\n", h->headers[i].name, h->headers[i].value);
    }
    SAY(w, "client %d: head %d", c->id, h->status);
    if (c->told) c->told(c);
}

static struct call *call_of(struct asked *c, const char *bytes, size_t n)
{
    const char *id = memmem(bytes, n, "\"id\":\"c", 7);
    int number = id ? atoi(id + 7) : 0;
    for (struct call *k = c->w->calls; k; k = k->next) if (k->id == number && k->asked == c) return k;
    return NULL;
}

static bool is_cached(const struct asked *c) { return c->r->done.cache == LUN_CACHE_HIT || c->r->done.cache == LUN_CACHE_SHARED; }

/* The call whose answer it is, whoever asked. */
static struct call *maker_of(struct world *w, const char *bytes, size_t n)
{
    const char *id = memmem(bytes, n, "\"id\":\"c", 7);
    int number = id ? atoi(id + 7) : 0;
    for (struct call *k = w->calls; k; k = k->next) if (k->id == number) return k;
    return NULL;
}

/* Of a stream what has no data in it is not kept. */
static bool is_of(const struct call *k, const char *bytes, size_t n)
{
    const char *end = k->want.at + k->want.n, *next;
    for (const char *at = k->want.at; at < end && n; at = next) {
        const char *stop = k->stream ? memmem(at, (size_t)(end - at), "\n\n", 2) : NULL;
        next = stop ? stop + 2 : end;
        if (k->stream && strncmp(at, "data:", 5)) continue;
        size_t block = (size_t)(next - at);
        if (n < block || memcmp(at, bytes, block)) return false;
        bytes += block, n -= block;
    }
    return !n;
}

/* An answer that was given before: a good one, all of it, to somebody who may have it. */
static void cached_bytes(struct asked *c, const char *bytes, size_t n)
{
    struct world *w = c->w;
    bool done = n == 14 && !memcmp(bytes, "data: [DONE]\n\n", 14);
    MUST(w, c->status == 200 && !c->q.trials, "an answer of the cache after an attempt");
    lun_buf_add(&c->content, bytes, n);
    if (done) { MUST(w, c->from && c->stream, "[DONE] out of place"); return; }
    MUST(w, !c->from, "an answer of the cache twice");
    MUST(w, c->from = maker_of(w, bytes, n), "bytes of nobody");
    struct call *k = c->from;
    MUST(w, k->closed && (!k->stream || k->complete), "an answer that was not all there");
    MUST(w, !k->asked->policy == !c->policy, "the answer to a hook's own question");
    MUST(w, c->q.include_usage || !c->stream || !memmem(bytes, n, "usage", 5), "usage shown that was not asked for");
    MUST(w, k->asked->topic == c->topic, "the answer to another question");
    if (c->r->done.cache == LUN_CACHE_HIT)
        MUST(w, w->loop.now - k->closed_at < w->snapshot->cache.ttl, "an answer that is too old");
    if (k->stream == c->stream && (!c->stream || (k->hides && !c->q.include_usage))) MUST(w, is_of(k, bytes, n), "not the bytes that the provider sent");
}

static void client_bytes(void *self, const char *bytes, size_t n)
{
    struct asked *c = self;
    struct world *w = c->w;
    MUST(w, !c->left && !c->ended && c->heads, "bytes out of place");
    MUST(w, n, "no bytes");
    MUST(w, !c->error, "bytes after an error");
    c->said = w->loop.now;
    lun_buf_add(&c->got, bytes, n);
    SAY(w, "client %d: %.*s", c->id, (int)(n > 2 ? n - 2 : n), bytes);
    if (n == 2 && !memcmp(bytes, ":\n", 2)) {
        MUST(w, c->stream, "a comment in a whole answer");
        c->comments++;
    } else if (memmem(bytes, n, "{\"error\":{\"message\"", 19) && memmem(bytes, n, "\"request_id\"", 12)) c->error = true;
    else if (is_cached(c)) cached_bytes(c, bytes, n);
    else {
        MUST(w, c->status == 200, "content under an error");
        if (!c->from) c->from = call_of(c, bytes, n);
        MUST(w, c->from, "bytes of nobody");
        MUST(w, !c->stream || (n > 1 && bytes[n - 1] == '\n'), "half an event");
        MUST(w, c->q.include_usage || !c->stream || !memmem(bytes, n, "usage", 5) || !c->from->target->provider->usage, "usage shown that was not asked for");
        lun_buf_add(&c->content, bytes, n);
        bool added = !strncmp(bytes, "data: [DONE]", 12) && c->from->complete;
        size_t same = c->content.n - (added ? n : 0);
        MUST(w, same <= c->from->want.n && !memcmp(c->content.at, c->from->want.at, same), "not the bytes that the provider sent");
    }
    if (c->told) c->told(c);
}

static void check_end(struct asked *c, enum lun_end end)
{
    struct world *w = c->w;
    struct call *from = c->from;
    MUST(w, w->late || w->loop.now <= c->deadline, "the deadline has passed");
    MUST(w, !c->cut || w->loop.now == c->cut_at, "told later than cut");
    for (struct call *k = w->calls; k; k = k->next) MUST(w, k->asked != c || k->closed, "told the end with a call open");
    for (struct lun_trial *t = c->q.trials; t; t = t->next) MUST(w, t->closed, "told the end with an attempt open");
    if (end == LUN_TORN) MUST(w, c->error && c->stream, "torn without an error event");
    if (c->decide_only && !c->heads) { MUST(w, end == LUN_CLEAN && c->q.plan && c->q.plan->n, "decided nothing"); return; }
    if (end == LUN_CLEAN) MUST(w, c->status == 200 ? !c->error && from : c->error, "an empty clean answer");
    if (!from) return;
    if (is_cached(c)) {
        MUST(w, end == LUN_CLEAN, "an answer of the cache torn");
        MUST(w, !c->stream || !memcmp(c->content.at + c->content.n - 14, "data: [DONE]\n\n", 14), "a clean stream without [DONE]");
        return;
    }
    if (c->stream && from->complete && from->complete_at < w->loop.now) MUST(w, end == LUN_CLEAN, "a complete stream torn");
    if (!c->stream || end == LUN_TORN) return;
    MUST(w, from->complete, "a cut stream ended clean");
    MUST(w, c->content.n >= 14 && !memcmp(c->content.at + c->content.n - 14, "data: [DONE]\n\n", 14), "a clean stream without [DONE]");
}

static void client_end(void *self, enum lun_end end, const struct lun_pair *trailers, int n)
{
    struct asked *c = self;
    MUST(c->w, !c->left && !c->ended && (c->heads || c->decide_only), "an end out of place");
    c->ended = true;
    c->end = end;
    c->ended_at = c->w->loop.now;
    SAY(c->w, "client %d: %s", c->id, end == LUN_CLEAN ? "end" : "torn");
    for (int i = 0; i < n; i++) {
        size_t at = strlen(c->trailers);
        snprintf(c->trailers + at, sizeof c->trailers - at, "%s: %s\n", trailers[i].name, trailers[i].value);
    }
    check_end(c, end);
    for (int i = 0; c->q.plan && i < c->q.plan->n && i < TARGETS; i++) c->planned[i] = *c->q.plan->steps[i].target->name;
    if (c->told) c->told(c);
}

static const struct lun_client client = { client_head, client_bytes, client_end, NULL };

void leave(struct asked *c)
{
    if (c->left || c->ended) return;
    c->left = true;
    SAY(c->w, "client %d leaves", c->id);
    lun_request_leave(c->r);
}

void cut(struct asked *c)
{
    if (c->left || c->ended) return;
    c->cut = true;
    c->cut_at = c->w->loop.now;
    SAY(c->w, "the gateway stops: client %d", c->id);
    lun_request_cut(c->r);
}

void pause_client(struct asked *c, bool paused)
{
    if (c->left || c->ended) return;
    c->paused = paused;
    SAY(c->w, "client %d %s", c->id, paused ? "is full" : "has room");
    lun_request_pause(c->r, paused);
}

const char *header(struct asked *c, const char *name)
{
    static char value[256];
    char start_of[64];
    snprintf(start_of, sizeof start_of, "\n%s: ", name);
    const char *at = strncmp(c->head, start_of + 1, strlen(start_of + 1)) ? strstr(c->head, start_of) : c->head - 1;
    if (!at) return "";
    at += strlen(start_of);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\n"), at);
    return value;
}

/* ---- the world's policy: as `answer` says, at once; hooks that are `silent` wait for answer_now ---- */

struct lun_plan plan_of(struct asked *c, const char *letters)
{
    struct lun_plan p = { .n = (int)strlen(letters), .steps = lun_arena_zalloc(&c->arena, (strlen(letters) + 1) * sizeof *p.steps) };
    for (int i = 0; i < p.n; i++) {
        p.steps[i] = c->w->step;
        p.steps[i].target = target(c->w, letters[i]);
    }
    return p;
}

void answer_now(struct asked *c, const struct lun_answer *answer)
{
    MUST(c->w, c->waiting, "an answer that nobody waits for");
    c->waiting = false;
    lun_request_answer(c->r, answer);
}

static void policy_ask(void *self, struct lun_request *r, enum lun_hook hook, const struct lun_trial *about)
{
    struct asked *c = self;
    struct world *w = c->w;
    MUST(w, c->r == r && !c->waiting, "two hooks at once");
    MUST(w, (hook == LUN_HOOK_JUDGE || hook == LUN_HOOK_RETRY) == !!about, "a hook about nothing");
    MUST(w, !about || about->closed, "a hook about a live attempt");
    MUST(w, hook != LUN_HOOK_JUDGE || about->body_n, "judge without an answer");
    MUST(w, hook != LUN_HOOK_FINISH || c->ended || c->left, "finish before the end");
    c->n_hooks[hook]++;
    c->waiting = true;
    c->hook = hook;
    SAY(w, "policy %d: %s?", c->id, lun_hook_name(hook));
    if (c->silent[hook]) return;
    struct lun_answer answer = { .verb = LUN_DEFAULT };
    if (hook == LUN_HOOK_SELECT) answer = (struct lun_answer){ .verb = LUN_PLAN, .plan = plan_of(c, w->n_targets == 1 ? "a" : w->n_targets == 2 ? "ab" : w->n_targets == 3 ? "abc" : "abcd") };
    if (c->answer) {
        struct lun_answer own = c->answer(c, hook, about);
        if (own.verb != LUN_DEFAULT || own.n_labels) answer = own;
    }
    answer_now(c, &answer);
}

static void policy_drop(void *self, struct lun_request *r)
{
    struct asked *c = self;
    MUST(c->w, c->waiting && c->r == r, "dropped what was not asked");
    c->waiting = false;
}

static const struct lun_policy_port world_policy = { policy_ask, policy_drop };

/* ---- requests ---- */

static const struct lun_trial *trial_of(struct asked *c, int number)
{
    const struct lun_trial *t = c->q.trials;
    while (t->number != number) t = t->next;
    return t;
}

static bool q_tried(const struct asked *c) { return c->q.trials != NULL; }

/* Steps without a turn are passed over: they count only where a policy insists on them. */
bool no_turn(const struct lun_trial *t) { return t->kind == LUN_KIND_POOL_FULL && !t->sent && t->ended == t->began; }

static void check_trials(struct asked *c, const struct lun_done *done)
{
    struct world *w = c->w;
    lun_us began = 0;
    int number = 0, committed = 0, passed = 0;
    int64_t cost = 0;
    for (const struct lun_trial *t = c->q.trials; t; t = t->next) {
        size_t at = strlen(c->trials);
        MUST(w, t->closed && t->number == ++number && t->began >= began && t->ended >= t->began, "attempts out of order");
        MUST(w, t->kind != LUN_KIND_SKIPPED || !t->sent, "skipped, but sent");
        MUST(w, t->bound >= t->cost || !t->bound || t->usage.known, "charged more than was held");
        bool unknown = t->sent && (!t->usage.known || t->usage.estimated), worked = c->q.stream && t->first_byte;
        bool free_of_charge = lun_kind_billed(t->kind) == LUN_BILLED_NO && !worked;
        MUST(w, !unknown || !free_of_charge || !t->cost, "charged though nothing was billed");
        MUST(w, !unknown || free_of_charge || !lun_question_limited(&c->q) || t->cost == t->bound, "not charged in full though nobody knows");
        began = t->began;
        committed += t->committed;
        cost += t->cost;
        c->n_trials += t->kind != LUN_KIND_SKIPPED;
        passed += no_turn(t);
        snprintf(c->trials + at, sizeof c->trials - at, "%s%s=%s", at ? " " : "", t->target->name, lun_kind_name(t->kind));
    }
    for (struct call *k = w->calls; k; k = k->next)
        if (k->asked == c && k->claimed && k->stream && w->snapshot->limits.answer > 1000)
            MUST(w, trial_of(c, k->number)->usage.known && !trial_of(c, k->number)->usage.estimated, "usage came and was not charged");
    bool cached = done->cache == LUN_CACHE_HIT || done->cache == LUN_CACHE_SHARED;
    w->hits += done->cache == LUN_CACHE_HIT;
    w->shared += done->cache == LUN_CACHE_SHARED;
    MUST(w, committed <= 1 && committed == (done->trial && !cached), "two answers");
    MUST(w, !cached || (!q_tried(c) && !done->cost && !done->usage.known), "an answer of the cache that cost something");
    MUST(w, c->n_trials - (passed < c->r->plan.n ? passed : c->r->plan.n) <= c->r->limits->attempts, "more attempts than allowed");
    MUST(w, cost == done->cost, "cost does not add up");
    c->cost = cost;
}

static void over(void *self, struct lun_question *q, const struct lun_done *done)
{
    struct asked *c = self;
    struct world *w = c->w;
    MUST(w, !c->over && q == &c->q, "over twice");
    MUST(w, !c->decide_only || !q->trials, "an attempt where only a decision was wanted");
    MUST(w, c->ended || c->left, "over before its end");
    MUST(w, !c->waiting, "over while a hook is asked");
    MUST(w, c->ask.policy != &world_policy || c->n_hooks[LUN_HOOK_FINISH] == 1, "finish not told once");
    MUST(w, done->latency >= 0 && done->upstream_wait >= 0 && done->upstream_wait <= done->latency, "waited longer than it took");
    c->over = true;
    check_trials(c, done);
    c->done = *done;
    c->done.trial = NULL;
    snprintf(c->code, sizeof c->code, "%s", done->code ? done->code : "");
    snprintf(c->message, sizeof c->message, "%s", done->message ? done->message : "");
    SAY(w, "client %d: over, %d, %s", c->id, done->status, c->trials);
    lun_account_free(q->own_account);
    lun_arena_free(&c->arena);
    memset(&c->q, 0xA5, sizeof c->q);
}

struct asked *world_prepare(struct world *w, bool stream)
{
    static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}";
    struct asked *c = lun_zalloc(sizeof *c);
    struct lun_question *q = &c->q;
    *c = (struct asked){ .next = w->asked, .w = w, .id = ++w->n_asked, .stream = stream, .said = w->loop.now };
    w->asked = c;
    *q = (struct lun_question){ .arena = &c->arena, .snapshot = w->snapshot, .registry = w->registry, .loop = &w->loop, .arrived = w->loop.now,
        .arrived_wall = WALL + (w->loop.now - START), .deadline = w->loop.now + 590 * LUN_SECOND, .id = "0123", .random = w->random ^ (uint64_t)c->id,
        .endpoint = LUN_ENDPOINT_CHAT, .body = body, .body_n = sizeof body - 1, .model = "m", .entry = w->snapshot->models, .rest = "", .stream = stream,
        .n = 1, .max_tokens = 100, .client = &w->client, .who = 7, .budget = -1 };
    lun_json_scan(q->body, q->body_n, &lun_question_keys, q->fields, &q->scan);
    q->trials_tail = &q->trials;
    q->n_targets = q->n_asked = w->n_targets;
    const struct lun_target **targets = lun_arena_alloc(&c->arena, TARGETS * sizeof *targets);
    for (int i = 0; i < w->n_targets; i++) targets[i] = &w->target[i];
    q->targets = q->asked = targets;
    c->policy = &world_policy;
    c->policy_self = c;
    return c;
}

struct asked *world_ask(struct asked *c)
{
    struct world *w = c->w;
    c->ask = (struct lun_ask){ .question = &c->q, .client = &client, .client_self = c, .upstream = &upstream, .upstream_self = w, .policy = c->policy,
                               .policy_self = c->policy_self, .money = w->registry->money, .waiting = c->alone ? NULL : &w->waiting, .over = over, .over_self = c };
    c->deadline = c->q.deadline;
    c->q.decide_only = c->decide_only;
    SAY(w, "client %d asks, %s, deadline in %.3f s", c->id, c->stream ? "a stream" : "whole", (double)(c->deadline - w->loop.now) / 1e6);
    c->r = lun_request_open(&w->loop, &c->ask);
    return c;
}

struct asked *ask(struct world *w, bool stream) { return world_ask(world_prepare(w, stream)); }

/* ---- time ---- */

void world_settle(struct world *w)
{
    do {
        lun_loop_drain(&w->loop);
        if (w->moved) { w->moved = 0; lun_waiting_look(&w->waiting); }
    } while (w->loop.first);
    MUST(w, !w->loop.overdue, "a clock was left overdue");
}

void world_until(struct world *w, lun_us at)
{
    at += START;
    for (long n = 0;; n++) {
        MUST(w, n < 100000, "it spins");
        world_settle(w);
        world_check(w);
        if (lun_loop_due(&w->loop) > at) break;
        lun_loop_advance(&w->loop);
        while (lun_loop_fire(&w->loop)) { }
    }
    if (at > w->loop.now && at != LUN_NEVER) w->loop.now = at;
}

void world_run(struct world *w)
{
    for (long n = 0;; n++) {
        MUST(w, n < 100000, "it spins");
        world_settle(w);
        world_check(w);
        if (!lun_loop_advance(&w->loop)) return;
        while (lun_loop_fire(&w->loop)) { }
    }
}

/* ---- what must hold between walks ---- */

static void check_client(struct world *w, struct asked *c)
{
    int open = 0;
    struct call *mine = NULL;
    if (!c->r) return;
    for (struct call *k = w->calls; k; k = k->next) if (k->asked == c && !k->closed) open++, mine = k;
    MUST(w, open <= 2, "three in flight");
    if (c->left || c->ended) { MUST(w, !open, "a call outlives its client"); return; }
    MUST(w, w->late || w->loop.now < c->deadline, "deadline not obeyed");
    if (c->from) MUST(w, open <= 1, "the loser was not cancelled");
    if (c->r->state == LUN_AT_STREAM && mine && !mine->ended) MUST(w, mine->paused == c->paused, "back-pressure does not reach the provider");
    if (!w->late && c->stream && !c->decide_only && w->snapshot->keepalive && !c->paused && !(mine && mine->complete && c->from))
        MUST(w, w->loop.now < c->said + w->snapshot->keepalive, "no keep-alive");
}

static void check_call(struct world *w, struct call *k)
{
    if (k->closed || k->ended || w->late) return;
    MUST(w, k->paused || total(k) < k->step.total, "total clock missed");
    if (k->stream ? !k->started : !k->head) MUST(w, w->loop.now - k->start < k->step.first_byte, "first byte clock missed");
    else MUST(w, k->paused || silent(k) < k->step.idle, "idle clock missed");
}

static void check_money(struct world *w)
{
    struct lun_account_view v;
    struct lun_account *accounts[2] = { w->client.account, w->snapshot->total_account };
    for (int i = 0; i < 2; i++) {
        if (!accounts[i]) continue;
        lun_account_look(accounts[i], WALL, &v);
        MUST(w, v.limit < 0 || w->failed_money || v.used + v.held <= v.limit, "a budget was passed");
    }
}

/* Nobody waits for an answer that nobody asks for. */
static void check_cache(struct world *w)
{
    size_t asking = 0, waiting = 0;
    struct lun_cache_view v;
    for (struct asked *c = w->asked; c; c = c->next) {
        if (!c->r || c->over) continue;
        enum lun_cache_state s = c->r->caching.visit.state;
        asking += s == LUN_CACHE_ASKS;
        waiting += s == LUN_CACHE_WAITS;
        if (s != LUN_CACHE_AWAY) MUST(w, !c->left && !c->ended, "takes part in the cache after its end");
        MUST(w, s != LUN_CACHE_SERVED, "served, and does not know it");
        MUST(w, (c->r->caching.state == LUN_CACHING_WAITS) == (s == LUN_CACHE_WAITS) && (c->r->caching.state == LUN_CACHING_ASKS) == (s == LUN_CACHE_ASKS), "does not know its part");
        if (s != LUN_CACHE_WAITS) continue;
        bool any = false;
        for (struct asked *other = w->asked; other; other = other->next)
            any |= other->r && !other->over && other->r->caching.visit.state == LUN_CACHE_ASKS && other->r->caching.visit.line == c->r->caching.visit.line;
        MUST(w, any, "waits for nobody");
    }
    lun_cache_look_at(w->registry->cache, &v);
    MUST(w, v.asking == asking && v.waiting == waiting, "somebody takes part in the cache who is gone");
    MUST(w, v.bytes <= v.size, "the cache is larger than it may be");
}

void world_check(struct world *w)
{
    int flying[TARGETS] = {0};
    struct lun_health_view v;
    for (struct asked *c = w->asked; c; c = c->next) check_client(w, c);
    for (struct call *k = w->calls; k; k = k->next) {
        check_call(w, k);
        flying[k->target->index] += !k->closed;
    }
    for (int i = 0; i < w->n_targets; i++) {
        lun_health_look(&w->target[i], w->loop.now, &v);
        MUST(w, v.in_flight == flying[i], "health does not know what is in flight");
    }
    check_money(w);
    check_cache(w);
}

static void check_left_behind(struct world *w)
{
    struct lun_account_view v;
    int64_t cost = 0;
    for (struct asked *c = w->asked; c; c = c->next) {
        MUST(w, !c->r || c->over, "a request that is not over");
        cost += c->cost;
    }
    for (struct call *k = w->calls; k; k = k->next) MUST(w, k->closed, "a call left open");
    MUST(w, !w->waiting.first, "somebody waits for ever");
    MUST(w, !w->loop.n, "a timer left");
    struct lun_cache_view cache;
    lun_cache_look_at(w->registry->cache, &cache);
    MUST(w, !cache.asking && !cache.waiting, "somebody takes part in the cache for ever");
    if (w->client.account) {
        lun_account_look(w->client.account, WALL, &v);
        MUST(w, !v.held, "a hold left open");
        MUST(w, v.used == cost, "the budget does not show what was spent");
    }
}

void world_free(struct world *w)
{
    check_left_behind(w);
    for (struct call *k; (k = w->calls); free(k)) {
        w->calls = k->next;
        lun_buf_free(&k->want);
    }
    for (struct asked *c; (c = w->asked); free(c)) {
        w->asked = c->next;
        if (!c->over) lun_arena_free(&c->arena);
        lun_buf_free(&c->got);
        lun_buf_free(&c->content);
    }
    lun_draw_work_free(&w->work);
    lun_snapshot_unref(w->snapshot);
    lun_registry_free(w->registry);
    lun_loop_free(&w->loop);
    free(w);
}

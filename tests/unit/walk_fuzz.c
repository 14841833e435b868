/* Random schedules. A seed makes a world: targets with rates, keys, prices and budgets, clients that leave and pause, policies that answer at once,
 * late, never, or after a chat of their own, providers that do what providers do. Everything that walk_world.c checks must hold in all of them. */
#include "walk_world.h"

static struct world *w;
static uint64_t rng;
static bool verbose;
static long n_requests, n_good, n_torn, n_left, n_calls, n_facts, n_hedges, n_children, n_hits, n_shared, n_refused[600];

static uint64_t rnd(void)
{
    uint64_t z = rng += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static int upto(int n)  { return (int)(rnd() % (uint64_t)n); }
static bool odds(int n) { return upto(n) == 0; }        /* one in n */
#define PICK(...) ((const int[]){__VA_ARGS__}[upto((int)(sizeof (int[]){__VA_ARGS__} / sizeof(int)))])
#define WORD(...) ((const char *const[]){__VA_ARGS__}[upto((int)(sizeof (const char *const[]){__VA_ARGS__} / sizeof(char *)))])

/* ---- providers ---- */

static void word(struct lun_buf *b, int after, const char *text)
{
    if (after) lun_buf_printf(b, "+%d ", after);
    lun_buf_puts(b, text);
    if (*text != '{' && odds(3)) {
        lun_buf_printf(b, "/%d", 1 + upto(90));
        if (odds(2)) lun_buf_printf(b, "+%d", PICK(1, 30, 400));
    }
    lun_buf_putc(b, ' ');
}

static void play_events(struct lun_buf *b, int choices, int gap)
{
    int n = 1 + upto(5), cut = odds(5) ? upto(n + 2) : -1, stall = odds(6) ? upto(n + 2) : -1, error = odds(9) ? upto(n + 1) : -1, lag = gap;
    bool finish = !odds(6), done = !odds(5), usage = !odds(4);
    for (int p = upto(3); p--; lag = PICK(0, 100, 14999, 15000, 3000)) word(b, lag, "p");
    for (int i = 0; i < n; i++, lag = gap) {
        char text[3] = { "egn"[upto(3)], (char)('0' + upto(choices)), 0 };
        if (i == stall) return;
        if (i == error) word(b, lag, WORD("x", "q", "l", "o", "b", "html"));
        if (i == cut) { lun_buf_printf(b, "{half %s ", WORD("cut", "reset", "end")); return; }
        word(b, lag, text);
    }
    for (int i = 0; finish && i < choices; i++) word(b, 0, (char[]){ 'f', (char)('0' + i), 0 });
    if (stall == n) return;
    if (finish && odds(20)) word(b, gap, WORD("x", "b"));
    if (usage) word(b, gap, "u");
    if (cut == n) { lun_buf_puts(b, WORD("cut", "reset")); return; }
    if (done) word(b, 0, "d");
    if (stall == n + 1) return;
    lun_buf_printf(b, "+%d end", PICK(0, 0, 1, 900, 1100));
}

static void play(struct lun_buf *b, struct call *k)
{
    int after = PICK(0, 0, 1, 50, 300, 800, 2000, 5000, 8000, 15000, 16000, 40000), gap = PICK(0, 1, 20, 400, 3000);
    bool early = odds(3);
    if (odds(3)) { lun_buf_printf(b, "+%d 200 +20 %s end", PICK(0, 50, 300, 2000), k->stream ? k->asked->q.n > 1 ? "e0 e1 +20 f0 f1 u d" : "e g +20 f u d" : "w"); return; }
    if (odds(12)) { lun_buf_printf(b, "+%d %s", PICK(0, 1, 400), WORD("connect_refused", "dns", "tls", "connect_timeout", "reset")); return; }
    lun_buf_printf(b, "+%d ", early ? after / 3 : after);
    if (early) gap += after - after / 3;
    if (odds(8)) lun_buf_printf(b, "left=%d ", upto(4));
    if (odds(6)) {
        lun_buf_printf(b, "%s ", WORD("429", "retry=5 429", "retry=1 503", "500", "503", "529", "400", "401", "403", "404", "413", "402"));
        word(b, 0, WORD("j", "k", "html", "c:insufficient_quota", "c:context_length_exceeded", "m:hm"));
        lun_buf_puts(b, WORD("end", "cut", ""));
        return;
    }
    if (k->stream) { lun_buf_printf(b, "%s200 ", odds(20) ? "type=application/json " : ""); play_events(b, k->asked->q.n, gap); return; }
    lun_buf_puts(b, "200 ");
    word(b, gap, odds(8) ? WORD("j", "html", "b") : WORD("w", "w", "w-", "wf"));
    lun_buf_puts(b, odds(8) ? WORD("cut", "") : "end");
}

static const char *make_script(struct call *k)
{
    struct lun_buf b = {0};
    play(&b, k);
    const char *text = lun_arena_strndup(&k->asked->arena, b.at, b.n);
    lun_buf_free(&b);
    if (k->a->trial.hedge) n_hedges++;
    return text;
}

/* ---- clients ---- */

struct mind {           /* of a client, and of its policy */
    struct mind *next;
    struct asked *asked, *child;
    struct mind *parent;
    int leave_odds, pauses, slow, retries, passed;
    bool waiting;
    enum lun_hook hook;
    struct lun_timer leave_timer, pause_timer, answer_timer;
    const struct lun_trial *judged;
};
static struct mind *minds;
#define OF(timer, member) ((struct mind *)(void *)((char *)(timer) - offsetof(struct mind, member)))

static void child_told(struct mind *);

static void quiet(struct mind *m)
{
    lun_timer_set(&w->loop, &m->leave_timer, LUN_NEVER);
    lun_timer_set(&w->loop, &m->pause_timer, LUN_NEVER);
}

static void go_away(struct mind *m)
{
    quiet(m);
    if (!m->asked->left && !m->asked->ended) n_left++;
    leave(m->asked);
}

/* Or the gateway stops. Not drawn, as below. */
static void leave_fire(struct lun_timer *t)
{
    struct mind *m = OF(t, leave_timer);
    if ((w->seed + (uint64_t)m->asked->id) % 3) { go_away(m); return; }
    quiet(m);
    cut(m->asked);
}

static void pause_fire(struct lun_timer *t) { pause_client(OF(t, pause_timer)->asked, false); }

static void told(struct asked *c)
{
    struct mind *m = c->mind;
    if (c->ended) {
        quiet(m);
        if (m->parent) child_told(m);
        return;
    }
    if (m->leave_odds && odds(m->leave_odds)) { go_away(m); return; }
    if (!m->pauses || !c->got.n || c->paused || !odds(m->pauses)) return;
    pause_client(c, true);
    if (odds(4)) pause_client(c, false);
    else lun_timer_set(&w->loop, &m->pause_timer, w->loop.now + PICK(0, 1, 50, 700, 3000, 31000, 100000) * LUN_MS);
}

/* ---- policies ---- */

static lun_us ms(int n) { return n * LUN_MS; }

static struct lun_step any_step(void)
{
    struct lun_step s = world_step;
    s.target = &w->target[upto(w->n_targets)];
    s.connect = LUN_SECOND;
    s.first_byte = ms(PICK(500, 2000, 8000, 20000));
    s.idle = ms(PICK(500, 3000, 30000));
    s.total = ms(PICK(2000, 30000, 120000));
    s.hedge_after = ms(PICK(0, 0, 1, 300, 800));
    s.wait = odds(4) ? LUN_UNSET : ms(PICK(0, 100, 5000, 70000));
    return s;
}

static struct lun_plan any_plan(struct asked *c)
{
    struct lun_plan p = { .n = upto(5) };
    p.steps = lun_arena_alloc(&c->arena, 5 * sizeof *p.steps);
    for (int i = 0; i < p.n; i++) p.steps[i] = any_step();
    return p;
}

static void degrade(struct asked *c, struct lun_answer *a)
{
    a->verb = LUN_DEGRADE;
    a->targets = lun_arena_alloc(&c->arena, TARGETS * sizeof *a->targets);
    for (int i = 0; i < w->n_targets; i++) if (odds(2)) a->targets[a->n_targets++] = &w->target[i];
}

static void answer(struct mind *m)
{
    struct asked *c = m->asked;
    struct lun_answer a = { .verb = LUN_DEFAULT, .delay = ms(PICK(0, 0, 100, 2000)), .step = any_step() };
    switch (m->hook) {
    case LUN_HOOK_SELECT: if (!odds(6)) a.verb = LUN_PLAN, a.plan = any_plan(c); break;
    case LUN_HOOK_RETRY:  a.verb = (enum lun_verb)PICK(LUN_DEFAULT, LUN_DEFAULT, LUN_AGAIN, LUN_AGAIN, LUN_NEXT, LUN_NEXT, LUN_TRY, LUN_STOP); break;
    case LUN_HOOK_JUDGE:  if (odds(3)) a.verb = odds(4) ? LUN_REFUSE : LUN_NEXT; break;
    case LUN_HOOK_BUDGET: if (odds(25)) a.verb = LUN_REFUSE; else if (odds(15)) degrade(c, &a); break;
    default: break;
    }
    m->waiting = false;
    SAY(w, "policy %d: %s: %d", c->id, lun_hook_name(m->hook), a.verb);
    lun_request_answer(c->r, &a);
}

static void answer_fire(struct lun_timer *t) { answer(OF(t, answer_timer)); }

static struct asked *open_request(struct mind *parent, bool stream, lun_us deadline);

static void child_told(struct mind *m)
{
    struct mind *p = m->parent;
    if (p->child != m->asked) return;
    p->child = NULL;
    MUST(w, p->waiting, "the child of a dropped hook answered");
    answer(p);
}

static void ask_policy(void *self, struct lun_request *r, enum lun_hook hook, const struct lun_trial *about)
{
    struct mind *m = self;
    struct asked *c = m->asked;
    MUST(w, !m->waiting && r == c->r, "two hooks at once");
    MUST(w, (hook == LUN_HOOK_JUDGE || hook == LUN_HOOK_RETRY) == !!about, "a hook about nothing");
    MUST(w, !about || about->closed, "a hook about a live attempt");
    MUST(w, !c->n_hooks[LUN_HOOK_FINISH], "a hook after finish");
    MUST(w, hook != LUN_HOOK_JUDGE || (about->body_n && about != m->judged), "judged twice");
    if (hook == LUN_HOOK_RETRY) {
        m->passed += no_turn(about);
        int more = m->passed < c->r->plan.n ? m->passed : c->r->plan.n;
        MUST(w, ++m->retries < w->snapshot->limits.attempts + more, "retry asked too often");
    }
    MUST(w, hook != LUN_HOOK_FINISH || c->ended || c->left, "finish before the end");
    if (hook == LUN_HOOK_JUDGE) m->judged = about;
    c->n_hooks[hook]++;
    m->hook = hook;
    m->waiting = true;
    SAY(w, "policy %d: %s?", c->id, lun_hook_name(hook));
    if (!m->slow || !odds(m->slow)) { answer(m); return; }
    if (odds(12)) return;                                       /* never answers */
    if (odds(3) && hook != LUN_HOOK_FINISH) {
        lun_us most = w->loop.now + 20 * LUN_SECOND;
        m->child = open_request(m, odds(2), c->deadline < most ? c->deadline : most);
        return;
    }
    lun_timer_set(&w->loop, &m->answer_timer, w->loop.now + ms(PICK(0, 0, 1, 100, 5000, 16000, 100000)));
}

static void drop_policy(void *self, struct lun_request *r)
{
    struct mind *m = self;
    MUST(w, m->waiting && m->asked->r == r, "dropped what was not asked");
    m->waiting = false;
    lun_timer_set(&w->loop, &m->answer_timer, LUN_NEVER);
    struct asked *child = m->child;
    m->child = NULL;
    if (!child) return;
    n_children++;
    go_away(child->mind);
}

static const struct lun_policy_port policy = { ask_policy, drop_policy };

/* ---- worlds ---- */

/* Nothing of this is drawn: the schedules without a cache stay what they were. */
static void ask_of_cache(struct asked *c)
{
    static struct lun_pair anew[] = { { "cache-control", "no-cache" } }, bypass[] = { { "x-lunette-cache", "bypass" } };
    uint64_t dice = (w->seed * 31 + (uint64_t)c->id) * 0x9E3779B97F4A7C15u >> 32;
    if (!w->snapshot->cache.size) return;
    if (dice % 4 == 0) c->q.task = "other", c->topic = 1;
    if (dice % 9 == 1) c->q.headers = anew, c->q.n_headers = 1;
    if (dice % 13 == 2) c->q.headers = bypass, c->q.n_headers = 1;
    if (dice % 17 == 3) c->q.reads |= LUN_READS_USER;           /* as if a hook looked, later than the key is made */
}

static struct asked *open_request(struct mind *parent, bool stream, lun_us deadline)
{
    struct asked *c = world_prepare(w, stream);
    struct mind *m = lun_zalloc(sizeof *m);
    *m = (struct mind){ .next = minds, .asked = c, .parent = parent, .leave_timer.fire = leave_fire, .pause_timer.fire = pause_fire,
                        .answer_timer.fire = answer_fire, .slow = PICK(0, 2, 6, 20) };
    minds = m;
    n_requests++;
    if (!parent) m->leave_odds = PICK(0, 0, 3, 30), m->pauses = PICK(0, 2, 5);
    c->mind = m;
    c->told = told;
    c->policy = parent || odds(5) ? NULL : &policy;
    c->policy_self = m;
    c->decide_only = !parent && (w->seed + (uint64_t)c->id) % 16 == 0;     /* not drawn: the other schedules stay what they were */
    c->q.deadline = deadline;
    ask_of_cache(c);
    c->q.who = (uint64_t)upto(3);
    c->q.n = odds(6) ? 2 : 1;
    c->q.max_tokens = PICK(-1, 10, 10, 1000);
    c->q.include_usage = odds(4);
    c->q.session = odds(3) ? "session" : NULL;
    if (odds(10)) c->q.pinned = "resp_1";
    if (odds(8)) c->q.own_account = lun_account_request(PICK(100000, 1000000, 100000000, 100000000));
    if (!parent && odds(3)) lun_timer_set(&w->loop, &m->leave_timer, w->loop.now + ms(PICK(0, 1, 100, 800, 2000, 8000, 15000, 20000)));
    return world_ask(c);
}

struct arrival { struct lun_timer timer; };

static void arrive(struct lun_timer *t)
{
    open_request(NULL, !odds(3), w->loop.now + ms(PICK(100, 2000, 15000, 16000, 60000, 590000)));
    free(t);
}

static void make_world(uint64_t seed, char mode)
{
    w = world_new(1 + upto(TARGETS));
    w->seed = seed;
    w->random = rnd();
    w->verbose = verbose;
    w->late = mode == 'l';
    w->talks = true;
    w->make_script = make_script;
    w->loop.shuffle = rnd() | 1;
    struct lun_limits *l = &w->snapshot->limits;
    l->retries = odds(2) ? -1 : 0.2;
    l->hedges = odds(2) ? -1 : 0.05;
    l->attempts = PICK(4, 4, 4, 1, 6);
    if (odds(8)) l->answer = 100;
    w->snapshot->keepalive = ms(PICK(15000, 15000, 1000, 0));
    w->client.budget.limit = PICK(-1, -1, -1, 600000, 3000000, 100000000);
    w->snapshot->total.limit = PICK(-1, -1, 1500000);
    l->output = 50;
    for (int i = 0; i < w->n_targets; i++) {
        struct lun_provider *p = &w->provider[i];
        p->n_keys = PICK(1, 1, 0, 2, 3);
        p->usage = !odds(4);
        p->health.off = odds(4);
        p->health.failures = PICK(5, 2);
        p->health.rest = ms(PICK(60000, 1000));
        p->health.cooling_provider = odds(4);
        w->target[i].requests_per_minute = PICK(0, 0, 1, 2, 5);
        w->target[i].tokens_per_minute = PICK(0, 0, 0, 500);
        if (odds(10)) w->target[i].price = lun_price_unknown;
        if (odds(4)) w->target[i].price.output = 20 * LUN_NANO_PER_USD;
    }
    int arrivals = 1 + upto(4);
    if (seed % 3 == 0) {
        w->snapshot->cache = (struct lun_cache_rules){ .size = seed % 2 ? 1 << 20 : 2048, .ttl = seed % 5 ? 60 * LUN_SECOND : 3 * LUN_SECOND, .answer = seed % 7 ? 1 << 16 : 300 };
        arrivals *= 4;
    }
    world_open(w);
    if (seed % 4 == 1) {
        w->books_fail = seed % 8 == 1;
        world_keep_books(w);
    }
    while (arrivals--) {
        struct arrival *a = lun_zalloc(sizeof *a);
        a->timer.fire = arrive;
        lun_timer_set(&w->loop, &a->timer, w->loop.now + ms(PICK(0, 0, 1, 500, 5000)));
    }
}

static void count(void)
{
    for (struct asked *c = w->asked; c; c = c->next) {
        n_good += (c->status == 200 || (c->decide_only && !c->heads)) && !c->error && c->ended;
        n_torn += c->ended && c->end == LUN_TORN;
        if (c->ended && c->status != 200) n_refused[c->status]++;
    }
    n_calls += w->n_calls;
    n_facts += w->facts;
    n_hits += w->hits;
    n_shared += w->shared;
}

void fuzz_run(uint64_t seed, char mode)
{
    long events = 0;
    rng = seed * 0xD1342543DE82EF95u + 1;
    make_world(seed, mode);
    while (lun_loop_advance(&w->loop)) {
        if (w->late && odds(3)) w->loop.now += ms(PICK(1, 40, 400, 20000));
        while (lun_loop_fire(&w->loop)) {
            MUST(w, ++events < 50000, "it spins");
            if (!odds(4)) world_settle(w);
        }
        world_settle(w);
        if (lun_loop_due(&w->loop) > w->loop.now) world_check(w);
    }
    for (struct asked *c = w->asked; c; c = c->next)
        if (c->policy) MUST(w, c->n_hooks[LUN_HOOK_FINISH] == 1, "finish not told once");
    count();
    for (struct mind *m; (m = minds); free(m)) minds = m->next;
    world_free(w);
}

int fuzz_main(int argc, char **argv)
{
    uint64_t from = strtoull(argv[1], NULL, 10), n = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char mode = argc > 3 ? *argv[3] : ' ';
    verbose = mode == 'v' || argc > 4;
    for (uint64_t i = 0; i < n; i++) fuzz_run(from + i, mode);
    printf("seeds %llu..%llu: %ld requests, %ld calls, %ld facts; good %ld, torn %ld, left %ld, hedges %ld, chats cancelled with their parent %ld, from the cache %ld, shared %ld; refused:",
           (unsigned long long)from, (unsigned long long)(from + n - 1), n_requests, n_calls, n_facts, n_good, n_torn, n_left, n_hedges, n_children, n_hits, n_shared);
    for (int i = 0; i < 600; i++) if (n_refused[i]) printf(" %d: %ld", i, n_refused[i]);
    putchar('\n');
    return 0;
}

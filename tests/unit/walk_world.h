/* A world for walks to happen in: a virtual clock, providers that play scripts, clients that watch what they are told, a policy that answers as
 * a test wants. Everything that a walk promises at all times is checked here, in whatever test it happens. Health, limits, budgets, plans,
 * replies and metrics are the real ones. */
#ifndef WALK_WORLD_H
#define WALK_WORLD_H
#include "base/alloc.h"
#include "gateway/plan.h"
#include "gateway/reply.h"
#include "gateway/walk.h"
#include "state/draw.h"
#include "state/health.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS 4
struct world;
struct asked;

/* What a provider does, played item by item from start() on. A script is words divided by spaces:
 *   +20        20 ms pass before the next word               200 429 …  a head with that status
 *   retry=2    the next head says Retry-After: 2             left=0     … x-ratelimit-remaining-requests: 0
 *   type=text/html   … content-type
 *   e e1       an event with content (of choice 1)           f f1       the same with a finish_reason
 *   g          an event that has content and usage           n          one with "usage":null
 *   u          usage alone ("choices":[])                    d          [DONE]
 *   p          a comment                                     b          an event that is not JSON
 *   x          an error event                                q l o      error events: rate_limit, too long, overloaded
 *   w w-       a whole answer, with usage and without        wf         one with finish_reason content_filter and no content
 *   j          a whole error object in JSON: code server_error
 *   k          the body of an error whose message holds the key
 *   m:text     an error body with that message               c:code     one with that code
 *   html       a page                                        {…         these bytes, as they are
 *   e/9        any of them cut in two after 9 bytes          e/9+30     … with 30 ms between the halves
 *   end        that was all                                  cut reset … (a kind): it ends so
 * Nothing after the last word: the provider falls silent. */
struct item { lun_us after; enum { ITEM_HEAD, ITEM_BYTES, ITEM_END } what; int status; const char *bytes; size_t n; enum lun_kind end;
              const char *want; size_t want_n;      /* what a client is to get, once this has come */
              bool good, done, usage; int finish /* 1 + choice */; const char *type, *retry, *left; };

struct call {
    struct call *next; struct world *w; struct asked *asked; struct lun_attempt *a; const struct lun_target *target;
    int id, number, key, n, at, content, talk; struct item item[96]; struct lun_timer timer; const char *script; struct lun_buf body, want;
    bool stream, hides, started, closed, ended, paused, head, complete, claimed, insist, bytes, alien; int inside, status; unsigned finished; lun_us complete_at, closed_at;
    lun_us start, heard, held_all, held_heard, held_since; struct lun_step step;
};

struct asked {
    struct asked *next; struct world *w; int id; const char *name;
    struct lun_arena arena; struct lun_question q; struct lun_request *r; struct lun_ask ask;
    bool stream, left, cut, ended, over, paused; int heads, status; enum lun_end end; lun_us said, deadline, ended_at, cut_at;
    char head[2048], trailers[1024];            /* "name: value\n" each */
    struct lun_buf got, content;                /* all bytes; those of a provider */
    int comments; bool error; struct call *from;
    bool alone;                                 /* has no list of those who wait */
    int topic;                                  /* questions of one topic are equal */
    /* what the test wants of it */
    void (*told)(struct asked *);               /* after each head and bytes; may leave or pause */
    void *mind;                                 /* the test's */
    const struct lun_policy_port *policy; void *policy_self; bool decide_only;
    /* the policy that comes with the world */
    struct lun_answer (*answer)(struct asked *, enum lun_hook, const struct lun_trial *); int n_hooks[LUN_HOOK_COUNT]; bool silent[LUN_HOOK_COUNT];
    bool waiting; enum lun_hook hook;
    /* when it is over */
    char trials[512];                           /* "a=ok b=rate_limited" */
    char planned[TARGETS + 1];                  /* "ab": what the plan named when the end was told */
    struct lun_done done; char code[32], message[200];
    int64_t cost; int n_trials;
};

struct world {
    struct lun_loop loop;
    struct lun_registry *registry; struct lun_snapshot *snapshot; struct lun_waiting waiting;
    struct lun_provider provider[TARGETS]; struct lun_target target[TARGETS]; int n_targets;    /* "a" "b" "c" "d", at "pa" … */
    struct lun_client_rule client;              /* "app", with `budget` limited if the test says so */
    struct lun_step step;                       /* what steps of the world's own plans look like; target left out */
    struct asked *asked; struct call *calls; int n_asked, n_calls;
    const char *script[TARGETS][8]; int n_scripts[TARGETS];
    uint64_t random; bool verbose, late, talks; /* talks: facts from inside start, pause and close */
    uint64_t seed; long facts;
    int moved;
    long hits, shared;                          /* requests that were answered by the cache, and by another request */
    const char *(*make_script)(struct call *);      /* instead of the scripts above; in the question's arena */
    bool keeps_books; struct lun_timer bookkeeper; struct lun_draw_work work;   /* see world_keep_books */
    bool books_fail;                            /* now and then, and go on later */
    lun_us books_in;                            /* so long they take, LUN_NEVER too; 0: at random */
    bool failed_money;                          /* somebody claimed more than was held: budgets may be passed */
};

extern const struct lun_step world_step;        /* all clocks unset, no hedge, wait unset */

struct world *world_new(int n_targets);         /* to be changed, then: */
void world_open(struct world *);
void world_keep_books(struct world *);          /* after world_open: money is drawn from a ledger, which takes its time */
void world_free(struct world *);                /* checks that nothing is left behind */
void world_script(struct world *, char target, const char *script);     /* the next call plays it; the last one for ever */
struct asked *world_prepare(struct world *, bool stream);   /* a question that nobody walks yet; asked->q may be changed */
struct asked *world_ask(struct asked *);                    /* … and off */
struct asked *ask(struct world *, bool stream);             /* both */
void world_run(struct world *);                             /* until nothing happens any more */
void world_until(struct world *, lun_us at);
void world_settle(struct world *);                          /* all that is ready now */
void world_check(struct world *);                           /* what must hold between walks */

bool no_turn(const struct lun_trial *);          /* it came to nothing at once, as its target had no turn to give */
void leave(struct asked *);
void cut(struct asked *);           /* the gateway stops */
void pause_client(struct asked *, bool);
struct lun_plan plan_of(struct asked *, const char *letters);       /* steps like w->step, in the question's arena */
void answer_now(struct asked *, const struct lun_answer *);         /* of a hook that was kept waiting */
const struct lun_target *target(struct world *, char letter);
int64_t held(struct world *);
int calls_to(struct world *, char letter);
const char *header(struct asked *, const char *name);       /* "" when it is not there; static until the next call */
bool has(const char *text, const char *part);

/* Fails with the seed and the time, so that it can be played again. */
#define MUST(w, x, what) do { if (!(x)) world_broken(w, what, __FILE__, __LINE__); } while (0)
void world_broken(struct world *, const char *what, const char *file, int line) __attribute__((noreturn));
#define SAY(w, ...) do { if ((w)->verbose) { printf("%9.3f ", (double)(w)->loop.now / 1000); printf(__VA_ARGS__); putchar('\n'); } } while (0)

int fuzz_main(int argc, char **argv);
void fuzz_run(uint64_t seed, char mode);        /* one schedule; aborts when something is broken */
#endif

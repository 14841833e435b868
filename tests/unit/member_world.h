/* A world for members to share money in: gateways with disks, a Redis that runs the real script (member_script.c), and a network between them. What must hold
 * is in member_check.c; what happens, at random, in member_fuzz.c. */
#ifndef MEMBER_WORLD_H
#define MEMBER_WORLD_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "state/member.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATEWAYS = 4, BUDGETS = 2, DAYS = 3, PIECES = 20, ACCOUNTS = BUDGETS * PIECES, LETTERS = 8, KEPT = 8, IMAGES = 4, DAY_MS = 1000000,
       PIECE_MS = 1000, WINDOW = 2 /* pieces */, CHARGES = 400 };

/* What a rule is worth: without it a schedule must be found that breaks the promise, within so many. Those that are found soon are looked for in every run. */
#define MUTANTS(X) \
    X(NO_RUN_ID,       1000, "the epoch alone is compared, not the Redis process") \
    X(OPEN_EARLY,      1000, "draws open again though some have not registered") \
    X(NO_NONCE,       20000, "what was said in one epoch counts in the next") \
    X(NO_SEQUENCE,     1000, "a message said twice counts twice") \
    X(SPEND_FIRST,     1000, "granted is spent before it is on the disk") \
    X(REDIS_FIRST,     1000, "Redis is told of what is given back before memory and disk") \
    X(CUT_AS_KILL,     1000, "a power cut is recovered as the end of a process") \
    X(NEW_DRAW,       20000, "who is new draws before another has his name on the disk") \
    X(NEW_VOUCHES,    20000, "who is new vouches for who is new") \
    X(FOUND_ALWAYS,    1000, "an empty Redis is taken for a new one") \
    X(OLDER_REDIS,     2000, "a Redis older than a member's disk is believed") \
    X(FORGET_BLIND,    3000, "what a forgotten one had is taken for nothing where it is not known") \
    X(FORGET_FREE,     1000, "what a forgotten one had is free again") \
    X(GONE_LOST,      15000, "what the forgotten had is not said again to a Redis that has lost it") \
    X(BLIND_LOST,     40000, "that a forgotten one's part was not known is not said again") \
    X(GONE_WINS,      20000, "who is gone for one is gone, though another knows him as a member") \
    X(LET_GO_EARLY,    1000, "who is forgotten is gone before the others have that on their disks") \
    X(DRAWS_ON,       60000, "who is to be gone draws meanwhile") \
    X(EARLIER_ROUND,   1000, "what was said of an earlier list of members counts") \
    X(LEAVE_FREE,      1000, "what was spent by one that leaves is free again") \
    X(LEAVES_ALL,      1000, "who leaves leaves it to one who does not know yet that he is vouched for") \
    X(LIMIT_OWN,       1000, "each goes by his own limit") \
    X(NOT_ALL,         1000, "of a group is granted what there is") \
    X(NO_PERIOD,       1000, "an account is drawn on whatever the day is")
/* Likewise of windows that move along: in worlds that have them (member_windows.c). */
#define WINDOW_MUTANTS(X) \
    X(ALONE,           1000, "each piece of a window is compared with the limit alone") \
    X(NO_SLACK,       30000, "nothing is added to a window for clocks that differ") \
    X(BEFORE_ALONE,    1000, "of a window only what came before a piece counts beside it") \
    X(ANY_PIECE,       1000, "a piece is drawn on whenever it is") \
    X(DROP_OPEN,      20000, "a piece is drawn on though some that counts beside it was dropped") \
    X(DROP_SOON,       1000, "pieces are dropped while they count") \
    X(PIECES_BLIND,   60000, "what a forgotten one had, and nobody knows, fills the piece that it was in alone")
#define X(id, within, text) M_##id,
enum mutant { M_NONE, MUTANTS(X) M_WINDOWS, M_WINDOWS_BEFORE = M_WINDOWS - 1, WINDOW_MUTANTS(X) M_COUNT };
#undef X

struct letter { int to; unsigned connection; char **argument; int n; };       /* NULL: none */

struct owner {                          /* an account as a gateway has it */
    struct lun_member_account *in; struct lun_member_group group; bool wants, opened;
    int64_t allot;                      /* in memory */
    int64_t disk;                       /* on the disk */
    int64_t spent, held, real;          /* charged; under way; what was truly spent, which nobody knows */
    int64_t limit;
    int64_t told; char told_in[33];     /* the limit that Redis has from this gateway for certain, and the epoch */
    int64_t late;                       /* a mutant's disk: what it will have; -1: nothing */
};
struct gateway {
    struct world *w; int id; char name[33];
    bool up, born, forgotten, founds, stops, gone, leaves;      /* gone, leaves: as Redis has last said */
    struct lun_member *member; uint32_t run; unsigned connection; bool connected;
    char *members, *gone_names, *parts; bool vouched; int64_t before;  /* on the disk */
    struct owner a[ACCOUNTS];
    char **reply; int n_reply;
    int64_t last; char last_in[33];     /* the last message with a number that Redis has taken, and the epoch */
    int64_t skew;                       /* of its clock, ms */
    enum lun_member_state state;
};
struct world {
    lua_State *L;
    struct gateway g[GATEWAYS]; int n;
    int budgets, days, accounts;        /* of those there may be, in this schedule */
    int64_t day_ms;                     /* how long a day is, or a piece of a window */
    bool rolling;                       /* its budgets are windows that move along; `days` are the pieces */
    bool steps_back;                    /* Redis' clock is set back, by some pieces; nobody is forgotten then of whom nothing is known */
    bool on_time;                       /* its gateways hold in the piece that their clocks say, and these differ by less than half of one from Redis' */
    struct charge { int budget, gateway, account; int64_t at; } charge[CHARGES]; int charges;  /* what was held, a unit each, and when that was; not released */
    int weights[32], weight, liveliest;
    struct letter letter[LETTERS], kept[KEPT];          /* under way; said once already, and coming again */
    int64_t now, limit[ACCOUNTS], over[ACCOUNTS];       /* over: claims above holds */
    int image[IMAGES], images, redis_run, mutant;
    uint64_t seed, random, nonces;
    int faults, calls; long steps, granted, refused;
    bool disk_fails, memory_full;
    bool began;                         /* somebody has had on his disk that he can begin an epoch */
    char epoch[33];                     /* of the last answer */
    char wrong[300];                    /* what was granted against the rules */
};

/* Where words are in what is said, and in what is answered. */
enum { SAID_OP, SAID_NONCE, SAID_ME, SAID_SEQ, SAID_REST, STATUS = 0, EPOCH, MEMBERS = 3, GONE = 6, LEAVING = 11, HEAD = 14, EACH = 5 /* of an account */ };

uint64_t rnd(struct world *);
int upto(struct world *, int n);                        /* 0 to n - 1 */
bool odds(struct world *, int n);                       /* once in n times */
bool traced(void);

/* The machine that runs the script, with that rule broken. */
lua_State *script_machine(int mutant);
void redis_advance(struct world *);                     /* its clock, its process, its memory */
void redis_image(struct world *);                       /* kept, as one of a few */
void redis_restore(struct world *, int image);
void redis_restart(struct world *);                     /* as another process, with any earlier image */
void redis_flush(struct world *);
const char *key_in_redis(struct world *, int account);  /* static until the next call */
int64_t total_in_redis(struct world *, int account);
int64_t part_in_redis(struct world *, const struct gateway *, int account);
bool redis_says(struct world *, const char *what, const char *of);
bool blind_in_redis(struct world *);
bool over_in_redis(struct world *, int account);         /* a day until whose end days may have been forgotten */
int64_t passed_in_redis(struct world *, int account);   /* how far pieces of its window were dropped */

void world_build(struct world *, lua_State *, uint64_t seed, int mutant);
void world_end(struct world *);
void world_deliver(struct world *);                     /* all that is under way, until nothing is said any more */
const char *budget_of(const struct world *, int account);
int day_of(const struct world *, int account);

/* member_windows.c */
void world_roll(struct world *);                        /* its budgets are windows from now on: before anything begins */
const char *window_broken(struct world *);              /* NULL: no window is passed */
void window_charged(struct world *, const struct gateway *, int account);
void window_released(struct world *, const struct gateway *, int account);
void window_start(struct world *, struct gateway *);    /* what of its disk a gateway tells of, when it starts */
bool window_step_back(struct world *, struct gateway *);
int64_t window_in_redis(struct world *, int account);   /* what counts with a piece, and it */
void window_draws(struct world *, struct gateway *, int account);       /* it will say its limit, which an earlier run may have said otherwise */
bool window_untold(struct world *, int account);        /* Redis has dropped it, or somebody has left it out when it started: more may be down than is charged */
bool window_passed(struct world *, int account);        /* whether Redis has dropped it */
bool window_bars(struct world *, int account);          /* … or one that would count beside it */

void gateway_begin(struct world *, int k);
void gateway_start(struct world *, struct gateway *);
void gateway_describe(struct world *, struct gateway *, int account);
struct lun_member_account *gateway_account(struct world *, struct gateway *, int account);      /* made when new */
void gateway_connect(struct gateway *);
void gateway_disconnect(struct gateway *);
void gateway_hear(struct gateway *);
bool gateway_talk(struct world *, struct gateway *);    /* a few messages without anything between */
bool gateway_give_back(struct world *, struct gateway *, int account);
bool gateway_drop(struct world *, struct gateway *);
bool gateway_stop(struct world *, struct gateway *);    /* in order; said again, its end */
void gateway_end(struct gateway *, bool cut);
void gateway_sync(struct owner *);

void print_texts(const char *what, int id, const char *const *, int n);     /* of a trace */
char **copy_texts(const char *const *, int n);          /* one block */
void letter_lose(struct letter *);
void letter_deliver(struct world *, struct letter *, bool again);

void check_answer(struct world *, const struct letter *, const char *const *answer, int n);
const char *world_broken(struct world *);               /* NULL: all holds */
const char *world_comes_right(struct world *);          /* everybody is up and nothing goes wrong any more: NULL: then all comes right by itself */

/* Of cmocka. */
void random_schedules_never_spend_more_than_the_limit_and_come_right(void **);
void random_schedules_never_pass_the_limit_of_a_window_and_come_right(void **);
void each_rule_is_needed(void **);
#endif

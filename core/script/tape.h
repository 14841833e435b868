/* A tape: what the hooks of one request read, in order, and what each of them came to. Where the configuration says log.replay it is written into the
 * request's line of the log; `lunette replay --verify` feeds it back, and then nothing is read anew.
 *
 * Whatever a policy can see comes through the members of classes (class.c) or the functions of `lunette` (bind_lunette.c), and each of these is on the tape
 * unless its table says that it is `fixed`: that it follows from the configuration, its arguments and what is on the tape anyway. Beside them there are
 * the clock, chance (tape_number) and what wishes bring (policy.c). So a read that is on no tape is one that a table declares to be none.
 *
 *     {"has":["classify"],"hooks":[{"hook":"classify","reads":[["request.words",12],["store.get (\"k\")",null]],"answer":{"labels":["easy"]}}]}
 *
 * `has`: the hooks of the policy. Of a hook `attempt`: the number of the one it is about; `targets`: what the request may use, where that is not what is known
 * already (at first all of the configuration's); no `answer`: it was no longer waited for. Of a read first what was read, then what came; nothing came
 * where it raised. Where more must not or cannot be written, the hook is left out and in its place {"stopped":why,"by":read} is the last.
 *
 * What was said (members that say so) stops the tape unless the configuration's log.text lets it in: so neither it nor what a policy made of it is there. */
#ifndef LUN_SCRIPT_TAPE_H
#define LUN_SCRIPT_TAPE_H
#include <lua.h>
#include "base/buf.h"
#include "base/json.h"
#include "script/policy.h"

#define LUN_TAPE_MOST ((size_t)512 << 10)       /* bytes of one; the log's lines have room for that */
enum { LUN_TAPE_LARGE = 16, LUN_TAPE_LARGE_FROM = 32 };     /* so many values of so many bytes and more are written once: then {"again":which} */

struct lun_class;
struct lun_mind;

/* What is read: "target.latency a/small", "store.get (\"k\")". */
struct lun_read {
    const struct lun_class *of; void *self;     /* of a member; else NULL */
    const char *name;
    int arguments;              /* the first one's place on the stack; 0: it takes none */
    bool (*says)(lua_State *L, int results);    /* whether that is something that was said; NULL: never */
};

struct lun_tape {
    /* recording */
    struct lun_buf *out;        /* without the last "]}"; NULL: it is played. Borrowed */
    bool texts;                 /* what was said may stand in it */
    bool over, hooked, open;    /* nothing more is written; within a hook, a read */
    size_t hook_at, read_at; int hooks, reads;
    struct { size_t at, n; } large[LUN_TAPE_LARGE];
    const struct lun_target *const *targets; int n_targets;    /* known so far */
    /* playing */
    struct lun_json_each left;  /* reads of the hook */
    struct lun_json read;       /* the present one; {0}: there was none left */
    struct lun_json again[LUN_TAPE_LARGE];
    struct { bool there; char log[400], now[400], where[128]; } differs;    /* the first: what the tape has, what came now, "policy.lua:12: " */
    /* both */
    int n_large;
};

/* ---- recording, for policy.c; where the tape is played these do nothing ---- */

void lun_tape_hook(struct lun_mind *);          /* one begins */
void lun_tape_answer(struct lun_mind *);        /* and has come to its thought's end */
void lun_tape_drop(struct lun_mind *);          /* or is not waited for */

/* ---- both ---- */

/* `call`, its results on the tape; or those of the tape without a call. Raises like it. Without a mind or tape: just `call`. */
int lun_tape_call(lua_State *L, struct lun_mind *, const struct lun_read *, lua_CFunction call);
/* The same around something else: false: do it, then tell its results. */
bool lun_tape_fed(lua_State *L, struct lun_mind *, const struct lun_read *, int *results);
void lun_tape_keep(lua_State *L, struct lun_mind *, const struct lun_read *, int results);
/* Of a request that a log tells of, in another policy perhaps: what a wish like the present one came to then, by the tape in its line (`replay`): pushed.
 * False: that does not have it; nothing is pushed. */
bool lun_tape_recalls(struct lun_mind *, struct lun_json tape, int *results);
/* A number that is no member's nor function's: `real`, or that of the tape. */
double lun_tape_number(lua_State *L, struct lun_mind *, const char *name, double real);
/* A wish was made; and what came of it: its values are on the run's stack, or are pushed from the tape. Gives how many. */
void lun_tape_wish(struct lun_mind *);
int  lun_tape_granted(struct lun_mind *, int results);

/* ---- playing ---- */

void lun_tape_feed(struct lun_tape *, struct lun_json reads);   /* a hook begins; borrowed */
bool lun_tape_brings(const struct lun_tape *);  /* what the last wish came to is on it */
void lun_tape_end(struct lun_tape *);           /* the hook is over: what is left is a difference */
/* That attempt of the question, made where there is none: all that it has by itself is its number, the rest is on the tape. */
struct lun_trial *lun_tape_trial(struct lun_question *, int number);

/* ---- values and answers, as they stand there (tape_value.c, tape_answer.c) ---- */

/* False: it has no form there, or is too deep. Never raises. */
bool lun_tape_put_value(lua_State *L, int index, const struct lun_mind *, struct lun_buf *out);
/* False: it is none; nothing is pushed. */
bool lun_tape_push_value(lua_State *L, struct lun_mind *, struct lun_json value);
/* What a thought has come to; the same bytes for the same decision. */
void lun_tape_put_answer(struct lun_buf *out, const struct lun_thought *);
#endif

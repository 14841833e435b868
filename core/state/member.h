/* One gateway among several that share their budgets through a Redis: what it tells Redis, and what follows from the answers. Redis holds what each
 * member has of each account, and grants more only while the sum of all stays within the limit; what a member may spend is on its own disk before, and
 * never more than Redis knows of:   held + spent <= may be spent <= on disk <= in Redis.   So whatever becomes of Redis, of messages or of the member
 * itself, the sum of what all may spend stays within the limit.
 *
 * An epoch is what Redis knows since it last knew nothing: a random text, bound to the Redis process (its run_id). A Redis that was started again, emptied
 * or replaced by an older copy answers LOST; then nobody draws before every known member has registered what it has. Who comes new draws once a member that
 * was vouched for has his name on its disk. What a silent member has stays charged until it comes back, or is forgotten by an operator's word.
 *
 * Who is forgotten, or leaves when it is stopped, is granted nothing more, and is gone once every other member has on its disk who is left, and what the gone
 * one had; until then it is a member, also for whoever begins an epoch. What a member has put on its disk so is one commit: no name goes before what he had
 * is there. Who was let go of and comes back is new, whatever is on its own disk. New ones begin no epoch; and where anybody knows of a member, it is one:
 * so whoever begins an epoch, forgotten or not, waits for all who have drawn. And there always is one who can: a gateway leaves only where another has said
 * that it is on its own disk that it was vouched for; and only such a one can have another forgotten. What begins an epoch
 * answers to a Redis that has lost all, and counts for nothing once it has lost all again: who has said it may be one of the new by then.
 *
 * Pure: no sockets, no disk, no clock of its own. One thread. The messages are calls of the script in lua/draw.lua; one is under way at a time. */
#ifndef LUN_STATE_MEMBER_H
#define LUN_STATE_MEMBER_H
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUN_MEMBER_POLL (200 * LUN_MS)

/*  id, name, what an operator should know */
#define LUN_MEMBER_STATES(X) \
    X(APART,     "apart",     "Redis does not answer; what was drawn before can be spent") \
    X(EMPTY,     "empty",     "Redis knows nothing of these budgets, nor does this ledger: say `lunette ledger found` once, on the first gateway") \
    X(JOINING,   "joining",   "this gateway makes itself known") \
    X(WAITING,   "waiting",   "Redis has lost what it knew: nothing is drawn until these have said what they hold (or are forgotten: `lunette ledger forget`)") \
    X(NEW,       "new",       "this gateway draws once another one has its name on the disk") \
    X(OPEN,      "open",      "budgets are drawn on") \
    X(OUTDATED,  "outdated",  "a later process on the same ledger speaks for this gateway")
#define X(id, ...) LUN_MEMBER_##id,
enum lun_member_state { LUN_MEMBER_STATES(X) LUN_MEMBER_STATE_COUNT };
#undef X
const char *lun_member_state_name(enum lun_member_state);
const char *lun_member_state_text(enum lun_member_state);

enum { LUN_MEMBER_GROUP = 8 };

struct lun_member;
struct lun_member_account;          /* an account that it has, or wants, a part of */
struct lun_member_group {           /* all or nothing; embedded by who wants it, zero-initialised */
    struct lun_member_group *next; bool listed;
    int n; struct lun_member_account *accounts[LUN_MEMBER_GROUP]; int64_t more[LUN_MEMBER_GROUP];      /* beyond what it has when this is sent; > 0 */
};

/* Texts beside the money, as they are to be found on the disk again. NULL or "": none. */
struct lun_member_disk { char *members, *gone, *parts; bool vouched; int64_t before; };

struct lun_member_ports {
    void *self;
    /* Calls the script with these arguments; the answer comes as lun_member_answer or lun_member_apart, never from inside. */
    void (*send)(void *self, const char *const *arguments, int n);
    /* Puts on the disk, all at once: what these accounts have now (lun_member_has), and the texts. False: the disk fails; nothing of it holds. */
    bool (*commit)(void *self, struct lun_member_account *const *accounts, const int64_t *has, int n, const struct lun_member_disk *);
    void (*granted)(void *self, struct lun_member_account *, int64_t has, int64_t total);      /* it is on the disk. total: of all members together */
    void (*refused)(void *self, struct lun_member_group *, const char *why);            /* the group is free again, as after granting. why: SHORT, PERIOD, … */
    void (*fulfilled)(void *self, struct lun_member_group *);
    void (*total)(void *self, struct lun_member_account *, int64_t total);              /* seen in passing */
    void (*wanted)(void *self, struct lun_member_account *);                            /* somebody found too little of it: what is not held here is to be given back */
    void (*state)(void *self, enum lun_member_state, const char *who);                  /* who: the names that are waited for, or "" */
    void (*nonce)(void *self, char out[33]);                                            /* random: 32 hexadecimal digits */
    /* Of a piece of a window, before it is granted or refused: what the other members have in the window, and (wall) the first end of what that is; 0: none. */
    void (*beside)(void *self, struct lun_member_account *, int64_t abroad, lun_us ends);
};
struct lun_member_options { const char *id; uint32_t run; struct lun_member_disk disk; bool founds; };  /* founds: an operator has said that nothing was ever
                                                       there; texts copied */

struct lun_member *lun_member_new(const struct lun_member_options *, const struct lun_member_ports *);
void lun_member_free(struct lun_member *);

/* The account of that key ("total@2026-11": letters of all kinds, spaces too), made when new with what the disk says that this gateway has of it (all
 * its runs). Limit, period and its ends (wall, Redis' clock decides) are what the configuration says now; `per` is compared among members. */
struct lun_member_account *lun_member_account(struct lun_member *, const char *key, int64_t has);
void lun_member_describe(struct lun_member_account *, int64_t limit, lun_us starts, lun_us ends, const char *per);
void lun_member_end(struct lun_member_account *, lun_us ends);         /* what had no end has one */
void *lun_member_user(const struct lun_member_account *);
void lun_member_set_user(struct lun_member_account *, void *);
int64_t lun_member_has(const struct lun_member_account *);

/* What is not told any more, and not wanted, need not be kept for ever: that Redis may forget the account, here and there, once its period has ended by
 * Redis' clock. First Redis is told; it draws on no period any more that ended until then, wherever its clock steps. False: not yet, or Redis has not heard
 * of all of it; ask again. No group may name it. To describe or want it, or to set what it has, is to keep it.
 *
 * Of a window that moves along each piece is an account, and its key says so: "BUDGET@rolling+WINDOW+STARTS+LENGTH" (µs, ms, ms). Redis compares all of the
 * pieces that count beside one (core/state/period.h), and drops those that are so far behind that none does; then they can be dropped here. */
bool lun_member_drop(struct lun_member *, struct lun_member_account *);
/* At the beginning: pieces of that budget that ended by then were left out, though there may be some. */
void lun_member_left_out(struct lun_member *, const char *budget, lun_us ended);

void lun_member_want(struct lun_member *, struct lun_member_group *);          /* again while it is listed: nothing. Not freed before it is granted or refused */
/* The disk says now that it has so much: less, given back; or more, whatever the limit: a claim above its hold. */
void lun_member_set(struct lun_member *, struct lun_member_account *, int64_t has);
void lun_member_found(struct lun_member *);            /* as founds, later: an operator's word */
/* It takes effect when all the others are ready (lun_member_unready). False: nobody of that name is known, or it is this one, or nobody has vouched for this
 * one, or Redis does not answer. */
bool lun_member_forget(struct lun_member *, const char *id);

void lun_member_connected(struct lun_member *);
void lun_member_apart(struct lun_member *);            /* no connection, or no answer: what was under way may or may not have been done */
bool lun_member_answer(struct lun_member *, const char *const *items, int n);  /* false: it is none that the script gives; it is asked again at the next tick */
void lun_member_refuse(struct lun_member *);           /* an error instead of an answer: nothing was done; it is sent again at the next tick */
void lun_member_tick(struct lun_member *);             /* every LUN_MEMBER_POLL */
enum lun_member_state lun_member_state(const struct lun_member *);
bool lun_member_idle(const struct lun_member *);       /* no message is under way, and Redis knows what the disk does */
lun_us lun_member_clock(const struct lun_member *);    /* of Redis, when it last answered (wall); 0: it has not */
const char *lun_member_members(const struct lun_member *);     /* names, each between blanks; as Redis last said. Borrowed */
const char *lun_member_missing(const struct lun_member *);     /* of these who has not registered what it holds */
const char *lun_member_leaving(const struct lun_member *);     /* of these who will be gone (has left, or is to be forgotten) once all the others are ready */
const char *lun_member_unready(const struct lun_member *);     /* … and who of these is not */
/* Before its end, when nothing is spent any more and what was not is given back: it says that it leaves. It stays a member if there is nobody who has on
 * its disk that it was vouched for, and could hold its charges. */
void lun_member_leave(struct lun_member *);
bool lun_member_left(const struct lun_member *);       /* there is nothing more to say, or nobody to say it to */
#endif

/* A connection to one Redis (6 or later, or another that speaks RESP2 and runs Lua scripts), for calling scripts of one key. It connects by itself,
 * and again whenever the connection ends or Redis is silent for too long, after a pause that grows from 50 ms to 1 s, with jitter.
 *
 * All on the reactor's thread, between enter and leave; callbacks come from a task of the loop, never from inside a call. Looking up a name
 * (getaddrinfo) blocks that thread, at each connecting: not for the thread of a worker. Unless the options say otherwise one call is on the wire at a time,
 * so calls run, and are answered, in the order they were made.
 *
 * What the URL holds of a password is in no text that comes from here, and is wiped at the end. */
#ifndef LUN_WIRE_REDIS_H
#define LUN_WIRE_REDIS_H
#include "wire/reactor.h"

enum { LUN_REDIS_WAITING = 1024, LUN_REDIS_ANSWER = 1 << 20, LUN_REDIS_ITEMS = 1 << 16, LUN_REDIS_WHY = 768 };    /* calls; an answer's
                                                                    bytes and items; bytes of a reason: at most */
#define LUN_REDIS_TIMEOUT (800 * LUN_MS)

/*  id, word, what happened and what to do.  Those before CLOSED are Redis' own first word of an error; OTHER: any other of its errors */
#define LUN_REDIS_ERRORS(X) \
    X(OTHER,       "ERR",         "answers with an error") \
    X(OOM,         "OOM",         "its memory is full and nothing was changed: raise its maxmemory, or empty it of what others keep there") \
    X(READONLY,    "READONLY",    "is a replica that cannot be written to: name the master") \
    X(LOADING,     "LOADING",     "was started and still loads its data") \
    X(MASTERDOWN,  "MASTERDOWN",  "is a replica that has lost its master") \
    X(NOAUTH,      "NOAUTH",      "asks for a password: put it into the URL, as in redis://:PASSWORD@HOST") \
    X(WRONGPASS,   "WRONGPASS",   "refuses the user or the password of the URL") \
    X(NOPERM,      "NOPERM",      "does not permit this user what is needed: EVAL, EVALSHA, PING, SELECT and, inside scripts, INFO, TIME, DEL, EXISTS, EXPIRE, the commands of hashes and (cache.redis) " \
                                  "GET, SET and STRLEN, on the keys of the prefix") \
    X(BUSY,        "BUSY",        "is held up by a script of somebody's that does not end: SCRIPT KILL ends it") \
    X(NOSCRIPT,    "NOSCRIPT",    "does not know the script") \
    X(MOVED,       "MOVED",       "is a node of a cluster, and another node has these keys: name that one") \
    X(ASK,         "ASK",         "is a node of a cluster that is moving these keys to another one") \
    X(CLUSTERDOWN, "CLUSTERDOWN", "belongs to a cluster that is down") \
    X(MISCONF,     "MISCONF",     "refuses changes because it cannot save its data: see its own log") \
    X(NOREPLICAS,  "NOREPLICAS",  "refuses changes because too few of its replicas are there") \
    X(DENIED,      "DENIED",      "refuses connections from other machines (protected mode): set a password there") \
    X(CLOSED,      "CLOSED",      "has ended the connection") \
    X(SILENT,      "SILENT",      "does not answer in time") \
    X(UNREACHABLE, "UNREACHABLE", "cannot be reached") \
    X(TLS,         "TLS",         "cannot be spoken to by TLS: its certificate must be valid for this name and signed by an authority that is trusted here") \
    X(STRANGE,     "STRANGE",     "answers with what no Redis says: is it another kind of server?")
enum lun_redis_error {
#define X(id, ...) LUN_REDIS_##id,
    LUN_REDIS_ERRORS(X)
#undef X
    LUN_REDIS_ERROR_COUNT
};
const char *lun_redis_error_word(enum lun_redis_error);     /* "OOM" */
/* What kind Redis' text of an error is ("OOM command not allowed …"), also where it comes wrapped by a script (Redis 6 and Valkey 7). */
enum lun_redis_error lun_redis_error_of(const char *text);

struct lun_redis_reply {        /* borrowed until `done` returns */
    enum lun_redis_result {
        LUN_REDIS_OK,
        LUN_REDIS_ERROR,        /* the script ended with an error: what it had not written by then is not there */
        LUN_REDIS_GONE,         /* no answer came: it may have run or not */
    } result;
    enum lun_redis_error kind;  /* but for OK */
    const char *why;            /* but for OK: "redis://10.0.0.5:6379 …", a sentence without an end, printable */
    int n; const char *const *items; const size_t *lens;    /* OK: the answer, or those of its list; numbers as decimal text; NULL: nil. NUL behind each */
};

/* OK, of `least` items or more, and no nil among them: what a script of ours answers. */
bool lun_redis_is_whole(const struct lun_redis_reply *, int least);

struct lun_redis_options {
    struct lun_reactor *reactor;    /* borrowed until free */
    const char *url;                /* state/redis_address.h */
    const char *ca;                 /* rediss: a file of certificates to trust; NULL: the system's */
    lun_us timeout;                 /* of connecting, and of each call; 0: LUN_REDIS_TIMEOUT */
    lun_us silence;                 /* while calls are out, this long without a byte, instead of the time-out of each; 0: that one */
    int at_once;                    /* calls on the wire at most; those whose script Redis did not know run behind them. 0: one */
    size_t answer;                  /* bytes of an answer at most; 0: LUN_REDIS_ANSWER */
    /* The connection stands (why NULL), or not: told when that changes, or the reason. A call's failure is told to it before. */
    void (*state)(void *self, bool connected, enum lun_redis_error kind, const char *why);
    void *self;
};

struct lun_redis;
/* NULL: the URL is none, or `ca` cannot be used, as `error` says. It begins to connect in the loop's next turn. */
struct lun_redis *lun_redis_new(const struct lun_redis_options *, char error[LUN_REDIS_WHY]);
void lun_redis_free(struct lun_redis *);        /* not from a callback of its own; nobody is told any more. NULL is fine */

/* Calls the script with KEYS = { key } and ARGV = args (lens NULL: C strings): EVALSHA, and EVAL where Redis does not know it. The script is borrowed
 * until `done`, the rest is copied. `done` comes once. False, and nothing was taken: there is no connection, or too many calls wait. */
bool lun_redis_eval(struct lun_redis *, const char *script, const char *key, const char *const *args, const size_t *lens, int n,
                    void (*done)(void *self, const struct lun_redis_reply *), void *self);
#endif

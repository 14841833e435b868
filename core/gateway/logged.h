/* What a line of a request log says of a request: how it came, what was chosen by chance, how its attempts ended. Fields that are missing or of another type
 * than record.h says are as if nothing was said. Counted references; one thread. */
#ifndef LUN_GATEWAY_LOGGED_H
#define LUN_GATEWAY_LOGGED_H
#include "gateway/log_reader.h"

struct lun_ending {            /* of an attempt */
    enum lun_kind kind;
    int status;                 /* 0: none */
    lun_us took, ttft;          /* from being sent to its end, and to the first byte; ttft -1: not said */
    struct lun_usage usage;
};
struct lun_logged_attempt {
    const char *target;
    struct lun_ending outcome;
    bool sent, hedge;
    int64_t cost;               /* nano-USD */
    lun_us from, to;            /* from the request's arrival */
};
struct lun_logged {
    int references;
    struct lun_arena arena;
    int64_t line;               /* 0: of no log */
    const char *id;
    uint64_t seed;              /* what all its chances came from, where the id was made here; otherwise a hash of it */
    lun_us time;                /* wall */
    enum lun_endpoint endpoint;
    const char *model;
    bool stream;
    int64_t max_tokens;         /* -1: not said */
    const char *key, *user, *session, *task, *class;    /* NULL: not said */
    struct lun_pair *tags; int n_tags;
    const char *text; size_t text_n;                    /* NULL: it is not in the log */
    struct lun_usage usage;
    struct lun_chance *chances; int n_chances;          /* `then` alone */
    struct lun_logged_attempt *attempts; int n_attempts;
    int status;
    struct lun_json settings;   /* what the policy's were set to; {0}: all had their defaults */
    struct lun_json tape;       /* what its hooks read, where they asked others; {0}: they did not, or nobody wrote it down */
    const char *code, *target;  /* or NULL */
    bool torn, failed;          /* failed: a hook of its policy did */
    bool inner;                 /* asked by a policy itself (lunette.chat) */
    bool undecided;             /* no policy could have made anything else of it: refused as it stood, answered from the cache, only decided */
    int64_t cost;
    lun_us latency, own;        /* own: of it, what no attempt and no delayed retry took */
};

struct lun_logged *lun_logged_new(void);                            /* empty; yours to fill in */
struct lun_logged *lun_logged_read(const struct lun_log_line *);    /* copied */
struct lun_logged *lun_logged_ref(struct lun_logged *);
void lun_logged_unref(struct lun_logged *);                         /* NULL is fine */

/* Attempts that were sent one after the other, beyond the first. */
int lun_logged_retries(const struct lun_logged *);
bool lun_logged_answered(const struct lun_logged *);
#endif

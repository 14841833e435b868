/* What a client asked, and what came of it so far: the facts of one request, read by policies, plans, logs and replies.
 * One owner (a walk), one thread. Strings and arrays live in its arena; the body is borrowed until the request is over. */
#ifndef LUN_STATE_QUESTION_H
#define LUN_STATE_QUESTION_H
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/tokens.h"
#include "state/budget.h"
#include "state/outcome.h"
#include "state/plan.h"
#include "state/registry.h"
#include "state/snapshot.h"
#include "state/trace.h"

/*  id, name in policies and metrics, path below /v1, may be a stream */
#define LUN_ENDPOINTS(X) \
    X(CHAT,        "chat",        "/chat/completions", true) \
    X(COMPLETIONS, "completions", "/completions",      true) \
    X(EMBEDDINGS,  "embeddings",  "/embeddings",       false)
#define X(id, ...) LUN_ENDPOINT_##id,
enum lun_endpoint { LUN_ENDPOINTS(X) LUN_ENDPOINT_COUNT };
#undef X
const char *lun_endpoint_name(enum lun_endpoint);
const char *lun_endpoint_path(enum lun_endpoint);

/* What buys something that nobody can reckon from here, unless it is null, false or (modalities) nothing but text: another kind of output, searches,
 * input that the provider has kept, another model or a dearer way. With one of them a request has no bound; the first must be the first, the last the last. */
#define LUN_PAID_KEYS(X) \
    X(modalities) X(audio) X(web_search_options) X(search_parameters) X(enable_search) X(plugins) X(compound_custom) X(mcp_servers) X(container) \
    X(previous_response_id) X(conversation) X(cached_content) X(models) X(fallbacks) X(provider) X(speed) X(inference_geo) X(extra_body)

/* The top-level fields that routing and reckoning need, found in one pass and never decoded. */
#define LUN_ROUTING_KEYS(X) \
    X(model) X(stream) X(max_tokens) X(max_completion_tokens) X(n) X(messages) X(system) X(input) X(prompt) X(user) X(metadata) \
    X(tools) X(response_format) X(stream_options) X(prompt_cache_key) X(service_tier) X(functions) X(suffix) X(prediction) X(best_of) LUN_PAID_KEYS(X)
#define X(name) LUN_FIELD_##name,
enum lun_field { LUN_ROUTING_KEYS(X) LUN_FIELD_COUNT };
#undef X

/* What a hook can look at that is not the same for two requests with the same body, labels, task, class, tags and budget. Once a hook of a version has, all
 * its requests are told apart by it (state/cache_key.h). */
enum lun_reads {
    LUN_READS_USER = 1, LUN_READS_SESSION = 2, LUN_READS_HEADERS = 4, LUN_READS_CLIENT = 8, LUN_READS_RETRY = 16,
    LUN_READS_STREAM = 32,      /* whether a stream is wanted */
    LUN_READS_BODY = 64,        /* fields of the body that only say who asks */
};

/* Of a request that only a log tells of (gateway/replay.h): what nobody knows of it, and what of that was looked at all the same. */
enum lun_unsaid {
    LUN_UNSAID_TEXT = 1,        /* what the user said */
    LUN_UNSAID_BODY = 2,        /* the other fields of its body: tools, messages before the last */
    LUN_UNSAID_HEADERS = 4,
    LUN_UNSAID_TOKENS = 8,
    LUN_UNSAID_ANSWER = 16,     /* what models said */
    LUN_UNSAID_WISH = 32,       /* what lunette.chat and lunette.http brought */
};
/* A choice that chance made then, by the note it is logged under: how likely it was, and how likely the same choice is now, once it has come to one. */
struct lun_chance { const char *note; struct lun_json chosen; double then, now; bool met; };
struct lun_before {
    unsigned unsaid, missed;
    struct lun_chance *chances; int n_chances;
    struct lun_json tape;       /* what its hooks read then (script/tape.h); {0}: nobody wrote that down */
    bool other;                 /* chance made a choice that it did not make then */
};

/* An attempt, as the world may know it: policies, log lines, error messages. */
struct lun_trial {
    struct lun_trial *next;         /* in the order they began */
    int number;                     /* from 1, over the request */
    int try;                        /* from 1, on this target */
    const struct lun_target *target;
    const char *upstream;           /* the model's name at the provider */
    const char *warning;            /* of its step, for the client; NULL: none */
    int key;                        /* -1: none */
    bool closed, committed, hedge;  /* committed: its answer goes to the client */
    int step;                       /* of the plan, from 1; 0: a target beside it, which retry() chose */
    bool fallback;                  /* committed, though it is not that of the plan's first step */
    enum lun_kind kind;             /* once closed */
    int status;                     /* of the provider's answer; 0: none */
    enum lun_billed billed;
    const char *detail;             /* for people, or NULL; no secrets */
    const char *provider_request_id;    /* its x-request-id, or NULL */
    lun_us began, sent, first_byte, ended;  /* loop time; 0: not yet */
    lun_us lag;                     /* from the turn's beginning until it was really sent: our own time, not the provider's */
    lun_us drawn;                   /* how long it waited, its turn having come, until money was drawn for it: our own time too */
    lun_us retry_after;             /* 0: not said */
    struct lun_usage usage;
    int64_t cost, bound;            /* nano-USD: charged; held */
    enum lun_suspect suspect;       /* what about its usage cannot be true */
    const char *body; size_t body_n;    /* of a whole answer (also an error's), at most 256 KiB here; borrowed */
    const char *finish_reason;      /* of the first choice, or NULL */
    struct lun_buf events; bool too_many;   /* of a stream that may be captured (gateway/captured.h): as they were told; freed with the attempt. Too many: none */
};

enum { LUN_REQUEST_ID = 33 };       /* of its text, with its end */

struct lun_question {
    struct lun_arena *arena;
    struct lun_snapshot *snapshot;  /* the version it began with; its owner holds a reference */
    struct lun_registry *registry;
    struct lun_tuning *tuning;      /* what the policy's settings were when it began; its own reference. NULL: their defaults */
    const struct lun_loop *loop;    /* for the time */
    lun_us arrived, arrived_wall, deadline;     /* deadline: loop time */
    char id[LUN_REQUEST_ID];        /* x-lunette-request-id: the digits of `number` */
    unsigned char number[16];
    uint64_t random, seed;          /* state of its own generator: everything random about it comes from here; what that began with */

    enum lun_endpoint endpoint;
    const char *body; size_t body_n;    /* points into kept, or somewhere else that outlives the question */
    struct lun_buf kept;            /* freed with the question */
    struct lun_buf tape;            /* what its hooks read, and decided (script/tape.h), without the end "]}"; empty: nobody wants to know. Freed with it */
    _Atomic int64_t *buffered; int64_t buffered_n;  /* what is counted of it toward limits.buffered, and where; NULL: nowhere */
    struct lun_json_scan scan;      /* of the body, over lun_question_keys; one field for each of LUN_ROUTING_KEYS */
    struct lun_json_field fields[LUN_FIELD_COUNT];

    const char *model;              /* as asked, "auto" too */
    const struct lun_model *entry;  /* in the snapshot; NULL for auto */
    const char *rest;               /* what the * of a pattern stands for, "" otherwise */
    bool stream, include_usage;     /* include_usage: the client asked for it */
    int n;                          /* choices, 1 when not given */
    int64_t max_tokens;             /* -1: not given */
    bool has_tools, has_image, has_schema;

    const struct lun_client_rule *client;   /* NULL: an open gateway */
    struct lun_key *key;            /* that the client was made with at run time; its own reference. NULL: it stands in the configuration */
    uint64_t who;                   /* the client as a number; 0: open */
    const char *session, *user, *task, *class;  /* NULL: not said */
    const char *pinned;             /* previous_response_id, or NULL */
    struct lun_pair *tags; int n_tags;
    struct lun_pair *headers; int n_headers;    /* of the request, lower case, none that carry a secret */
    struct lun_charged { const char *value; struct lun_account *account; } charged[LUN_TAG_BUDGETS];   /* by snapshot->tags: state/charge.h */
    int64_t budget;                 /* nano-USD for this request; -1: not said */
    struct lun_account *own_account;    /* of that budget; freed by the owner */
    int client_retry;               /* x-stainless-retry-count; 0 */
    bool explain;                   /* asked to be logged in full */
    struct lun_trace *trace;        /* and how it was decided written down; NULL: not */
    bool decide_only;               /* nothing but a decision is wanted: over once there is a plan, nothing is sent, held or counted */
    bool inner;                     /* a policy's own question (lunette.chat): not counted among those of clients */
    bool capturing;                 /* somebody would keep its bodies, if `capture` says so */
    bool rehearsal;                 /* a trial run of hooks, before a version is adopted: functions of the host are not called */
    bool rehearsal_new;             /* in which it is new at every canary */
    bool shadow;                    /* a version is asked beside the one that decides: likewise */
    bool narrowed;                  /* `budget` has said which targets are left */
    int held;                       /* how many others need it still: lun_question_hold */
    lun_us thought;                 /* CPU time of the hooks that decided: classify, budget, select */

    const struct lun_target *const *targets; int n_targets;   /* what this key may use and can answer this endpoint; narrowed by budget */
    const bool *may;                /* the same by a target's index in the snapshot; NULL: they are few, or nobody has gathered it */
    const struct lun_target *const *asked; int n_asked;       /* those of the model named (all, for auto) */

    const char **labels; int n_labels;
    struct lun_pair *notes; int n_notes;        /* note(k, v): values are JSON texts */
    struct lun_trial *trials, **trials_tail;
    const struct lun_plan *plan;    /* what `select` or the default came to; NULL: it has not come to that */
    struct lun_dropped { struct lun_dropped *next; const struct lun_target *target; const char *why; } *dropped;    /* left out on the way */
    struct lun_grouped { struct lun_grouped *next; const struct lun_canary_rule *canary; bool is_new; uint64_t run; } *grouped;    /* canaries that it
                                       has a group of */
    struct lun_before *before;      /* NULL: it is no request of a log */
    unsigned reads;                 /* what its hooks have looked at: LUN_READS_… */
    bool policy_failed;             /* a hook failed and the default decided */
    bool retry_denied;              /* the retry budget did not allow one more */

    /* computed on first touch by the functions below */
    struct lun_survey {
        bool done, weighs;                          /* weighs: `guess` is there */
        struct lun_json last_user;                  /* its content; {0}: none */
        uint64_t beginning;                         /* hash of system, tools and messages up to the first user's */
        bool begun;
        int messages;
        bool image;                                 /* there is one */
        int64_t images;
        const char *opaque;                         /* a part that nobody can count from here (audio, a file): which; NULL: none */
        int64_t prompts;                            /* that are answered each for itself, at least 1 */
        int64_t bound;                              /* tokens of the whole input but its images, at most */
        int64_t guess;                              /* tokens of the whole input, about */
        struct lun_tokens tokens; struct lun_json known;    /* while it is taken; known: as in base/json.h */
    } survey;
    struct { bool text_done, counted, looked; uint64_t loan /* of the text; 0: it is in the arena */; const char *text; size_t n; int words, chars; bool has_code; } last_user;
};

/* How long it stood in the queue for its turn, until now if it still does. */
static inline lun_us lun_trial_waited(const struct lun_trial *t, lun_us now) { return (t->sent ? t->sent : t->ended ? t->ended : now) - t->began - t->drawn; }

extern const struct lun_json_keys lun_question_keys;

void lun_request_id(uint64_t seed, char out[LUN_REQUEST_ID]);     /* of a request that no question was made of: as one with that seed would have it */
/* The seed of the question that has this id, so that its chances fall as they did. False: the id was not made here. */
bool lun_request_seed(const char *id, uint64_t *seed);
/* Empty, with an arena of its own (whose memory is its thread's stock, if there is one), a reference to the snapshot, and the time. `seed`: what all its
 * randomness comes from, and its id. */
struct lun_question *lun_question_new(struct lun_arena_stock *, struct lun_snapshot *, struct lun_registry *, const struct lun_loop *, lun_us wall, uint64_t seed);
void lun_question_free(struct lun_question *);          /* NULL is fine; one that is held goes with the last who does */
/* It is needed beyond its request's end, for what the client said. One lun_question_free more is to come. Same thread. */
static inline void lun_question_hold(struct lun_question *q) { q->held++; }

/* What the body says in a field that is routed by; {0}: nothing. */
static inline struct lun_json lun_question_field(const struct lun_question *q, enum lun_field f)
{
    return q->body ? lun_json_of(q->body, &q->fields[f]) : (struct lun_json){0};
}

/* What the input is; the others below come from it. A few passes over the body, once. */
void    lun_question_survey(struct lun_question *);
/* The same of a value that takes a field's place, added to a survey of its own. */
void    lun_survey_add(struct lun_survey *, enum lun_endpoint, enum lun_field, struct lun_json value);
/* Tokens that a provider can count for one image at most, by the model's name there. */
int64_t lun_image_tokens(const char *upstream);
/* Of longer texts only the beginning is looked at, so that a hook that asks pays a bounded price. */
#define LUN_QUESTION_TEXT ((size_t)256 << 10)

/* Text parts of the last user message (chat), the prompt (completions) or input (embeddings; the first one), decoded; borrowed until this is asked, or words,
 * characters or code are, of another question of the same thread. */
const char *lun_question_text(struct lun_question *, size_t *n);
int     lun_question_words(struct lun_question *);
int     lun_question_chars(struct lun_question *);      /* code points without combining marks */
bool    lun_question_has_code(struct lun_question *);
int64_t lun_question_tokens(struct lun_question *);     /* of the whole input, estimated; of later requests that is done before they are asked */
int64_t lun_question_tokens_once(struct lun_question *);        /* the same for who asks of few of them */
int     lun_question_messages(struct lun_question *);
lun_us  lun_question_wall(const struct lun_question *); /* now, by the wall clock (arrival + what has passed) */
uint64_t lun_question_random(struct lun_question *);    /* 64 random bits; repeatable from the seed */
double  lun_question_random_unit(struct lun_question *);    /* [0, 1) */
void    lun_question_note(struct lun_question *, const char *key, const char *json);    /* both copied; same key: replaced */
const char *lun_question_header(const struct lun_question *, const char *name);        /* lower case; NULL: absent */
void    lun_question_read(struct lun_question *, unsigned reads);   /* a hook looks at that now: LUN_READS_…; remembered with the version too */

/* Something of that is looked at: noted where a log does not say it. */
static inline void lun_question_miss(struct lun_question *q, unsigned unsaid)
{
    if (q->before) q->before->missed |= q->before->unsaid & unsaid;
}

/* Its group at a canary, the same from the first time it is asked: whether it is new, by its `place` in [0, 1) then. */
const struct lun_grouped *lun_question_group(struct lun_question *, const struct lun_canary_rule *, double place);

/* Money: the dearest this request can cost at a target once `edits` (may be NULL) are made, as core/state/README.md lists it, and a guess. -1: its
 * price is unknown, or it holds what nobody can reckon (lun_question_unknown says what). *cap (may be NULL): the output tokens that have to be
 * written into the body for the bound to hold; -1: the body says them itself. */
int64_t lun_question_bound(struct lun_question *, const struct lun_target *, const struct lun_edit *edits, int64_t *cap);
const char *lun_question_unknown(struct lun_question *, const struct lun_edit *edits);     /* for people; static or in the arena; NULL: nothing */
unsigned lun_question_services(struct lun_question *, const struct lun_edit *edits, unsigned unsaid);   /* what it can be billed as (state/usage.h): all
                                                   where it leaves that to the provider, `unsaid` where it does not speak of it */
int64_t lun_question_output(struct lun_question *, const struct lun_target *, const struct lun_edit *edits);    /* tokens of all choices that the body
                                                   asks for at most, or the bound's cap where it says nothing; -1: nobody can tell */
int64_t lun_question_expected(struct lun_question *, const struct lun_target *);
bool    lun_question_may(const struct lun_question *, const struct lun_target *);      /* it is among its targets */
int     lun_question_accounts(struct lun_question *, struct lun_account *out[LUN_ACCOUNTS]);    /* that it counts to */
bool    lun_question_limited(struct lun_question *);    /* any of them has a hard limit */

/* The name in `models` under which a target serves this request: of the entry asked for, if the target is one of its; else the target's own. */
const char *lun_question_model_of(const struct lun_question *, const struct lun_target *);

/* The model's name at the provider for this request: a pattern's * filled in (in the arena). */
const char *lun_question_upstream(struct lun_question *, const struct lun_target *);
#endif

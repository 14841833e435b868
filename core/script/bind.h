/* How C facts are shown to policies: classes of read-only userdata, made from tables of members, and what the files of the bindings
 * share about the request whose hook is running. For policy.c, answer.c, class.c and bind_*.c; others use policy.h
 * (and lun_bind_open, to load a policy's file without running its hooks).
 *
 * A userdata begins with its class and the serial number of the request it was made for. Every access compares that with the request whose hook is
 * running now, so an object that a policy kept cannot be used for another request, nor after its own is over. Targets and providers are the
 * configuration's and live as long as the machine: there the access asks whether the request was given it. */
#ifndef LUN_SCRIPT_BIND_H
#define LUN_SCRIPT_BIND_H
#include <lauxlib.h>
#include <lua.h>
#include "base/buf.h"
#include "base/json.h"
#include "script/configured.h"
#include "script/policy.h"
#include "script/run.h"
#include "script/tape.h"
#include "script/vm.h"
#include "state/health.h"

/* ---- one request in one policy machine ---- */

struct lun_mind {
    struct lun_mind *next;              /* in its bucket */
    struct lun_policy *policy;
    struct lun_question *question;
    uint64_t serial;                    /* from 1, never used twice by a machine */
    uint64_t slice;                     /* the machine's number of this start or resume: facts looked at before may have changed */
    int objects;                        /* registry: a table of what was made for it, to be found again; LUA_NOREF: not yet */
    uint64_t kept;                      /* bits: keys of it that this request has filled; what others left is not looked at. The last: any further ones too */
    uint64_t *given; int n_given;       /* bits: the machine's own objects that it was given, by their keys; in the question's arena */
    size_t taken;                       /* bytes that its hooks have put into the question's arena */
    int draws, lines;                   /* random choices noted; lines logged */
    struct lun_run_account account;      /* CPU and memory of all its runs */
    struct lun_tape *tape;              /* what its hooks read goes there, or comes from there; NULL: neither */

    enum lun_hook hook;
    const struct lun_trial *about;
    const struct lun_outcome *outcome;
    struct lun_run *run;
    struct lun_wish wish;               /* being made; its strings lie on the run's stack */
    struct lun_thought thought;
};

/* The mind whose hook is running; raises "… can be used only inside a hook" outside of one. */
struct lun_mind *lun_bind_mind(lua_State *L, const char *what);

/* Room in the question's arena for what a policy says. Raises when its hooks have taken more than LUN_BIND_TAKES in all. */
#define LUN_BIND_TAKES ((size_t)256 << 10)
void lun_bind_take(lua_State *L, struct lun_mind *, size_t n);

/* Empty and ready: memory that survives an error's jump. One user at a time. */
struct lun_buf *lun_bind_scratch(lua_State *L);

/* ---- classes ---- */

/* A field (`get`), or a method: written in C (`call`) or in lua/targets.lua (neither). `doc` goes into policies/README.md. */
struct lun_member {
    const char *name;
    const char *arguments;              /* methods: "(i)"; NULL: a field */
    const char *type;                   /* of the value or result, for people */
    const char *doc;
    int (*get)(lua_State *L, struct lun_mind *, void *self);        /* pushes one value; 0: nil */
    lua_CFunction call;
    const struct lun_class *of;         /* a field whose value is an object of the machine's own, of this class: … */
    void *(*part)(lua_State *L, struct lun_mind *, void *self);     /* … that object, for the `get` of its members, without pushing it */
    double (*number)(void *self);       /* a field that is a number or nil: the same without Lua; NAN: nil */
    const char *lua;                    /* for editors, as LuaLS writes types. Methods: "(i: integer): string?"; fields: where `type` does not say it */
    bool fixed;                         /* on no tape (tape.h): follows from the configuration, the request's model and kind, and what is on it */
    bool (*says)(lua_State *L, int results);    /* whether what it gave is something that was said: on no tape without log.text. NULL: never */
};

/* All of them, in the order of the reference. */
#define LUN_CLASSES(X) \
    X(request) X(key) X(targets) X(target) X(provider) X(price) X(steps) X(step) X(spend) X(budget) X(attempt) X(outcome) X(decision)
enum lun_class_id {
#define X(name) LUN_CLASS_##name,
    LUN_CLASSES(X)
#undef X
    LUN_CLASS_COUNT
};

struct lun_class {
    enum lun_class_id id;
    const char *name;                   /* "request" */
    const char *doc;
    const struct lun_member *members;   /* ends with a NULL name */
    int (*item)(lua_State *L, struct lun_mind *, void *self, double i);     /* [i]; NULL: raises */
    bool (*named)(lua_State *L, struct lun_mind *, const char *name);       /* a name that is no member: pushes, or false. NULL: there is none */
    int (*count)(void *self);           /* #; NULL: raises */
    lua_CFunction concat;               /* ..; NULL: raises */
    void (*text)(struct lun_buf *, void *self);             /* tostring; NULL: its name */
    void (*which)(struct lun_buf *, void *self);            /* which of them it is, on a tape; NULL: there is one */
    const char *lua;                    /* more lines for editors: what [i], # and .. give; or NULL */
    bool free;                          /* belongs to no request: may be made at load and kept for ever */
};

#define X(name) extern const struct lun_class lun_##name##_class;
LUN_CLASSES(X)
#undef X
extern const struct lun_class *const lun_classes[];         /* by id; ends with NULL */

/* What a machine has at hand: no access looks it up in the registry by name. */
struct lun_bound {
    struct lun_buf scratch, name;                           /* name: tape.c's */
    int meta[LUN_CLASS_COUNT];                              /* registry: the metatables */
    struct lun_path {                                       /* of the field that targets were put in order by last: looked up once */
        char text[24]; size_t n;
        const struct lun_member *way[2]; int n_way;         /* what is read without Lua; … */
        size_t rest;                                        /* … from here on Lua reads */
    } path;
    struct lun_own { const void *of; void *self; int ref; } *own;       /* by key: objects that live as long as the machine */
    int n_own;
};
struct lun_bound *lun_bind_make(lua_State *L);              /* once per machine */
struct lun_bound *lun_bind_bound(lua_State *L);             /* that */

void lun_class_open(struct lun_vm *, bool taped);           /* makes all metatables, runs lua/targets.lua. Outside of runs. Taped: what is read is on tapes */
int lun_class_read(lua_State *L, struct lun_mind *, void *self, const struct lun_member *);     /* a field, by way of the tape where there is one */
bool lun_class_says(lua_State *L, int results);             /* a member's `says`: whatever it gave, but nil */
void *lun_class_new(lua_State *L, const struct lun_class *, const struct lun_mind *, size_t size);     /* pushes; zeroed but for the serial */
const struct lun_class *lun_class_of(lua_State *L, int index);             /* never raises; NULL: of none */
void *lun_class_is(lua_State *L, int index, const struct lun_class *);     /* never raises; NULL: it is none */
bool lun_class_mine(const struct lun_mind *, const void *self);            /* made for this request or given to it, or free. Never raises */
const struct lun_member *lun_class_field(const struct lun_class *, const char *name, size_t n);     /* a field of that name; NULL: there is none */
/* Raises unless it is one and belongs to the request running now. */
void *lun_class_check(lua_State *L, int index, const struct lun_class *, struct lun_mind **);

/* What was made for this request under that number: pushes it and gives true, or pushes nothing. `keep` keeps what is on top of the
 * stack and leaves it there. */
enum { LUN_KEPT_REQUEST = 1, LUN_KEPT_TARGETS, LUN_KEPT_SPEND, LUN_KEPT_OUTCOME, LUN_KEPT_KEY, LUN_KEPT_HEADERS, LUN_KEPT_TAGS, LUN_KEPT_KEY_TAGS, LUN_KEPT };
#define LUN_KEPT_ATTEMPT(number) (LUN_KEPT + (number))
bool lun_bind_kept(lua_State *L, const struct lun_mind *, int key);
void lun_bind_keep(lua_State *L, struct lun_mind *, int key);
/* The request is over: forgets all of that. `again`: its table is kept for the next request. */
void lun_bind_let_go(lua_State *L, struct lun_mind *, bool again);

/* The same of what is the configuration's: one object per machine, of use to every request that was given it, which both of these do. The userdata
 * begins with a struct lun_box_own; `of` is what it shows. */
#define LUN_OWN_TARGET(index)   (2 * (index))
#define LUN_OWN_PROVIDER(index) (2 * (index) + 1)
bool lun_bind_give(lua_State *L, struct lun_mind *, int key, const void *of);
void lun_bind_give_new(lua_State *L, struct lun_mind *, int key, const void *of);
void *lun_bind_own(lua_State *L, int key, const void *of);  /* the object, not given to anybody; NULL: not made yet */

/* "expected X, got Y" about a value, in words: its type, and for userdata its class. Static or in the given room. */
const char *lun_bind_type(lua_State *L, int index);
/* The value at `index`, a name perhaps, as a message can show it: clipped, without control characters. */
const char *lun_bind_shown(lua_State *L, int index, char out[64]);
/* Raises "<what> has no option 'x' (did you mean …)" for a key of the table at `index` that is not one of the names. */
void lun_bind_names(lua_State *L, int index, const char *what, const char *const *names, size_t n);
int lun_bind_nil(lua_State *L, const char *why);            /* pushes nil and why: `return lun_bind_nil(L, "too_large");` */
/* " (did you mean 'x'?)", or "". `out` takes 96 bytes. */
const char *lun_bind_hint(const char *name, const char *const *list, size_t n, char out[96]);
/* Pushes a number of seconds, nil for `unknown`, math.huge for LUN_NEVER; USD out of nano-USD, nil when negative. */
int lun_push_seconds(lua_State *L, lun_us time, lun_us unknown);
int lun_push_usd(lua_State *L, int64_t nano);
double lun_usd(int64_t nano);           /* that number; NAN: nil */
int lun_push_known(lua_State *L, double);       /* NAN: nil */
int lun_push_text(lua_State *L, const char *text);          /* nil for NULL */
int lun_push_pairs(lua_State *L, const struct lun_pair *, int n);   /* read-only */

/* ---- objects ---- */

/* How every userdata begins that a policy can come by: what it is (NULL: a table of lun_sandbox_freeze), and whose. */
struct lun_box { const struct lun_class *class; uint64_t serial; };
#define LUN_SERIAL_OWN UINT64_MAX                           /* the machine's own: … */
struct lun_box_own { struct lun_box box; int key; };        /* … this says who was given it */

/* item: its own, or those that a request has. */
struct lun_set { struct lun_box box; int n; const struct lun_target *const *item, *own[]; };
struct lun_steps { struct lun_box box; int n; struct lun_step item[]; };

void lun_push_request(lua_State *L, struct lun_mind *);
void lun_push_targets(lua_State *L, struct lun_mind *);     /* all of the request's */
struct lun_set *lun_push_set(lua_State *L, struct lun_mind *, const struct lun_target *const *, int n);     /* copied; NULL: room for so many in own */
struct lun_set *lun_push_set_of(lua_State *L, struct lun_mind *, const struct lun_target *const *, int n);    /* borrowed: they last as long as the request */
void lun_push_target(lua_State *L, struct lun_mind *, const struct lun_target *);
void *lun_target_self(lua_State *L, struct lun_mind *, const struct lun_target *);     /* its userdata, for the `get` of a member */
void lun_push_provider(lua_State *L, struct lun_mind *, const struct lun_provider *);
void lun_push_spend(lua_State *L, struct lun_mind *);
const char *lun_budget_called(const void *self);            /* a budget userdata's: "key app" */
void lun_push_attempt(lua_State *L, struct lun_mind *, const struct lun_trial *);
void lun_push_outcome(lua_State *L, struct lun_mind *);
const struct lun_trial *lun_attempt_at(lua_State *L, int index);                            /* an attempt userdata's; NULL: it is none */
const struct lun_target *lun_target_at(lua_State *L, int index, const struct lun_mind *);   /* a target userdata's; NULL: it is none */
int lun_steps_concat(lua_State *L);                         /* `..` of targets, steps and target */
int lun_targets_steps(lua_State *L);                        /* `targets:steps{…}` */
void lun_targets_helpers(lua_State *L);                     /* pushes the table that lua/targets.lua is given */
const struct lun_step *lun_step_at(lua_State *L, int index, const struct lun_mind *);       /* a step userdata's; NULL: it is none */
struct lun_step lun_step_of(const struct lun_target *);     /* with nothing set */

/* What can be said of a step besides its target. */
struct lun_step_option { const char *name, *lua, *doc; };
extern const struct lun_step_option lun_step_option_words[];    /* ends with a NULL name */

/* Options of a step in the table at `index` (raw reads), `target` left out. False: `problem` (200 bytes) says what is wrong. Never raises
 * outside of a run. */
bool lun_step_options(lua_State *L, int index, struct lun_mind *, struct lun_step *, char problem[200]);

/* ---- decisions ---- */

struct lun_decision {                   /* what lunette.next() and its like give */
    struct lun_box box;                 /* its serial 0: made of nothing of a request */
    enum lun_verb verb;
    lun_us delay;
    const struct lun_target *target;    /* TRY */
    int status, n;                      /* REFUSE: 0 means the hook's own; DEGRADE: n targets, kept in `item` */
    char message[504];
    const struct lun_target *item[];
};

/* What a hook returned, on the stack at `index`, as an answer. False: `problem` (400 bytes) says what is wrong with it. Never raises: it is
 * called outside of runs. */
bool lun_decision_read(lua_State *L, int index, struct lun_mind *, enum lun_hook, struct lun_answer *, char problem[400]);

/* ---- the module ---- */

/* One function of `lunette`. */
struct lun_function {
    const char *name;                   /* "store.get" */
    const char *arguments, *result, *doc;
    lua_CFunction call;                 /* NULL: written in lua/lunette.lua */
    const char *lua;                    /* for editors, as in lun_member */
    bool fixed;                         /* the same */
};
extern const struct lun_function lun_functions[];           /* ends with a NULL name */
int lun_chance_random(lua_State *L);
int lun_chance_pick(lua_State *L);
int lun_chance_split(lua_State *L);
int lun_chance_canary(lua_State *L);
int lun_chance_hash(lua_State *L);
int lun_words_keywords(lua_State *L);
int lun_predict_function(lua_State *L);
int lun_chance_backoff(lua_State *L);
int lun_store_get_function(lua_State *L);
int lun_store_set_function(lua_State *L);
int lun_store_incr_function(lua_State *L);
int lun_decide_again(lua_State *L);
int lun_decide_next(lua_State *L);
int lun_decide_try(lua_State *L);
int lun_decide_stop(lua_State *L);
int lun_decide_refuse(lua_State *L);
int lun_decide_degrade(lua_State *L);      /* for lua/lunette.lua: of a set */
int lun_decide_targets(lua_State *L);      /* for lua/lunette.lua: all targets of the request */
int lun_charge_function(lua_State *L);
int lun_wish_sleep(lua_State *L);
int lun_wish_http(lua_State *L);
int lun_wish_chat(lua_State *L);
int lun_wish_push(lua_State *L, const struct lun_wish *, const struct lun_wish_result *);   /* results of a wish, onto an empty stack */
int lun_json_decode_function(lua_State *L);
int lun_json_encode_function(lua_State *L);
int lun_json_array_function(lua_State *L);

/* Shows those functions as `lunette.host.NAME`, borrowed as long as the machine lives; none before it is called, and in a machine of which it is
 * not. After lun_bind_open, outside of runs, before the lock. */
struct lun_host_function;
void lun_bind_host(struct lun_vm *, const struct lun_host_function *, int n);

/* Shows `require "lunette"`, classes and all, to a sandboxed machine: enough to load a policy; hooks need a mind. The configuration, for
 * `lunette.has_model`, is borrowed as long as the machine lives; NULL: there is none to ask. Outside of runs, before the lock. */
void lun_bind_open(struct lun_vm *, const struct lun_snapshot *);
/* The reference of everything a policy can see, in Markdown, for policies/README.md; and the table of hooks. */
void lun_bind_reference(struct lun_buf *);
void lun_bind_hooks_reference(struct lun_buf *);

/* What is to be said of each hook. */
struct lun_hook_words {
    const char *asked, *gets, *answers; /* for people, in Markdown */
    const char *lua;                    /* for editors, as in lun_member */
};
extern const struct lun_hook_words lun_hook_words[LUN_HOOK_COUNT];

/* ---- JSON ---- */

#define LUN_BIND_TEXT ((size_t)256 << 10)   /* more is not decoded for a policy */
/* Pushes the value (checked before); false: nothing was pushed, *why says why ("too_large"). Inside a run it may raise. */
bool lun_push_json(lua_State *L, struct lun_json, const char **why);
/* Appends the value at `index`, of plain data, at most `most` bytes. NULL, or what is wrong with it. Raw reads; raises only inside a
 * run, when that has to be stopped. */
const char *lun_bind_encode(lua_State *L, int index, struct lun_buf *, size_t most);

/* Whether the table at `index` is marked as a list, so that an empty one is written as []; and marks the one on top of the stack. */
bool lun_bind_is_list(lua_State *L, int index);
void lun_bind_mark_list(lua_State *L);

/* The same for our own code (cjson.c), of any size and as deep as the scanner lets through: null stays lunette.null in objects too, a list with
 * few holes is filled with null, lone surrogates come out as they went in,
 * and so does a number that is more than a double (9007199254740993, 1e400, 1.0), as long as it stands where it stood. False: too deep. */
bool lun_push_json_whole(lua_State *L, struct lun_json);
const char *lun_bind_encode_whole(lua_State *L, int index, struct lun_buf *out);

/* ---- the policy ---- */

struct lun_registry *lun_policy_registry(const struct lun_policy *);
/* Pushes what a setting is tuned to, or else its default; false: there is none of that name. */
bool lun_policy_setting(struct lun_policy *, lua_State *L, const struct lun_tuning *, const char *name);
const struct lun_log *lun_policy_log(const struct lun_policy *);    /* where lunette.log writes; NULL: nowhere */
/* A method of `targets` was given a name that the configuration has nowhere: warned of once per name and machine (of the first 16), and noted as
 * unknown_model, unknown_target or unknown_provider in the request's log line (the first of each). */
void lun_policy_unknown(struct lun_mind *, enum lun_named, const char *name);
void lun_policy_suggest(struct lun_policy *, lua_State *L, const char *name, char out[96]);      /* the nearest setting, as lun_bind_hint says it */
#endif

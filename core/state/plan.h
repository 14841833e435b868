/* What a policy can decide: plans made of steps, and the answer of each hook. Made by script/ (from Lua), checked and filled in by
 * gateway/plan, walked by gateway/request. Everything lives in the question's arena. */
#ifndef LUN_STATE_PLAN_H
#define LUN_STATE_PLAN_H
#include "base/clock.h"
#include "state/snapshot.h"

/*  id, name of the function in a policy file */
#define LUN_HOOKS(X) X(CLASSIFY, "classify") X(BUDGET, "budget") X(SELECT, "select") X(JUDGE, "judge") X(RETRY, "retry") X(FINISH, "finish")
#define X(id, name) LUN_HOOK_##id,
enum lun_hook { LUN_HOOKS(X) LUN_HOOK_COUNT };
#undef X
const char *lun_hook_name(enum lun_hook);

/* A change to a top-level field of the body, spliced by offset. */
struct lun_edit {
    struct lun_edit *next;
    enum { LUN_EDIT_SET, LUN_EDIT_DROP, LUN_EDIT_RENAME } what;
    const char *field;
    const char *value;          /* SET: JSON text; RENAME: the new name */
};

#define LUN_EDITS 64            /* of one step: for each the body may have to be looked through */

#define LUN_UNSET ((lun_us)-1)
struct lun_step {
    const struct lun_target *target;
    lun_us connect, first_byte, idle, total;    /* LUN_UNSET: the provider's; filled in before the walk sees it */
    lun_us hedge_after;         /* 0: no hedge */
    lun_us wait;                /* how long to queue for a slot, and for its target to be rested; LUN_UNSET: for a slot alone, up to the
                                   deadline when it is the last, else 0 */
    const char *warning;        /* for the client, when this step answers; NULL: none */
    const struct lun_edit *edits;
};
#define LUN_STEPS 64            /* a plan longer than that is cut, and noted */
struct lun_plan { int n; struct lun_step *steps; };

enum lun_verb {
    LUN_DEFAULT,                /* nil, or no hook, or a hook that failed */
    LUN_AGAIN, LUN_NEXT, LUN_TRY, LUN_STOP,     /* retry (NEXT: judge too) */
    LUN_REFUSE,                 /* budget, judge; also select and classify */
    LUN_DEGRADE,                /* budget: only `targets` from now on */
    LUN_PLAN,                   /* select */
};
struct lun_answer {
    enum lun_verb verb;
    lun_us delay;               /* AGAIN, TRY, NEXT */
    struct lun_step step;       /* TRY */
    struct lun_plan plan;       /* PLAN; may be empty */
    const struct lun_target **targets; int n_targets;   /* DEGRADE, in order */
    int status; const char *message;    /* REFUSE */
    const char **labels; int n_labels;  /* classify */
};
#endif

/* The machines of one version for one worker: its policy, the dialects of its providers, the scripts of simulated ones. Made on any thread, so
 * that no worker has to wait for a file to be compiled; used on the worker's; freed on any, because that may take milliseconds. */
#ifndef LUN_GATEWAY_KIT_H
#define LUN_GATEWAY_KIT_H
#include "script/policy.h"
#include "script/redact.h"
#include "script/scenario.h"

struct lun_dialects;            /* gateway/translate.h */
struct lun_kit {
    struct lun_snapshot *snapshot;      /* with a reference */
    struct lun_policy *policy;
    struct lun_dialects *dialects;
    struct lun_scenarios *scenarios;
    struct lun_redact *redact;          /* of what is captured; NULL: there is none */
    struct lun_shadow *shadow;          /* of which it is one, with a reference: gateway/shadow.h; NULL: of none */
    struct lun_tls *tls;                /* for who connects to `listen`; NULL: plain */
};

/* NULL: `error` (yours to free) says what, with file and line. The snapshot is bound to the registry. */
struct lun_kit *lun_kit_new(struct lun_snapshot *, struct lun_registry *, enum lun_policy_limits, const struct lun_log *, char **error);
void lun_kit_free(struct lun_kit *);    /* nothing runs in it any more. NULL is fine */
#endif

/* Asks providers for GET /models with each of their keys, all at the same time, before there are workers: for `lunette check --keys`, and at the
 * start for providers with `check_keys`. Waits for the answers, at most as long as the longest probe.timeout. */
#ifndef LUN_GATEWAY_KEYS_H
#define LUN_GATEWAY_KEYS_H
#include "base/log.h"
#include "gateway/probe_call.h"

struct lun_key_check {
    const struct lun_provider *provider;
    int key;                            /* -1: it has none, and was asked without */
    bool simulated;                     /* a script plays it: it was not asked */
    enum lun_probe_result result; enum lun_kind kind; int status;
    int models;                         /* in its list; -1: it gave none that could be read */
    const char **missing; int n_missing;    /* `model` of targets that the list does not have: borrowed from the snapshot */
};
struct lun_key_checks { struct lun_key_check *at; int n; };

/* `all` false: only providers with `check_keys`. The snapshot is bound to the registry. False: `error` (yours to free) says why nobody could be
 * asked. Nothing is changed: what follows from it is the caller's. */
bool lun_keys_check(struct lun_snapshot *, struct lun_registry *, bool all, struct lun_key_checks *, char **error);
void lun_key_checks_free(struct lun_key_checks *);
/* What it means, for people; static. */
const char *lun_key_check_words(const struct lun_key_check *);

/* At the start: keys that are refused are out from the beginning; who could not be asked is a warning in the log. */
void lun_keys_check_first(struct lun_snapshot *, struct lun_registry *, const struct lun_log *);
#endif

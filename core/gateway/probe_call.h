/* One question of the gateway's own to a provider: a GET, or a tiny completion that is held and billed to `total`. It is sent as the provider's
 * dialect sends a call: its way to say the key, its headers. Nothing that it comes to is told to health, metrics or logs: its owner does that. */
#ifndef LUN_GATEWAY_PROBE_CALL_H
#define LUN_GATEWAY_PROBE_CALL_H
#include "gateway/upstreams.h"
#include "state/health.h"

struct lun_probe_ways {         /* how it gets there; all borrowed */
    struct lun_loop *loop;
    struct lun_snapshot *snapshot;
    struct lun_registry *registry;
    const struct lun_upstreams *upstreams;
    lun_us (*wall)(void *self); void *wall_self;    /* NULL: the system's */
};
struct lun_probe_ask {
    const struct lun_provider *provider;
    int key;                    /* -1: none */
    const char *path;           /* of a GET, behind base_url */
    const struct lun_target *target; int max_tokens;    /* of a completion; target NULL: a GET */
    lun_us timeout;
    size_t keep;                /* bytes of a GET's answer that are kept; what is more is passed over */
};
struct lun_probe_call;
struct lun_probe_answer {       /* borrowed until free */
    enum lun_probe_result result;
    enum lun_kind kind; int status;     /* status 0: no answer came */
    const char *body; size_t n;
    int64_t cost;               /* nano-USD */
    lun_us began;
};
/* `done` is told once, from the loop's drain and never before this has returned; it may free the call, which otherwise goes on being its
 * owner's. A free before that gives the question up: a completion under way is then billed as one that was cancelled. */
struct lun_probe_call *lun_probe_call_new(const struct lun_probe_ways *, const struct lun_probe_ask *,
                                          void (*done)(void *self, struct lun_probe_call *, const struct lun_probe_answer *), void *self);
void lun_probe_call_free(struct lun_probe_call *);

/* Whether there is a way to that provider: one that is played by a script needs another than the network. */
bool lun_probe_reaches(const struct lun_probe_ways *, const struct lun_provider *);
/* A key that nothing speaks against; -1: the provider has none. */
#define LUN_PROBE_ALL_OUT (-2)
int lun_probe_key(const struct lun_provider *);

/* What an answer means, or its absence. Pure. */
enum lun_probe_result lun_probe_result_of(enum lun_kind, int status);
#endif

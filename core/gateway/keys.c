#include "gateway/keys.h"
#include "base/alloc.h"
#include "base/json.h"
#include "gateway/carrier_network.h"
#include "gateway/translate.h"
#include "state/registry.h"
#include <stdlib.h>
#include <string.h>

#define LIST ((size_t)8 << 20)          /* bytes of a list of models */

struct asking;
struct one { struct asking *of; struct lun_key_check *check; struct lun_probe_call *call; };
struct asking {
    struct lun_reactor *reactor;
    struct lun_upstream *upstream;
    struct lun_carrier *network;
    struct lun_dialects *dialects;
    struct lun_upstreams upstreams;
    struct lun_probe_ways ways;
    struct one *ones; int n, open;
};

/* ---- the list of models ---- */

/* OpenAI's and those who took it over: { data = { { id } } }; Google's: { models = { { name = "models/…" } } }. */
static struct lun_json list_in(const char *body, size_t n, const char **member)
{
    static const struct lun_json_keys no_keys;
    struct lun_json_scan scan;
    struct lun_json all = { body, n }, list;
    if (!n || !lun_json_scan(body, n, &no_keys, NULL, &scan)) return (struct lun_json){0};
    *member = "id";
    if (lun_json_type(list = lun_json_get(all, "data")) == LUN_JSON_ARRAY) return list;
    *member = "name";
    if (lun_json_type(list = lun_json_get(all, "models")) == LUN_JSON_ARRAY) return list;
    return (struct lun_json){0};
}

static bool listed(struct lun_json list, const char *member, const char *model)
{
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        struct lun_buf name = {0};
        bool is = lun_json_string(lun_json_get(e.value, member), false, &name);
        const char *text = lun_buf_text(&name);
        is = is && (!strcmp(text, model) || (!strncmp(text, "models/", 7) && !strcmp(text + 7, model)));
        lun_buf_free(&name);
        if (is) return true;
    }
    return false;
}

static void note_missing(struct lun_key_check *c, const char *model)
{
    for (int i = 0; i < c->n_missing; i++) if (!strcmp(c->missing[i], model)) return;
    c->missing = lun_realloc(c->missing, (size_t)(c->n_missing + 1) * sizeof *c->missing);
    c->missing[c->n_missing++] = model;
}

static void read_list(const struct lun_snapshot *s, struct lun_key_check *c, const struct lun_probe_answer *a)
{
    const char *member;
    struct lun_json list = list_in(a->body, a->n, &member), more = {0};
    if (!list.at) return;
    c->models = (int)lun_json_count(list);
    more = lun_json_get((struct lun_json){ a->body, a->n }, "has_more");
    if (lun_json_type(more) == LUN_JSON_TRUE || lun_json_get((struct lun_json){ a->body, a->n }, "nextPageToken").at) return;     /* its first page */
    for (int i = 0; i < s->n_targets; i++) {
        const struct lun_target *t = &s->targets[i];
        if (t->provider == c->provider && !strchr(t->upstream, '*') && !listed(list, member, t->upstream)) note_missing(c, t->upstream);
    }
}

/* ---- asking ---- */

static void answered(void *self, struct lun_probe_call *call, const struct lun_probe_answer *a)
{
    struct one *o = self;
    struct lun_key_check *c = o->check;
    (void)call;
    c->result = a->result, c->kind = a->kind, c->status = a->status;
    if (a->result == LUN_PROBE_GOOD) read_list(o->of->ways.snapshot, c, a);
    if (!--o->of->open) lun_reactor_stop(o->of->reactor);
}

static bool open_asking(struct asking *a, struct lun_snapshot *s, struct lun_registry *registry, char **error)
{
    if ((a->reactor = lun_reactor_new(NULL))) {
        lun_reactor_enter(a->reactor);
        a->upstream = lun_upstream_new(a->reactor, NULL);
        lun_reactor_leave(a->reactor);
    }
    if (!a->upstream) *error = lun_strdup("the system gives no event loop (out of file descriptors?), or this libcurl cannot be used");
    else if ((a->network = lun_carrier_network_new(a->upstream, s, error))) a->dialects = lun_dialects_new(s, error);
    a->upstreams = (struct lun_upstreams){ .network = a->network, .dialects = a->dialects };
    a->ways = (struct lun_probe_ways){ .loop = a->reactor ? &a->reactor->loop : NULL, .snapshot = s, .registry = registry, .upstreams = &a->upstreams };
    return a->dialects;
}

static void close_asking(struct asking *a)
{
    if (a->reactor) lun_reactor_enter(a->reactor);
    for (int i = 0; i < a->n; i++) if (a->ones[i].call) lun_probe_call_free(a->ones[i].call);
    lun_carrier_network_free(a->network);
    lun_dialects_free(a->dialects);
    if (a->upstream) lun_upstream_free(a->upstream);
    if (a->reactor) lun_reactor_leave(a->reactor);
    lun_reactor_free(a->reactor);
    free(a->ones);
}

static void ask(struct asking *a, struct lun_key_checks *checks)
{
    a->ones = lun_zalloc((size_t)(checks->n + 1) * sizeof *a->ones);
    lun_reactor_enter(a->reactor);
    for (int i = 0; i < checks->n; i++) {
        struct lun_key_check *c = &checks->at[i];
        struct one *o = &a->ones[a->n++];
        *o = (struct one){ .of = a, .check = c };
        if (c->simulated) continue;
        lun_us limit = c->provider->probe.timeout;
        a->open++;
        o->call = lun_probe_call_new(&a->ways, &(struct lun_probe_ask){ .provider = c->provider, .key = c->key, .path = "/models", .keep = LIST,
                                     .timeout = limit ? limit : LUN_DEFAULT_PROBE_TIMEOUT }, answered, o);
    }
    lun_reactor_leave(a->reactor);
    if (a->open) lun_reactor_run(a->reactor);
}

static void list_checks(const struct lun_snapshot *s, bool all, struct lun_key_checks *out)
{
    for (int i = 0; i < s->n_providers; i++) {
        const struct lun_provider *p = &s->providers[i];
        if (!all && (!p->check_keys || !p->n_keys || p->script)) continue;
        for (int key = p->n_keys ? 0 : -1; key < p->n_keys; key++) {
            out->at = lun_realloc(out->at, (size_t)(out->n + 1) * sizeof *out->at);
            out->at[out->n++] = (struct lun_key_check){ .provider = p, .key = key, .simulated = p->script, .models = -1 };
        }
    }
}

bool lun_keys_check(struct lun_snapshot *s, struct lun_registry *registry, bool all, struct lun_key_checks *out, char **error)
{
    struct asking a = {0};
    *out = (struct lun_key_checks){0};
    list_checks(s, all, out);
    if (!out->n) return true;
    bool good = open_asking(&a, s, registry, error);
    if (good) ask(&a, out);
    close_asking(&a);
    return good;
}

void lun_key_checks_free(struct lun_key_checks *c)
{
    for (int i = 0; i < c->n; i++) free(c->at[i].missing);
    free(c->at);
    *c = (struct lun_key_checks){0};
}

const char *lun_key_check_words(const struct lun_key_check *c)
{
    if (c->simulated) return "is simulated: not asked";
    switch (c->result) {
    case LUN_PROBE_GOOD:    return c->key < 0 ? "answers, without a key" : "is accepted";
    case LUN_PROBE_REFUSED: return c->key < 0 ? "wants a key, and none is configured" : "is refused: set another one";
    case LUN_PROBE_FAILED:  return c->status ? "could not be asked about: the provider is not well, or busy" : lun_kind_text(c->kind);
    default: break;
    }
    return c->status == 403 ? "may not list models, which says nothing of what else it may" : "is not known: the provider has no GET /models that says so";
}

void lun_keys_check_first(struct lun_snapshot *s, struct lun_registry *registry, const struct lun_log *log)
{
    struct lun_key_checks checks;
    char *error = NULL;
    if (!lun_keys_check(s, registry, false, &checks, &error)) lun_log(log, LUN_LOG_WARN, "keys could not be checked: %s", error);
    free(error);
    for (int i = 0; i < checks.n; i++) {
        const struct lun_key_check *c = &checks.at[i];
        if (c->result == LUN_PROBE_NONE) continue;
        lun_metrics_add(registry->metrics, LUN_METRIC_PROBES, (const char *[]){ c->provider->name, lun_probe_result_name(c->result) }, 1);
        lun_health_key_checked(c->provider, c->key, true);
        if (c->result == LUN_PROBE_REFUSED) lun_health_key_out(c->provider, c->key);        /* which the prober says */
        else if (c->result != LUN_PROBE_GOOD)
            lun_log(log, LUN_LOG_WARN, "provider %s: the key %s could not be checked (%s): it is used all the same", c->provider->name, c->provider->keys[c->key].name, lun_key_check_words(c));
        else lun_log(log, LUN_LOG_INFO, "provider %s accepts the key %s", c->provider->name, c->provider->keys[c->key].name);
    }
    lun_key_checks_free(&checks);
}

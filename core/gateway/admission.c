#include "gateway/admission.h"
#include "base/decimal.h"
#include "base/http.h"
#include "gateway/presented.h"
#include "state/limit.h"
#include <string.h>

bool lun_admission_is_open(const struct lun_snapshot *s, const struct lun_keyring *ring)
{
    return !s->n_clients && !s->clients_said && !(ring && ring->n);
}

/* Whoever holds a key that is no longer valid is told so: he has to do something else than who mistyped it. */
static const char *refusal(enum lun_key_standing stands)
{
    switch (stands) {
    case LUN_KEY_EXPIRED:  return "This key has expired: ask for another one.";
    case LUN_KEY_REPLACED: return "This key was replaced by a new one, and its time is over: use the new one.";
    case LUN_KEY_REVOKED:  return "This key was revoked: ask for another one.";
    default:               return "The key is not known here.";
    }
}

/* One that was made at run time. NULL: he may ask; otherwise why not. */
static const char *take_made(const struct lun_station *s, const unsigned char hash[LUN_KEY_HASH], struct lun_admitted *a)
{
    enum lun_key_standing stands;
    struct lun_key *k = lun_keyring_find(s->keyring, hash, s->wall ? s->wall(s->wall_self) : lun_clock_wall(), &stands);
    if (stands != LUN_KEY_VALID) return refusal(stands);
    a->own = k->rule;
    a->own.team = k->team ? lun_snapshot_team(s->snapshot, k->team) : NULL;
    if (k->team && !a->own.team) return "The team of this key is not in the configuration any more, so its budget is not known: the key cannot be used until it is.";
    a->rule = &a->own;
    a->key = k;
    return NULL;
}

bool lun_admission_key(const struct lun_station *s, const char *key, size_t n, struct lun_admitted *a, struct lun_error *e)
{
    unsigned char hash[LUN_KEY_HASH];
    const char *why = "The key is not known here.";
    a->rule = NULL, a->key = NULL;
    if (lun_admission_is_open(s->snapshot, s->keyring)) return true;
    if (!n) why = "There is no key: only who has one may ask here.";
    else if (lun_presented_hash(s->presented, key, n, hash)) {
        a->rule = lun_snapshot_client(s->snapshot, hash);
        why = a->rule ? NULL : take_made(s, hash, a);
        explicit_bzero(hash, sizeof hash);
    }
    if (why) *e = (struct lun_error){ .code = LUN_CODE_INVALID_KEY, .message = why };
    return !why;
}

struct lun_incoming lun_admission_copy(struct lun_question *q, const struct lun_pair *headers, int n_headers, const char *body, size_t n)
{
    struct lun_pair *copy = lun_arena_alloc(q->arena, (size_t)(n_headers + 1) * sizeof *copy);
    for (int i = 0; i < n_headers; i++) {
        const char *name = lun_http_lower(lun_arena_strdup(q->arena, headers[i].name));
        copy[i] = (struct lun_pair){ name, lun_header_is_secret(name) ? "" : lun_arena_strdup(q->arena, headers[i].value) };
    }
    lun_buf_add(&q->kept, body, n);
    return (struct lun_incoming){ .headers = copy, .n_headers = n_headers, .body = lun_buf_text(&q->kept), .n = n };
}

static bool within_rate(const struct lun_client_rule *rule, lun_us now, struct lun_error *e)
{
    lun_us wait = rule ? lun_limit_client(rule, now) : 0;
    if (wait) *e = (struct lun_error){ .code = LUN_CODE_RATE_LIMITED, .retry_after = wait, .message = "This key's requests per minute are used up." };
    return !wait;
}

bool lun_admission_question(struct lun_question *q, const struct lun_incoming *in, struct lun_error *e)
{
    return lun_recognise(q, in, e) && within_rate(in->client, q->loop->now, e);
}

static void count(const struct lun_station *s, int code)
{
    char status[LUN_DECIMAL_ROOM];
    lun_metrics_add(s->registry->metrics, LUN_METRIC_REFUSED, (const char *[]){ lun_decimal_text(status, code) }, 1);
}

void lun_admission_refuse(struct lun_station *s, struct lun_question *q, const struct lun_error *e, const struct lun_client *client, void *self)
{
    struct lun_buf body = {0};
    char id[LUN_REQUEST_ID];
    struct lun_pair headers[LUN_REPLY_BARE];
    struct lun_head head = { .status = e->status ? e->status : lun_code_status(e->code), .headers = headers, .n_headers = LUN_REPLY_BARE };
    struct lun_error told = *e;
    if (!q) lun_station_id(s, id);
    lun_reply_bare(id, headers);
    told.id = id;
    lun_reply_error_body(q, &told, &body);
    head.length = (int64_t)body.n;
    if (q) lun_reply_head(q, head.status, "application/json", NULL, NULL, e, head.length, &head);
    if (client) {
        client->head(self, &head);
        client->bytes(self, body.at, body.n);
        client->end(self, LUN_CLEAN, NULL, 0);
    }
    lun_buf_free(&body);
    if (q) lun_station_refused(s, q, e);
    else count(s, head.status);
}

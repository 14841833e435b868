#include "gateway/view.h"
#include "base/json.h"
#include "base/loop.h"
#include "state/doubt.h"
#include "state/health.h"
#include <math.h>

/* Milliseconds; null where it is not known. */
static void put_ms(struct lun_buf *out, const char *key, lun_us t, lun_us unknown)
{
    lun_json_member_number(out, key, t == unknown ? NAN : (double)t / 1000);
}

/* ---- providers ---- */

static void put_rest(struct lun_buf *out, lun_us until, lun_us now)
{
    if (until == LUN_NEVER) lun_json_member_text(out, "rests", "until somebody acts");
    else if (until > now) put_ms(out, "rests_ms", until - now, -1);
}

static void put_target(const struct lun_target *t, lun_us now, struct lun_buf *out)
{
    struct lun_health_view v;
    char recent[LUN_HEALTH_RECENT];
    lun_health_look(t, now, &v);
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", t->name);
    lun_json_member_text(out, "model", t->model);
    lun_json_member_text(out, "upstream", t->upstream);
    lun_json_member_bool(out, "healthy", v.healthy);
    lun_json_member_text(out, "circuit", lun_circuit_name(v.circuit));
    put_rest(out, v.rests_until, now);
    if (lun_doubt_of(t)) lun_json_member_text(out, "closed_to_limits", lun_suspect_name(lun_doubt_of(t)));
    lun_json_member_int(out, "in_flight", v.in_flight);
    lun_json_member_int(out, "failures_in_a_row", v.failures_in_a_row);
    lun_json_member_int(out, "attempts", v.requests);
    lun_json_member_int(out, "failures", v.failures);
    lun_json_member_number(out, "success_rate", v.success_rate);
    lun_health_recent(t, recent);
    lun_json_member_text(out, "recent", recent);
    put_ms(out, "latency_ms", v.latency, 0);
    put_ms(out, "ttft_ms", v.ttft, 0);
    int64_t left = lun_limit_requests_left(t, now);
    if (left >= 0) lun_json_member_int(out, "requests_left", left);
    if ((left = lun_limit_tokens_left(t, now)) >= 0) lun_json_member_int(out, "tokens_left", left);
    lun_buf_putc(out, '}');
}

static void put_keys(const struct lun_provider *p, struct lun_buf *out)
{
    lun_json_put_key(out, "keys");
    lun_buf_putc(out, '[');
    for (int i = 0; i < p->n_keys; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        lun_json_member_text(out, "secret", p->keys[i].name);
        lun_json_member_bool(out, "in_use", !lun_health_key_is_out(p, i));
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

static void put_probe(const struct lun_provider *p, lun_us now, struct lun_buf *out)
{
    struct lun_probe_view last = lun_health_last_probe(p);
    if (!p->probe.every) return;
    lun_json_put_key(out, "probe");
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "with", p->probe.completion ? "completion" : "models");
    put_ms(out, "every_ms", p->probe.every, -1);
    if (last.at) put_ms(out, "ago_ms", now - last.at, -1);
    lun_json_member_text(out, "result", lun_probe_result_name(last.at ? last.result : LUN_PROBE_NONE));
    if (last.at && last.status) lun_json_member_int(out, "status", last.status);
    lun_buf_putc(out, '}');
}

static void put_provider(const struct lun_snapshot *s, const struct lun_provider *p, lun_us now, struct lun_buf *out)
{
    struct lun_provider_view v;
    bool first = true;
    lun_health_provider_look(s, p, now, &v);
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", p->name);
    lun_json_member_text(out, "dialect", p->dialect);
    lun_json_member_text(out, "state", lun_provider_health_name(v.state));
    put_rest(out, v.cooling_until, now);
    lun_json_member_int(out, "failures_in_a_row", v.failures);
    lun_json_member_number(out, "success_rate", v.success_rate);
    put_ms(out, "latency_ms", v.latency, 0);
    put_keys(p, out);
    put_probe(p, now, out);
    lun_json_put_key(out, "targets");
    lun_buf_putc(out, '[');
    for (int i = 0; i < s->n_targets; i++) {
        if (s->targets[i].provider != p) continue;
        if (!first) lun_buf_putc(out, ',');
        put_target(&s->targets[i], now, out);
        first = false;
    }
    lun_buf_puts(out, "]}");
}

void lun_view_providers(const struct lun_snapshot *s, lun_us now, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "version", s->version);
    lun_json_put_key(out, "providers");
    lun_buf_putc(out, '[');
    for (int i = 0; i < s->n_providers; i++) {
        if (i) lun_buf_putc(out, ',');
        put_provider(s, &s->providers[i], now, out);
    }
    lun_buf_puts(out, "]}");
}

/* ---- the response cache ---- */

void lun_view_cache(const struct lun_snapshot *s, struct lun_registry *registry, struct lun_shelf *shelf, struct lun_buf *out)
{
    struct lun_cache_view v;
    lun_cache_look_at(registry->cache, &v);
    lun_buf_putc(out, '{');
    lun_json_member_int(out, "size", (int64_t)v.size);
    lun_json_member_int(out, "bytes", (int64_t)v.bytes);
    lun_json_member_int(out, "entries", (int64_t)v.entries);
    lun_json_member_int(out, "evictions", (int64_t)v.evictions);
    lun_json_member_int(out, "asking", (int64_t)v.asking);
    lun_json_member_int(out, "waiting", (int64_t)v.waiting);
    if (s->cache.size) {
        lun_json_member_number(out, "ttl", lun_us_to_seconds(s->cache.ttl));
        lun_json_member_bool(out, "shared", s->cache.shared);
        lun_json_member_int(out, "answer", s->cache.answer);
    }
    if (shelf) {
        lun_json_put_key(out, "redis");
        lun_buf_putc(out, '{');
        lun_shelf_show(shelf, out);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, '}');
}

/* ---- settings ---- */

static void put_texts(struct lun_buf *out, const char *key, const struct lun_texts *texts)
{
    lun_json_member_texts(out, key, (const char *const *)texts->at, texts->n);
}

static void put_plain(struct lun_buf *out, const char *key, const struct lun_plain *v)
{
    lun_json_put_key(out, key);
    lun_plain_put(out, v);
}

void lun_view_settings(const struct lun_snapshot *s, const struct lun_tuning *tuning, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "version", s->version);
    lun_json_put_key(out, "settings");
    lun_buf_putc(out, '[');
    for (int i = 0; i < s->n_settings; i++) {
        const struct lun_policy_setting *r = &s->settings[i];
        const struct lun_plain *v = lun_tuning_get(tuning, r->name);
        lun_buf_puts(out, i ? ",{" : "{");
        lun_json_member_text(out, "name", r->name);
        put_plain(out, "value", v ? v : &r->initial);
        put_plain(out, "default", &r->initial);
        if (r->initial.type == LUN_PLAIN_NUMBER && r->min != -HUGE_VAL) lun_json_member_number(out, "min", r->min);
        if (r->initial.type == LUN_PLAIN_NUMBER && r->max != HUGE_VAL) lun_json_member_number(out, "max", r->max);
        if (r->n_choices) put_texts(out, "choices", &(struct lun_texts){ .at = (const char **)r->choices, .n = r->n_choices });
        if (r->from) lun_json_member_text(out, "from", r->from);
        lun_buf_putc(out, '}');
    }
    lun_buf_puts(out, "]}");
}

/* ---- canaries ---- */

static void put_stages(const struct lun_canary_rule *c, struct lun_buf *out)
{
    lun_json_put_key(out, "stages");
    lun_buf_putc(out, '[');
    for (int i = 0; i < c->n_stages; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_json_put_number(out, c->stages[i]);
    }
    lun_buf_putc(out, ']');
}

static void put_canary_probe(const struct lun_canary_rule *c, int status, struct lun_buf *out)
{
    if (!c->probe) return;
    lun_json_member_text(out, "probe", c->probe->name);
    if (status > 0) lun_json_member_int(out, "probe_status", status);
}

void lun_view_canary(const struct lun_canary_rule *c, lun_us now, struct lun_buf *out)
{
    struct lun_canary_view v;
    lun_canary_view(c->state, now, &v);
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "name", c->name);
    lun_json_member_text(out, "state", lun_canary_state_name(v.state));
    lun_json_member_number(out, "share", v.share);
    lun_json_member_int(out, "stage", v.stage);
    put_stages(c, out);
    if (c->provider) lun_json_member_text(out, "provider", c->provider->name);
    if (c->model) lun_json_member_text(out, "model", c->model);
    lun_json_member_number(out, "every_s", lun_us_to_seconds(c->every));
    lun_json_member_number(out, "lasts_s", lun_us_to_seconds(v.lasts));
    lun_json_member_int(out, "samples", v.samples);
    lun_json_member_int(out, "samples_wanted", v.enough);
    lun_json_member_int(out, "errors", v.errors);
    lun_json_member_number(out, "error_rate", v.samples ? (double)v.errors / (double)v.samples : NAN);
    if (c->errors >= 0) lun_json_member_number(out, "errors_limit", c->errors);
    put_ms(out, "p99_ms", v.p99, 0);
    if (c->p99) put_ms(out, "p99_limit_ms", c->p99, 0);
    put_canary_probe(c, v.probe, out);
    if (v.at) lun_json_member_time(out, "since", v.at);
    lun_json_member_text(out, "by", v.by);
    lun_json_member_text(out, "why", v.why);
    lun_buf_putc(out, '}');
}

void lun_view_canaries(const struct lun_snapshot *s, lun_us now, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "version", s->version);
    lun_json_put_key(out, "canaries");
    lun_buf_putc(out, '[');
    for (int i = 0; i < s->n_canaries; i++) {
        if (i) lun_buf_putc(out, ',');
        lun_view_canary(&s->canaries[i], now, out);
    }
    lun_buf_puts(out, "]}");
}

/* ---- changes ---- */

static void put_settings(struct lun_buf *out, const struct lun_change_result *r)
{
    lun_json_put_key(out, "settings");
    lun_buf_putc(out, '[');
    for (int i = 0; i < r->n_settings; i++) {
        lun_buf_puts(out, i ? ",{" : "{");
        lun_json_member_text(out, "name", r->settings[i].name);
        put_plain(out, "before", &r->settings[i].before);
        put_plain(out, "value", &r->settings[i].after);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

void lun_view_result(const struct lun_change_result *r, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    if (r->status != 200) put_texts(out, "errors", &r->errors);
    lun_json_member_text(out, "version", r->version);
    lun_json_member_int(out, "generation", r->generation);
    if (r->status == 200 && r->n_settings) put_settings(out, r);
    else lun_json_member_bool(out, "changed", r->changed);
    if (r->from) lun_json_member_text(out, "from", r->from);
    if (r->changed) lun_json_member_bool(out, "kept", r->kept);
    put_texts(out, "restart", &r->restart);
    put_texts(out, "warnings", &r->warnings);
    lun_buf_putc(out, '}');
}

void lun_view_warnings(const struct lun_change_result *r, struct lun_buf *out) { put_texts(out, "warnings", &r->warnings); }

void lun_view_kept(const struct lun_change_result *r, struct lun_buf *out)
{
    lun_json_member_bool(out, "kept", r->kept);
    put_texts(out, "warnings", &r->warnings);
}

void lun_view_errors(struct lun_buf *out, const char *error)
{
    put_texts((lun_buf_putc(out, '{'), out), "errors", &(struct lun_texts){ .at = &error, .n = 1 });
    lun_buf_putc(out, '}');
}

/* ---- requests ---- */

void lun_view_request(struct lun_request *r, lun_us now, struct lun_buf *out)
{
    const struct lun_question *q = lun_request_question(r);
    const struct lun_trial *last = NULL;
    int attempts = 0;
    for (const struct lun_trial *t = q->trials; t; t = t->next) last = t, attempts++;
    if (out->n) lun_buf_putc(out, ',');
    lun_buf_putc(out, '{');
    lun_json_member_text(out, "id", q->id);
    put_ms(out, "age_ms", now - q->arrived, -1);
    lun_json_member_text(out, "model", q->model);
    lun_json_member_text(out, "endpoint", lun_endpoint_name(q->endpoint));
    lun_json_member_bool(out, "stream", q->stream);
    if (q->client) lun_json_member_text(out, "key", q->client->name);
    lun_json_member_text(out, "policy", q->snapshot->version);
    lun_json_member_int(out, "attempts", attempts);
    if (last) lun_json_member_text(out, "target", last->target->name);
    lun_json_member_texts(out, "labels", q->labels, q->n_labels);
    lun_buf_putc(out, '}');
}

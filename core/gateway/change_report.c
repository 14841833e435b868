/* What is written down of a change: the audit line, the process log, metrics. */
#include "base/alloc.h"
#include "gateway/change.h"
#include "gateway/rollout.h"
#include "state/registry.h"
#include <string.h>

typedef struct lun_change change;

static const char *kind_name(const change *ch)
{
    static const char *const names[] = { "start", "reload", "rollback", "set", "canary", "key", "keep", "shadow", "shadow", "shadow" };
    return names[ch->kind];
}

static void put_line(struct lun_buf *line, const char *by, const char *why, const char *what, const char *name, const char *before, const char *after)
{
    char at[25];
    lun_clock_text(lun_clock_wall(), at);
    lun_buf_putc(line, '{');
    const char *const pairs[][2] = { { "time", at }, { "by", by }, { "what", what }, { "name", name }, { "why", why } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][1] && *pairs[i][1]) lun_json_member_text(line, pairs[i][0], pairs[i][1]);
    lun_json_put_key(line, "before"), lun_buf_puts(line, before);
    lun_json_put_key(line, "after"), lun_buf_puts(line, after);
    lun_buf_puts(line, "}\n");
}

static void put_audit(change *ch, const char *what, const char *name, const char *before, const char *after)
{
    put_line(&ch->audit, ch->by, ch->why, what, name, before, after);
}

static void put_canary(struct lun_buf *out, enum lun_canary_state state, double share)
{
    lun_buf_printf(out, "{\"state\":\"%s\",\"share\":", lun_canary_state_name(state));
    lun_json_put_number(out, share);
    lun_buf_putc(out, '}');
}

static void audit_canaries(change *ch)
{
    for (int i = 0; i < ch->n_news; i++) {
        const struct lun_canary_event *e = &ch->news[i].event;
        struct lun_buf before = {0}, after = {0};
        put_canary(&before, e->from, e->share_before);
        put_canary(&after, e->to, e->share);
        put_line(&ch->audit, e->by, e->why, "canary", ch->news[i].name, lun_buf_text(&before), lun_buf_text(&after));
        lun_buf_free(&before), lun_buf_free(&after);
    }
}

static void audit_settings(change *ch)
{
    for (int i = 0; i < ch->result.n_settings; i++) {
        const struct lun_setting_change *s = &ch->result.settings[i];
        struct lun_buf before = {0}, after = {0};
        lun_plain_put(&before, &s->before);
        lun_plain_put(&after, &s->after);
        put_audit(ch, "set", s->name, lun_buf_text(&before), lun_buf_text(&after));
        lun_buf_free(&before), lun_buf_free(&after);
    }
}

static void put_key(struct lun_buf *out, const struct lun_key *k)
{
    if (!k) { lun_buf_puts(out, "null"); return; }
    lun_buf_printf(out, "{\"hint\":\"%s\",\"older\":%d,\"fields\":%s", k->now.hint, k->n_older, k->fields);
    if (k->expires != LUN_NEVER) lun_json_member_time(out, "expires", k->expires);
    if (k->revoked) lun_json_member_time(out, "revoked", k->revoked);
    lun_buf_putc(out, '}');
}

static void audit_key(change *ch, const char *what, const struct lun_key *old, const struct lun_key *now)
{
    struct lun_buf before = {0}, after = {0};
    put_key(&before, old);
    put_key(&after, now);
    put_audit(ch, what, now->name, lun_buf_text(&before), lun_buf_text(&after));
    lun_buf_free(&before), lun_buf_free(&after);
}

static const char *const key_whats[] = { "key create", "key change", "key rotate", "key revoke", "key learn" };

static void audit_keys(change *ch)
{
    if (ch->key) audit_key(ch, key_whats[ch->verb_of_key], ch->key_before, ch->key);
    for (int i = 0; i < ch->n_learned; i++)
        if (lun_keyring_named(ch->keyring, ch->learned[i]->name) == ch->learned[i]) 
            audit_key(ch, key_whats[LUN_KEY_LEARN], lun_keyring_named(ch->keyring_before, ch->learned[i]->name), ch->learned[i]);
}

void lun_change_audit_failed(change *ch, const char *why)
{
    struct lun_buf after = {0};
    lun_buf_puts(&after, "{\"failed\":");
    lun_json_put_text(&after, why);
    lun_buf_putc(&after, '}');
    put_audit(ch, key_whats[ch->verb_of_key], ch->result.key->name, "null", lun_buf_text(&after));
    lun_buf_free(&after);
}

void lun_change_audit(change *ch)
{
    struct lun_buf before = {0}, after = {0};
    if (ch->audit.n || ch->kind == LUN_CHANGE_START) return;
    if (ch->kind == LUN_CHANGE_SET) { audit_settings(ch); return; }
    if (ch->kind == LUN_CHANGE_CANARY) { audit_canaries(ch); return; }
    if (ch->kind == LUN_CHANGE_KEY) { audit_keys(ch); return; }
    lun_json_put_text(&before, ch->result.from);
    lun_json_put_text(&after, ch->of->current->version);
    put_audit(ch, kind_name(ch), NULL, lun_buf_text(&before), lun_buf_text(&after));
    lun_buf_free(&before), lun_buf_free(&after);
}

void lun_change_audit_shadow(struct lun_changes *c, const char *by, const char *why, const char *live, const char *version, const char *state)
{
    struct lun_buf line = {0}, before = {0}, after = {0};
    lun_json_put_text(&before, live);
    lun_buf_putc(&after, '{');
    lun_json_member_text(&after, "version", version);
    lun_json_member_text(&after, "state", state);
    lun_buf_putc(&after, '}');
    put_line(&line, by, why, "shadow", NULL, lun_buf_text(&before), lun_buf_text(&after));
    lun_log(c->options.log, LUN_LOG_INFO, "audit %.*s", (int)line.n - 1, line.at);
    if (c->audit) lun_writer_put(c->audit, line.at, line.n - 1);
    lun_buf_free(&line), lun_buf_free(&before), lun_buf_free(&after);
}

/* The audit lines, once what they say has come true. */
static void tell_audit(struct lun_changes *c, change *ch)
{
    lun_change_audit(ch);
    for (int i = 0; i < ch->n_news; i++) lun_rollout_tell(c->options.log, c->options.registry, ch->news[i].name, &ch->news[i].event);
    const char *end, *last = ch->audit.at + ch->audit.n;
    for (const char *line = ch->audit.at; line < last; line = end + 1) {
        end = memchr(line, '\n', (size_t)(last - line));
        lun_log(c->options.log, LUN_LOG_INFO, "audit %.*s", (int)(end - line), line);
        if (c->audit && !ch->audited) lun_writer_put(c->audit, line, (size_t)(end - line));
    }
}

static const char *outcome(const change *ch)
{
    return ch->result.status != 200 ? "refused" : ch->result.changed ? "changed" : "unchanged";
}

static void log_texts(struct lun_changes *c, enum lun_log_level level, const change *ch, const char *what, const struct lun_texts *texts)
{
    for (int i = 0; i < texts->n; i++) lun_log(c->options.log, level, "%s (%s): %s%s", kind_name(ch), ch->by, what, texts->at[i]);
}

static void log_end(struct lun_changes *c, const change *ch)
{
    struct lun_metrics *m = c->options.registry->metrics;
    log_texts(c, LUN_LOG_ERROR, ch, "", &ch->result.errors);
    log_texts(c, LUN_LOG_WARN, ch, "", &ch->result.warnings);
    log_texts(c, LUN_LOG_WARN, ch, "counts from the next start: ", &ch->result.restart);
    if (ch->kind == LUN_CHANGE_SET || ch->kind == LUN_CHANGE_START || ch->kind == LUN_CHANGE_CANARY || ch->kind == LUN_CHANGE_KEY || ch->kind == LUN_CHANGE_KEEP) return;
    if (ch->kind >= LUN_CHANGE_SHADOW && ch->result.status == 200) return;
    lun_metrics_add(m, LUN_METRIC_RELOADS, (const char *[]){ kind_name(ch), outcome(ch) }, 1);
    if (ch->result.status == 200) lun_metrics_set(m, LUN_METRIC_RELOADED, NULL, (double)lun_clock_wall() / 1e6);
    if (ch->result.status == 200 && !ch->result.changed && strcmp(ch->by, LUN_CHANGE_BY_FILES)) lun_log(c->options.log, LUN_LOG_INFO, "%s (%s): %s, nothing has changed", kind_name(ch), ch->by, c->current->version);
    if (ch->result.status != 200) lun_log(c->options.log, LUN_LOG_ERROR, "%s (%s) refused: %s goes on", kind_name(ch), ch->by, c->current->version);
}

void lun_change_report(change *ch)
{
    struct lun_changes *c = ch->of;
    if (ch->result.changed && ch->kind != LUN_CHANGE_START) tell_audit(c, ch);
    log_end(c, ch);
}

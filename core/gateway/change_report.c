/* What is written down of a change: the audit line, the process log, metrics. */
#include "base/alloc.h"
#include "gateway/change.h"
#include "gateway/rollout.h"
#include "state/registry.h"
#include <string.h>

typedef struct lun_change change;

static const char *kind_name(const change *ch)
{
    static const char *const names[] = { "start", "reload", "rollback", "set", "canary", "key" };
    return names[ch->kind];
}

static void put_line(struct lun_changes *c, const char *by, const char *why, const char *what, const char *name, const char *before, const char *after)
{
    struct lun_buf line = {0};
    char at[25];
    lun_clock_text(lun_clock_wall(), at);
    lun_buf_putc(&line, '{');
    const char *const pairs[][2] = { { "time", at }, { "by", by }, { "what", what }, { "name", name }, { "why", why } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][1] && *pairs[i][1]) lun_json_member_text(&line, pairs[i][0], pairs[i][1]);
    lun_json_put_key(&line, "before"), lun_buf_puts(&line, before);
    lun_json_put_key(&line, "after"), lun_buf_puts(&line, after);
    lun_buf_putc(&line, '}');
    lun_log(c->options.log, LUN_LOG_INFO, "audit %s", lun_buf_text(&line));
    if (c->audit) lun_writer_put(c->audit, line.at, line.n);
    lun_buf_free(&line);
}

static void put_audit(struct lun_changes *c, const change *ch, const char *what, const char *name, const char *before, const char *after)
{
    put_line(c, ch->by, ch->why, what, name, before, after);
}

static void put_canary(struct lun_buf *out, enum lun_canary_state state, double share)
{
    lun_buf_printf(out, "{\"state\":\"%s\",\"share\":", lun_canary_state_name(state));
    lun_json_put_number(out, share);
    lun_buf_putc(out, '}');
}

static void audit_canaries(struct lun_changes *c, const change *ch)
{
    for (int i = 0; i < ch->n_news; i++) {
        const struct lun_canary_event *e = &ch->news[i].event;
        struct lun_buf before = {0}, after = {0};
        put_canary(&before, e->from, e->share_before);
        put_canary(&after, e->to, e->share);
        lun_rollout_tell(c->options.log, c->options.registry, ch->news[i].name, e);
        put_line(c, e->by, e->why, "canary", ch->news[i].name, lun_buf_text(&before), lun_buf_text(&after));
        lun_buf_free(&before), lun_buf_free(&after);
    }
}

static void audit_settings(struct lun_changes *c, const change *ch)
{
    for (int i = 0; i < ch->result.n_settings; i++) {
        const struct lun_setting_change *s = &ch->result.settings[i];
        struct lun_buf before = {0}, after = {0};
        lun_plain_put(&before, &s->before);
        lun_plain_put(&after, &s->after);
        put_audit(c, ch, "set", s->name, lun_buf_text(&before), lun_buf_text(&after));
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

static void audit_key(struct lun_changes *c, const change *ch, const char *what, const struct lun_key *old, const struct lun_key *now)
{
    struct lun_buf before = {0}, after = {0};
    put_key(&before, old);
    put_key(&after, now);
    put_audit(c, ch, what, now->name, lun_buf_text(&before), lun_buf_text(&after));
    lun_buf_free(&before), lun_buf_free(&after);
}

static void audit_keys(struct lun_changes *c, const change *ch)
{
    static const char *const whats[] = { "key create", "key change", "key rotate", "key revoke", "key learn" };
    if (ch->key) audit_key(c, ch, whats[ch->verb_of_key], ch->key_before, ch->key);
    for (int i = 0; i < ch->n_learned; i++)
        if (lun_keyring_named(ch->keyring, ch->learned[i]->name) == ch->learned[i]) 
            audit_key(c, ch, whats[LUN_KEY_LEARN], lun_keyring_named(ch->keyring_before, ch->learned[i]->name), ch->learned[i]);
}

static void audit(struct lun_changes *c, const change *ch)
{
    struct lun_buf before = {0}, after = {0};
    if (ch->kind == LUN_CHANGE_SET) { audit_settings(c, ch); return; }
    if (ch->kind == LUN_CHANGE_CANARY) { audit_canaries(c, ch); return; }
    if (ch->kind == LUN_CHANGE_KEY) { audit_keys(c, ch); return; }
    lun_json_put_text(&before, ch->result.from);
    lun_json_put_text(&after, ch->result.version);
    put_audit(c, ch, kind_name(ch), NULL, lun_buf_text(&before), lun_buf_text(&after));
    lun_buf_free(&before), lun_buf_free(&after);
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
    if (ch->kind == LUN_CHANGE_SET || ch->kind == LUN_CHANGE_START || ch->kind == LUN_CHANGE_CANARY || ch->kind == LUN_CHANGE_KEY) return;
    lun_metrics_add(m, LUN_METRIC_RELOADS, (const char *[]){ kind_name(ch), outcome(ch) }, 1);
    if (ch->result.status == 200) lun_metrics_set(m, LUN_METRIC_RELOADED, NULL, (double)lun_clock_wall() / 1e6);
    if (ch->result.status == 200 && !ch->result.changed && strcmp(ch->by, LUN_CHANGE_BY_FILES)) lun_log(c->options.log, LUN_LOG_INFO, "%s (%s): %s, nothing has changed", kind_name(ch), ch->by, c->current->version);
    if (ch->result.status != 200) lun_log(c->options.log, LUN_LOG_ERROR, "%s (%s) refused: %s goes on", kind_name(ch), ch->by, c->current->version);
}

void lun_change_report(change *ch)
{
    struct lun_changes *c = ch->of;
    if (ch->result.changed && ch->kind != LUN_CHANGE_START) audit(c, ch);
    log_end(c, ch);
}

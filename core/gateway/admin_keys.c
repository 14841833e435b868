/* /admin/keys: who may ask. */
#include "base/alloc.h"
#include "base/http.h"
#include "gateway/admin_parts.h"
#include "gateway/view.h"
#include "gateway/view_key.h"
#include <stdlib.h>
#include <string.h>

/* ---- looking ---- */

void lun_admin_keys(struct visit *v)
{
    struct lun_changes *c = v->admin->options.changes;
    struct lun_buf out = {0};
    lun_buf_puts(&out, "{\"keys\":");
    lun_view_keys(lun_changes_current(c), lun_changes_keyring(c), lun_clock_wall(), &out);
    lun_buf_putc(&out, '}');
    lun_admin_reply(v->exchange, 200, &out);
}

void lun_admin_key(struct visit *v)
{
    struct lun_changes *c = v->admin->options.changes;
    const struct lun_snapshot *s = lun_changes_current(c);
    char *name = lun_admin_name(v);
    const struct lun_client_rule *client = name ? lun_snapshot_client_named(s, name) : NULL;
    const struct lun_key *k = name ? lun_keyring_named(lun_changes_keyring(c), name) : NULL;
    struct lun_buf out = {0};
    lun_buf_puts(&out, "{\"key\":");
    if (client) lun_view_client(client, &out);
    else if (k) lun_view_key(k, s, lun_clock_wall(), &out);
    lun_buf_putc(&out, '}');
    if (client || k) lun_admin_reply(v->exchange, 200, &out);
    else lun_admin_refuse(v->exchange, 404, "there is no such key");
    lun_buf_free(&out);
    free(name);
}

/* ---- changing ---- */

struct asked_key { struct asked asked; struct lun_changes *changes; };     /* first, as who waits is known by it */

static void put_key(const struct asked_key *a, const struct lun_change_result *r, struct lun_buf *out)
{
    lun_json_put_key(out, "key");
    lun_view_key(r->key, lun_changes_current(a->changes), lun_clock_wall(), out);
    lun_json_member_bool(out, "changed", r->changed);
    if (r->changed) lun_view_kept(r, out);
    lun_buf_space(out, 256);            /* last, and not moved any more: it is wiped where it lies */
    if (r->key_text) lun_json_member_text(out, "text", r->key_text);
}

static void told(void *self, const struct lun_change_result *r)
{
    struct asked_key *a = self;
    struct lun_buf body = {0};
    lun_buf_putc(&body, '{');
    if (r->status == 200 && r->key) put_key(a, r, &body);
    else lun_json_member_texts(&body, "errors", (const char *const *)r->errors.at, r->errors.n);
    lun_buf_puts(&body, "}\n");
    if (a->asked.exchange) {
        struct lun_pair headers[] = { { "content-type", "application/json" }, { "cache-control", "no-store" } };
        lun_exchange_head(a->asked.exchange, r->status, headers, 2, (int64_t)body.n);
        lun_exchange_bytes(a->asked.exchange, body.at, body.n);
        lun_exchange_end(a->asked.exchange, true);
    }
    explicit_bzero(body.at, body.room);
    lun_buf_free(&body);
    free(a);
}

static void ask(struct visit *v, enum lun_key_verb verb, const char *name)
{
    struct asked_key *a = lun_alloc(sizeof *a);
    char *by = lun_admin_who(v);
    *a = (struct asked_key){ { v->exchange }, v->admin->options.changes };
    lun_exchange_set_user(v->exchange, &a->asked);
    lun_changes_key(a->changes, by, verb, name, v->body, told, a);
    free(by);
}

static void ask_named(struct visit *v, enum lun_key_verb verb)
{
    char *name = lun_admin_name(v);
    if (name) ask(v, verb, name);
    else lun_admin_refuse(v->exchange, 404, "there is no such key");
    free(name);
}

void lun_admin_key_create(struct visit *v)
{
    if (v->body.n) ask(v, LUN_KEY_CREATE, NULL);
    else lun_admin_refuse(v->exchange, 422, "an object is wanted: {\"name\":\"app\"}, and the fields that an entry of `clients` may have");
}

void lun_admin_key_change(struct visit *v)
{
    if (v->body.n) ask_named(v, LUN_KEY_CHANGE);
    else lun_admin_refuse(v->exchange, 422, "an object is wanted: the fields that change, null for what is to go: {\"models\":[\"gpt-*\"],\"task\":null}");
}

void lun_admin_key_rotate(struct visit *v) { ask_named(v, LUN_KEY_ROTATE); }
void lun_admin_key_revoke(struct visit *v) { ask_named(v, LUN_KEY_REVOKE); }

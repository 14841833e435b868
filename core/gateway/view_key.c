#include "gateway/view_key.h"
#include "base/json.h"
#include "gateway/view_budget.h"
#include "script/settings.h"
#include <string.h>

static void put_text(struct lun_buf *out, const char *key, const char *text)
{
    if (text) lun_json_member_text(out, key, text);
}

/* ---- made at run time ---- */

static void put_older(const struct lun_key *k, lun_us wall, struct lun_buf *out)
{
    int n = 0;
    lun_json_put_key(out, "older");
    lun_buf_putc(out, '[');
    for (int i = 0; i < k->n_older; i++) {
        if (k->older[i].until <= wall) continue;
        lun_buf_puts(out, n++ ? ",{" : "{");
        put_text(out, "hint", k->older[i].hint);
        lun_json_member_time(out, "until", k->older[i].until);
        lun_buf_putc(out, '}');
    }
    lun_buf_putc(out, ']');
}

/* Its fields are an object: their inside. */
static void put_fields(const struct lun_key *k, struct lun_buf *out)
{
    size_t n = strlen(k->fields);
    if (n <= 2) return;
    lun_buf_putc(out, ',');
    lun_buf_add(out, k->fields + 1, n - 2);
}

void lun_view_key(const struct lun_key *k, const struct lun_snapshot *s, lun_us wall, struct lun_buf *out)
{
    enum lun_key_standing stands = lun_key_stands(k, wall);
    bool homeless = k->team && !lun_snapshot_team(s, k->team);
    lun_buf_putc(out, '{');
    put_text(out, "name", k->name);
    put_text(out, "from", "lunette key");
    put_text(out, "state", stands == LUN_KEY_VALID && homeless ? "no team" : lun_key_standing_name(stands));
    put_text(out, "hint", k->now.hint);
    put_older(k, wall, out);
    lun_json_member_time(out, "made", k->made);
    lun_json_member_time(out, "changed", k->changed);
    if (k->expires != LUN_NEVER) lun_json_member_time(out, "expires", k->expires);
    if (k->revoked) lun_json_member_time(out, "revoked", k->revoked);
    lun_json_member_int(out, "version", k->version);
    put_fields(k, out);
    lun_buf_putc(out, '}');
}

/* ---- of the configuration ---- */

static void put_words(struct lun_buf *out, const char *key, const char *words, unsigned which)
{
    int n = 0;
    lun_json_put_key(out, key);
    lun_buf_putc(out, '[');
    for (size_t length; (length = strcspn(words, "|")); which >>= 1) {
        if (which & 1) {
            if (n++) lun_buf_putc(out, ',');
            lun_json_put_string(out, words, length);
        }
        words += length + (words[length] == '|');
    }
    lun_buf_putc(out, ']');
}

static void put_tags(const struct lun_client_rule *c, struct lun_buf *out)
{
    if (!c->n_tags) return;
    lun_json_put_key(out, "tags");
    lun_buf_putc(out, '{');
    for (int i = 0; i < c->n_tags; i++) put_text(out, c->tags[i].name, c->tags[i].value);
    lun_buf_putc(out, '}');
}

static void put_budget(const struct lun_budget_rule *b, struct lun_buf *out)
{
    if (b->limit < 0) return;
    lun_json_put_key(out, "budget");
    lun_buf_putc(out, '{');
    lun_json_member_number(out, "limit", (double)b->limit / 1e9);
    lun_view_period("per", b->per, out);
    if (b->window) lun_json_member_number(out, "window", (double)b->window / LUN_SECOND);
    if (b->soft > 0) lun_json_member_number(out, "soft", b->soft);
    lun_buf_putc(out, '}');
}

void lun_view_client(const struct lun_client_rule *c, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    put_text(out, "name", c->name);
    put_text(out, "from", "gateway.lua");
    put_text(out, "state", lun_key_standing_name(LUN_KEY_VALID));
    put_text(out, "team", c->team ? c->team->name : NULL);
    if (c->n_models) lun_json_member_texts(out, "models", c->models, c->n_models);
    if (c->requests_per_minute) lun_json_member_int(out, "requests_per_minute", c->requests_per_minute);
    put_text(out, "class", c->class);
    put_text(out, "task", c->task);
    put_tags(c, out);
    lun_json_member_bool(out, "substitute", c->substitute);
    lun_json_member_bool(out, "expose", c->expose);
    put_words(out, "trust", lun_setting_find(LUN_SCOPE_CLIENT, "trust")->words, c->trust);
    put_budget(&c->budget, out);
    lun_buf_putc(out, '}');
}

void lun_view_keys(const struct lun_snapshot *s, const struct lun_keyring *r, lun_us wall, struct lun_buf *out)
{
    int n = 0;
    lun_buf_putc(out, '[');
    for (int i = 0; i < s->n_clients; i++) {
        if (n++) lun_buf_putc(out, ',');
        lun_view_client(&s->clients[i], out);
    }
    for (int i = 0; r && i < r->n; i++) {
        if (n++) lun_buf_putc(out, ',');
        lun_view_key(r->keys[i], s, wall, out);
    }
    lun_buf_putc(out, ']');
}

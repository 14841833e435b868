#include "script/load_key.h"
#include "base/text.h"
#include "script/loading.h"
#include <math.h>
#include <string.h>

#define DAY         (86400 * LUN_SECOND)
#define KEEP        DAY
#define KEEP_MOST   (366 * DAY)
#define YEARS       (100 * 366 * DAY)
#define NOTHING     "sha256:0000000000000000000000000000000000000000000000000000000000000000"

struct reading { struct lun_loading l; struct lun_key_form *form; unsigned may; lun_us wall; };

/* ---- beside the fields of `clients` ---- */

static const struct { const char *name; unsigned may; } beside[] = {
    { "name", LUN_KEY_SAYS_NAME }, { "expires", LUN_KEY_SAYS_EXPIRES }, { "anew", LUN_KEY_SAYS_ANEW } };
enum { BESIDE = sizeof beside / sizeof *beside };

static bool is_beside(const char *name)
{
    for (int i = 0; i < BESIDE; i++) if (!strcmp(beside[i].name, name)) return true;
    return false;
}

static void read_expires(struct reading *r, const struct lun_value *v)
{
    lun_us *expires = &r->form->key.expires;
    if (v->type == LUN_VALUE_NUMBER && v->number > 0 && v->number <= (double)(YEARS / LUN_SECOND)) *expires = r->wall + lun_us_from_seconds(v->number);
    else if (v->type != LUN_VALUE_TEXT || !lun_clock_read(v->text, expires))
        lun_wrong(&r->l, v, "must be a time as in \"2027-01-31T12:00:00Z\", a number of seconds from now, or null for never; not %s", lun_value_show(v, &r->l.scratch));
    else if (*expires <= r->wall) lun_wrong(&r->l, v, "%s is past", lun_value_quote(v->text, &r->l.scratch));
}

static void read_anew(struct reading *r, const struct lun_value *v)
{
    if (v->type == LUN_VALUE_BOOL) r->form->anew = v->yes;
    else lun_wrong(&r->l, v, "must be true or false, not %s", lun_value_show(v, &r->l.scratch));
}

/* ---- the fields ---- */

static const char *nearest(const struct reading *r, const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (const struct lun_setting *s = lun_settings; s < lun_settings + lun_settings_count && n < 48; s++)
        if (s->scope == LUN_SCOPE_CLIENT && strcmp(s->name, "hash") && strcmp(s->name, "name")) names[n++] = s->name;
    for (int i = 0; i < BESIDE; i++) if (r->may & beside[i].may) names[n++] = beside[i].name;
    return lun_text_nearest(name, names, n);
}

static void check_name(struct reading *r, struct lun_value *v)
{
    if (!strcmp(v->key, "hash")) lun_wrong(&r->l, v, "is not said: the gateway makes the key's text and shows it once");
    else if (!strcmp(v->key, "name") && !(r->may & LUN_KEY_SAYS_NAME)) lun_wrong(&r->l, v, "stays as it is: what was spent belongs to it");
    else if (!strcmp(v->key, "name")) { lun_check_shows(&r->l, v); return; }
    else if (is_beside(v->key) || lun_setting_find(LUN_SCOPE_CLIENT, v->key)) return;
    else lun_wrong(&r->l, v, "there is no such field%s", lun_hint(&r->l, nearest(r, v->key)));
    v->used = true;
}

static void check_names(struct reading *r, const struct lun_value *said)
{
    for (int i = 0; i < said->n_items; i++) {
        struct lun_value *v = said->items[i];
        if (!v->key) lun_wrong(&r->l, v, "has no name: a list is no key");
        else check_name(r, v);
    }
}

/* Of the two a merge patch would lay one on the other, or take it away. */
static void check_twice(struct reading *r, const struct lun_value *said)
{
    for (int i = 0; i < said->n_items; i++) {
        if (said->items[i]->text == lun_value_twice) lun_wrong(&r->l, said->items[i], "%s", lun_value_twice);
        check_twice(r, said->items[i]);
    }
}

/* What it says beside, once: the rest goes through what reads an entry of `clients`. */
static void read_beside(struct reading *r, const struct lun_value *said, bool never)
{
    const struct lun_value *expires = lun_value_get(said, "expires"), *anew = lun_value_get(said, "anew"), *name = lun_value_get(said, "name");
    r->form->key.expires = LUN_NEVER;
    r->form->expires_said = expires != NULL;
    if (expires && r->may & LUN_KEY_SAYS_EXPIRES && !never) read_expires(r, expires);
    else if (expires && !(r->may & LUN_KEY_SAYS_EXPIRES)) lun_wrong(&r->l, expires, "is not said here");
    if (anew && r->may & LUN_KEY_SAYS_ANEW) read_anew(r, anew);
    else if (anew) lun_wrong(&r->l, anew, "is not said here");
    if (name && name->type == LUN_VALUE_TEXT && (!strcmp(name->text, ".") || !strcmp(name->text, ".."))) lun_wrong(&r->l, name, "must be more than points");
}

static void put_fields(struct lun_buf *out, struct lun_json all)
{
    bool some = false;
    lun_buf_putc(out, '{');
    for (struct lun_json_each e = lun_json_each(all); lun_json_next(&e); ) {
        if (lun_json_is(e.key, "name") || lun_json_is(e.key, "expires") || lun_json_is(e.key, "anew")) continue;
        if (some) lun_buf_putc(out, ',');
        lun_buf_add(out, e.key.at, e.key.n);
        lun_buf_putc(out, ':');
        lun_buf_add(out, e.value.at, e.value.n);
        some = true;
    }
    lun_buf_putc(out, '}');
}

static struct lun_value *text_value(struct reading *r, struct lun_value *table, const char *name, const char *text)
{
    struct lun_value *v = lun_value_get(table, name);
    if (!v) v = lun_value_add(table, name, &r->l.scratch);
    v->type = LUN_VALUE_TEXT, v->text = text, v->n = strlen(text);
    return v;
}

static void drop(struct lun_value *table, const char *name)
{
    struct lun_value *v = lun_value_get(table, name);
    for (int i = 0; v && i < table->n_items; i++)
        if (table->items[i] == v) memmove(&table->items[i], &table->items[i + 1], (size_t)(--table->n_items - i) * sizeof *table->items);
}

/* `all`: what is said with what stays, as far as that can. */
static void read_rule(struct reading *r, struct lun_json all, const struct lun_value *said, const char *name)
{
    struct lun_client_draft draft;
    struct lun_value *table = lun_value_of_json(all, &r->l.scratch);
    drop(table, "expires"), drop(table, "anew");
    if (!(r->may & LUN_KEY_SAYS_NAME)) text_value(r, table, "name", name);
    text_value(r, table, "hash", NOTHING);
    r->l.root = table;
    for (int i = 0; i < table->n_items; i++)        /* unknown ones that are said were told */
        if (table->items[i]->key && lun_value_get(said, table->items[i]->key) && !lun_setting_find(LUN_SCOPE_CLIENT, table->items[i]->key)) table->items[i]->used = true;
    lun_load_client(&r->l, table, &draft);
    r->form->key.rule = draft.client;
    r->form->key.name = draft.client.name;
    r->form->key.team = draft.team;
}

static void read_all(struct reading *r, struct lun_json said, struct lun_json onto, const char *name)
{
    struct lun_value *asked = lun_value_of_json(said, &r->l.scratch);
    struct lun_buf all = {0}, fields = {0};
    struct lun_json merged;
    if (asked->type != LUN_VALUE_TABLE) { lun_wrong(&r->l, asked, "%s", asked->text ? asked->text : "must be an object"); return; }
    check_twice(r, asked);
    if (lun_loading_failed(&r->l)) return;
    check_names(r, asked);
    read_beside(r, asked, lun_json_type(lun_json_get(said, "expires")) == LUN_JSON_NULL);
    lun_json_merge(&all, onto, said);
    if (lun_json_check(all.at, all.n, &merged, NULL)) {
        read_rule(r, merged, asked, name);
        put_fields(&fields, merged);
        r->form->key.fields = lun_arena_strndup(&r->l.snapshot->arena, fields.at, fields.n);
    } else lun_wrong(&r->l, asked, "is too large");
    lun_buf_free(&all), lun_buf_free(&fields);
}

bool lun_key_form_read(struct lun_key_form *form, struct lun_json said, struct lun_json onto, const char *name, unsigned may, const struct lun_snapshot *s, lun_us wall,
                       struct lun_mistakes *mistakes)
{
    static const struct lun_load_options options;
    struct lun_snapshot around = { .arena = form->arena };      /* what is read goes into its arena, names are looked up in it */
    struct reading r = { .l = { .options = &options, .mistakes = mistakes, .mistakes_before = mistakes->told, .snapshot = &around, .prefix = "", .as_kept = !s },
                         .form = form, .may = may, .wall = wall };
    if (s) {
        around.teams = s->teams, around.n_teams = s->n_teams;
        around.models = s->models, around.n_models = s->n_models, around.by_name = s->by_name, around.n_by_name = s->n_by_name;
        around.redis = s->redis;
    }
    read_all(&r, said, onto, name);
    form->arena = around.arena;
    lun_arena_free(&r.l.scratch);
    return !lun_loading_failed(&r.l);
}

void lun_key_form_free(struct lun_key_form *form)
{
    lun_arena_free(&form->arena);
}

bool lun_key_keep_read(struct lun_json said, lun_us *keep, struct lun_mistakes *mistakes)
{
    double seconds = 0, most = (double)(KEEP_MOST / LUN_SECOND);
    struct lun_json v = lun_json_get(said, "keep");
    bool fine = true;
    *keep = KEEP;
    for (struct lun_json_each e = lun_json_each(said); lun_json_next(&e); ) {
        if (lun_json_is(e.key, "keep")) continue;
        lun_mistakes_add(mistakes, "", 0, "%.*s: there is no such field; there is keep, in seconds", e.key.n < 60 ? (int)e.key.n : 60, e.key.at);
        fine = false;
    }
    if (!v.n) return fine;
    if (!lun_json_double(v, &seconds) || !(seconds >= 0 && seconds <= most)) {
        lun_mistakes_add(mistakes, "", 0, "keep: must be a number of seconds from 0 to %.0f: how long the text before stays valid", most);
        return false;
    }
    *keep = lun_us_from_seconds(seconds);
    return fine;
}

#include "base/hex.h"
#include "base/text.h"
#include "script/convert.h"
#include "script/loading.h"
#include "state/names.h"
#include <stdio.h>
#include <string.h>

struct client { struct lun_loading *l; struct lun_value *table; struct lun_client_draft draft; };

/* ---- teams ---- */

static void load_teams(struct lun_loading *l)
{
    struct lun_value *map = lun_check_get(l, LUN_SCOPE_TOP, l->root, "teams");
    if (!map) return;
    struct lun_value **items = lun_check_sorted(l, map);
    struct lun_team *teams = lun_arena_zalloc(&l->snapshot->arena, (size_t)map->n_items * sizeof *teams + 1);
    int n = 0;
    for (int i = 0; i < map->n_items; i++) {
        struct lun_value *v = items[i];
        struct lun_team *t = &teams[n];
        if (!lun_check_table(l, v)) continue;
        *t = (struct lun_team){ .name = lun_arena_strdup(&l->snapshot->arena, v->key), .budget = { .limit = -1 } };
        lun_check(l, LUN_SCOPE_TEAM, v, t, 0, lun_origin_prefix(l, v));
        n++;
    }
    l->snapshot->teams = teams, l->snapshot->n_teams = n;
}

static const struct lun_team *team_of(struct client *c)
{
    struct lun_loading *l = c->l;
    const char *names[256], *name = c->draft.team;
    size_t n = 0;
    if (!name || l->as_kept) return NULL;
    for (int i = 0; i < l->snapshot->n_teams; i++) {
        if (!strcmp(l->snapshot->teams[i].name, name)) return &l->snapshot->teams[i];
        if (n < 256) names[n++] = l->snapshot->teams[i].name;
    }
    if (!lun_value_get(lun_value_get(l->root, "teams"), name))
        lun_wrong(l, lun_value_get(c->table, "team"), "there is no team %s in teams%s", lun_value_quote(name, &l->scratch), lun_hint(l, lun_text_nearest(name, names, n)));
    return NULL;
}

/* ---- one client ---- */

static void load_hash(struct client *c)
{
    if (c->draft.hash && !lun_key_hash_read(c->draft.hash, c->draft.client.hash))
        lun_wrong(c->l, lun_value_get(c->table, "hash"), "must be \"sha256:\" and 64 hexadecimal digits: the output of  printf %%s KEY | sha256sum");
}

/* Whether a client may have that name or pattern: a model of that name is there, one that takes it, or one that it takes. */
static bool model_there(const struct lun_snapshot *s, const char *name)
{
    const char *rest;
    if (!strchr(name, '*')) return lun_snapshot_model(s, name, &rest) != NULL;
    for (int i = 0; i < s->n_models; i++)
        if (lun_pattern_fits(name, s->models[i].name) || (s->models[i].pattern && !strncmp(name, s->models[i].name, strlen(s->models[i].name) - 1))) return true;
    return false;
}

static void check_model(struct client *c, const struct lun_value *v)
{
    const struct lun_snapshot *s = c->l->snapshot;
    const char *names[512];
    size_t n = 0;
    if (strchr(v->text, '*') != strrchr(v->text, '*')) { lun_wrong(c->l, v, "can have one * only"); return; }
    if (c->l->as_kept || !s->n_models || !strcmp(v->text, "auto") || model_there(s, v->text)) return;
    for (int i = 0; i < s->n_models && n < 512; i++) names[n++] = s->models[i].name;
    if (!lun_value_get(lun_value_get(c->l->root, "models"), v->text))
        lun_wrong(c->l, v, "there is no model %s in models%s", lun_value_quote(v->text, &c->l->scratch), lun_hint(c->l, lun_text_nearest(v->text, names, n)));
}

static void load_allowed(struct client *c)
{
    struct lun_value *v = lun_check_get(c->l, LUN_SCOPE_CLIENT, c->table, "models");
    if (!v) return;
    if (!v->n_items) lun_wrong(c->l, v, "allows none at all: leave it out for all, or name one");
    const char **names = lun_arena_alloc(&c->l->snapshot->arena, (size_t)v->n_items * sizeof *names + 1);
    for (int i = 0; i < v->n_items; i++) {
        if (!lun_check_line(c->l, v->items[i], 256)) continue;
        check_model(c, v->items[i]);
        names[c->draft.client.n_models++] = lun_arena_strdup(&c->l->snapshot->arena, v->items[i]->text);
    }
    c->draft.client.models = names;
}

static void load_trust(struct client *c)
{
    const struct lun_setting *s = lun_setting_find(LUN_SCOPE_CLIENT, "trust");
    struct lun_value *v = lun_check_get(c->l, LUN_SCOPE_CLIENT, c->table, "trust");
    char must[200];
    c->draft.client.trust = v ? 0 : LUN_TRUST_TASK | LUN_TRUST_TAGS;
    if (!v) return;
    lun_setting_must(s, must);
    for (int i = 0; i < v->n_items; i++) {
        int word = v->items[i]->type == LUN_VALUE_TEXT ? lun_word_index(s->words, v->items[i]->text) : -1;
        if (word < 0) lun_wrong(c->l, v, "must be %s; %s is none of them", must, lun_value_show(v->items[i], &c->l->scratch));
        else c->draft.client.trust |= 1u << word;
    }
}

static void load_tags(struct client *c)
{
    struct lun_value *v = lun_check_get(c->l, LUN_SCOPE_CLIENT, c->table, "tags");
    if (v) c->draft.client.tags = lun_check_pairs(c->l, v, false, &c->draft.client.n_tags);
}

static void check_class(struct client *c)
{
    const char *class = c->draft.client.class;
    if (class && class[strspn(class, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")])
        lun_wrong(c->l, lun_value_get(c->table, "class"), "must be letters, digits, _ - and .");
}

void lun_load_client(struct lun_loading *l, struct lun_value *table, struct lun_client_draft *out)
{
    struct client c = { l, table, { .client = { .budget = { .limit = -1 } } } };
    lun_check(l, LUN_SCOPE_CLIENT, table, &c.draft, 0, lun_origin_prefix(l, table));
    lun_load_window(l, lun_value_get(table, "budget"));
    c.draft.client.team = team_of(&c);
    load_hash(&c);
    load_allowed(&c);
    load_trust(&c);
    load_tags(&c);
    check_class(&c);
    *out = c.draft;
}

/* Clients by name, and by the key's hash as it is written in small letters. */
struct once { struct lun_names named, keyed; };

/* The place in the list of the client that came before with that; 0: none did, and it is this one's. */
static int taken_by(struct lun_names *in, const char *what, const struct lun_value *table)
{
    const struct lun_value *before = what ? lun_names_get(in, what) : NULL;
    if (what && !before) lun_names_put(in, what, (void *)table);
    return before ? before->index : 0;
}

static void check_twice(struct lun_loading *l, const struct lun_value *table, struct once *o, const struct lun_client_rule *c)
{
    const struct lun_value *hash = lun_value_get(table, "hash"), *name = lun_value_get(table, "name");
    unsigned char sum[32];
    char text[2 * sizeof sum + 1];
    bool hashed = hash && hash->type == LUN_VALUE_TEXT && lun_key_hash_read(hash->text, sum);
    if (hashed) lun_hex_write(text, sum, sizeof sum);
    int named = taken_by(&o->named, c->name, table), keyed = taken_by(&o->keyed, hashed ? text : NULL, table);
    lun_check_shows(l, name);
    if (named) lun_wrong(l, name, "another client (number %d) is called %s already", named, lun_value_quote(c->name, &l->scratch));
    if (keyed) lun_wrong(l, hash, "is the key of another client (number %d) too", keyed);
}

/* Against keys that were made at run time. A name that was revoked may be taken, its text never again. */
static void check_made(struct lun_loading *l, const struct lun_value *table, const struct lun_client_rule *c)
{
    enum lun_key_standing stands;
    const struct lun_keyring *ring = l->options->keyring;
    const struct lun_key *k = c->name ? lun_keyring_named(ring, c->name) : NULL;
    if (k && !k->revoked)
        lun_wrong(l, lun_value_get(table, "name"), "%s is a key made with `lunette key`: take another name, or revoke that key first", lun_value_quote(k->name, &l->scratch));
    if (!(k = lun_keyring_find(ring, c->hash, 0, &stands))) return;
    lun_wrong(l, lun_value_get(table, "hash"), "is that of the key %s, made with `lunette key`%s", lun_value_quote(k->name, &l->scratch), k->revoked ? " and revoked" : "");
}

void lun_load_clients(struct lun_loading *l)
{
    load_teams(l);
    struct lun_value *list = lun_check_get(l, LUN_SCOPE_TOP, l->root, "clients");
    if (!list) return;
    l->snapshot->clients_said = true;
    struct lun_client_rule *rules = lun_arena_zalloc(&l->snapshot->arena, (size_t)list->n_items * sizeof *rules + 1);
    struct once once = { 0 };
    int n = 0;
    for (int i = 0; i < list->n_items; i++) {
        struct lun_value *v = list->items[i];
        if (v->type == LUN_VALUE_BOOL && !v->yes) continue;
        if (!lun_check_table(l, v)) continue;
        struct lun_client_draft draft;
        lun_load_client(l, v, &draft);
        rules[n] = draft.client;
        check_twice(l, v, &once, &rules[n]);
        check_made(l, v, &rules[n]);
        rules[n].index = n, n++;
    }
    lun_names_free(&once.named, NULL);
    lun_names_free(&once.keyed, NULL);
    l->snapshot->clients = rules, l->snapshot->n_clients = n;
    lun_snapshot_sort_clients(l->snapshot);
}

#include "base/text.h"
#include "state/tuning.h"
#include "script/loading.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

#define NOT_A_SETTING "LUNETTE_BOOT_ID"        /* gateway/books.h */
#define POLICY "SETTINGS_"      /* what the variables of a policy's settings begin with, after LUNETTE_ */

enum { DEEP = 8, NAMES = 320 };

struct way { const char *key[DEEP]; int n; bool any; };     /* to one setting; any: also to what only the file can say */

/* What follows when `rest` begins with the name as it stands in a variable, at a word's end; NULL: it does not. */
static const char *after(const char *rest, const char *name)
{
    for (; *name; name++, rest++) {
        unsigned char c = (unsigned char)*name;
        if (*rest != (c < 128 && isalnum(c) ? toupper(c) : '_')) return NULL;
    }
    return *rest == '_' && rest[1] ? rest + 1 : *rest ? NULL : rest;
}

static bool find(enum lun_scope, const struct lun_value *table, const char *rest, struct way *);

static bool find_in_map(const struct lun_setting *s, const struct lun_value *map, const char *rest, struct way *way)
{
    int n = way->n;
    for (int i = map ? map->n_list : 0; map && map->type == LUN_VALUE_TABLE && i < map->n_items; i++) {
        const char *more = after(rest, map->items[i]->key);
        if (!more || !*more) continue;
        way->key[way->n++] = map->items[i]->key;
        if (find(s->inside, map->items[i], more, way)) return true;
        way->n = n;
    }
    return false;
}

static bool find(enum lun_scope scope, const struct lun_value *table, const char *rest, struct way *way)
{
    int n = way->n;
    if (n + 2 >= DEEP) return false;
    for (const struct lun_setting *s = lun_settings; s < lun_settings + lun_settings_count; s++) {
        const char *more = s->scope == scope ? after(rest, s->name) : NULL;
        if (!more) continue;
        way->key[way->n++] = s->name;
        if (!*more && (way->any || s->type <= LUN_CHOICE || (s->type == LUN_TABLE && (s->flags & LUN_CAN_BE_OFF)))) return true;
        if (*more && (s->type == LUN_TABLE || (s->type == LUN_ADDRESS && s->inside)) && find(s->inside, lun_value_get(table, s->name), more, way)) return true;
        if (*more && s->type == LUN_MAP && find_in_map(s, lun_value_get(table, s->name), more, way)) return true;
        way->n = n;
    }
    return false;
}

/* A listener that was said by its address becomes a table with that address in it. */
static void widen(struct lun_loading *l, struct lun_value *v)
{
    struct lun_value before = *v;
    v->type = LUN_VALUE_TABLE, v->n_items = v->n_list = 0;
    if (before.type != LUN_VALUE_TEXT) return;
    struct lun_value *address = lun_value_add(v, "address", &l->scratch);
    address->type = before.type, address->text = before.text, address->n = before.n, address->place = before.place, address->from = before.from;
}

/* What is said of a listener or the webhook as a whole means the address of one that is a table: the rest of it stays. */
static struct lun_value *address_in(struct lun_loading *l, struct lun_value *v, const char *name, const char *text)
{
    if (v->type != LUN_VALUE_TABLE || !strcmp(text, "false")) return v;
    if (v->n_list) return v->items[0];
    struct lun_value *address = lun_value_get(v, name);
    return address ? address : lun_value_add(v, name, &l->scratch);
}

/* Under which name it stands there; NULL: the setting has none. */
static const char *address_of(const struct way *way)
{
    const struct lun_setting *s = lun_setting_find(LUN_SCOPE_TOP, way->key[0]);
    if (s->type == LUN_ADDRESS && s->inside) return "address";
    return s->inside == LUN_SCOPE_WEBHOOK ? "url" : NULL;
}

static void put(struct lun_loading *l, const struct way *way, const char *text, const char *from)
{
    struct lun_value *v = l->root;
    for (int i = 0; i < way->n; i++) {
        struct lun_value *next = lun_value_get(v, way->key[i]);
        if (!next) next = lun_value_add(v, way->key[i], &l->scratch), next->type = i < way->n - 1 ? LUN_VALUE_TABLE : LUN_VALUE_BAD;
        else if (i < way->n - 1 && next->type != LUN_VALUE_TABLE) widen(l, next);
        v = next;
    }
    const char *address = address_of(way);
    if (address) v = address_in(l, v, address, text);
    v->type = strcmp(text, "false") ? LUN_VALUE_TEXT : LUN_VALUE_BOOL;
    v->text = text, v->n = strlen(text), v->yes = false, v->from = from, v->secret = NULL;
}

static void gather(enum lun_scope scope, struct lun_loading *l, const char **names, int *n)
{
    char variable[256];
    for (const struct lun_setting *s = lun_settings; s < lun_settings + lun_settings_count; s++) {
        if (s->scope != scope) continue;
        if (s->type == LUN_TABLE && s->inside != scope) gather(s->inside, l, names, n);
        if (s->type > LUN_CHOICE || *n == NAMES) continue;
        lun_setting_variable(lun_arena_printf(&l->scratch, "%s%s", lun_scope_path(scope), s->name), variable);
        names[(*n)++] = lun_arena_strdup(&l->scratch, variable);
    }
}

static void gather_policy(struct lun_loading *l, const char **names, int *n)
{
    char variable[256];
    for (int i = 0; i < l->snapshot->n_settings && *n < NAMES; i++) {
        if (strlen(l->snapshot->settings[i].name) > 200) continue;
        lun_setting_variable(lun_arena_printf(&l->scratch, "settings.%s", l->snapshot->settings[i].name), variable);
        names[(*n)++] = lun_arena_strdup(&l->scratch, variable);
    }
}

static bool is_policys(const struct lun_outside *o) { return !strncmp(o->name, "LUNETTE_" POLICY, strlen("LUNETTE_" POLICY)); }

/* A list, a secret, a table that is no switch. */
static bool is_of_file(struct lun_loading *l, const struct lun_outside *o)
{
    struct way way = { .any = true };
    return l->root->type == LUN_VALUE_TABLE && find(LUN_SCOPE_TOP, l->root, o->name + strlen("LUNETTE_"), &way);
}

static void unknown(struct lun_loading *l, const struct lun_outside *o)
{
    const char *names[NAMES];
    int n = 0;
    if (is_of_file(l, o)) { lun_mistakes_add(l->mistakes, o->from, 0, "cannot be said from outside: say it in the file"); return; }
    if (is_policys(o) && !l->policy_read && l->snapshot->policy.text) return;      /* its mistakes come first */
    if (is_policys(o) && l->options->as_it_was) return;
    if (!is_policys(o)) gather(LUN_SCOPE_TOP, l, names, &n);
    gather_policy(l, names, &n);
    lun_mistakes_add(l->mistakes, o->from, 0, "%s%s", is_policys(o) ? "the policy has no such setting" : "there is no such setting",
                     lun_hint(l, lun_text_nearest(o->name, names, (size_t)n)));
}

static void set_aside(struct lun_loading *l, const char *name, const char *text, const char *from)
{
    if (l->n_outside == l->outside_room) {
        struct lun_outside *more = lun_arena_alloc(&l->scratch, (size_t)(l->outside_room = l->outside_room ? 2 * l->outside_room : 8) * sizeof *more);
        if (l->n_outside) memcpy(more, l->outside, (size_t)l->n_outside * sizeof *more);
        l->outside = more;
    }
    l->outside[l->n_outside++] = (struct lun_outside){ lun_arena_strdup(&l->scratch, name), lun_arena_strdup(&l->scratch, text), from, false };
}

const struct lun_outside *lun_override_setting(struct lun_loading *l, const char *name)
{
    const struct lun_outside *found = NULL;
    for (int i = 0; i < l->n_outside; i++) {
        struct lun_outside *o = &l->outside[i];
        const char *more = is_policys(o) ? after(o->name + strlen("LUNETTE_" POLICY), name) : NULL;
        if (more && !*more) o->used = true, found = o;
    }
    return found;
}

void lun_override_rest(struct lun_loading *l)
{
    for (int i = 0; i < l->n_outside; i++) if (!l->outside[i].used) unknown(l, &l->outside[i]);
}

/* What container platforms put into the environment of everyone for a service called lunette. */
static bool made_by_platform(const char *name, const char *text)
{
    const char *port = strstr(name, "_PORT");
    size_t n = strlen(name);
    return (n > 13 && !strcmp(name + n - 13, "_SERVICE_HOST")) || strstr(name, "_SERVICE_PORT") || (port && (port[5] == '_' || (!port[5] && strstr(text, "://"))));
}

static void override(struct lun_loading *l, const char *variable, const char *text, const char *from)
{
    struct way way = { .n = 0 };
    if (l->root->type != LUN_VALUE_TABLE) return;
    if (!lun_text_valid(text, strlen(text))) lun_mistakes_add(l->mistakes, from, 0, "must be UTF-8 text");
    else if (find(LUN_SCOPE_TOP, l->root, variable + strlen("LUNETTE_"), &way)) put(l, &way, lun_arena_strdup(&l->scratch, text), from);
    else set_aside(l, variable, text, from);
}

void lun_override(struct lun_loading *l)
{
    const struct lun_load_options *o = l->options;
    char variable[256];
    for (const char *const *e = o->environment ? o->environment : (const char *const *)environ; e && *e; e++) {
        const char *text = strchr(*e, '=');
        if (strncmp(*e, "LUNETTE_", 8) || !text || !text[1] || !strncmp(*e, NOT_A_SETTING "=", sizeof NOT_A_SETTING)) continue;
        const char *name = lun_arena_strndup(&l->scratch, *e, (size_t)(text - *e));
        if (!made_by_platform(name, text + 1) && !lun_secrets_asked(l->secrets, name)) override(l, name, text + 1, name);
    }
    for (int i = 0; i < o->n_set; i++) {
        lun_setting_variable(o->set[i].name, variable);
        override(l, variable, o->set[i].value, lun_arena_printf(&l->scratch, "--%s", o->set[i].name));
    }
}

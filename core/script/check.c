#include "script/convert.h"
#include "base/fold.h"
#include "script/loading.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void wrong_at(struct lun_loading *l, const struct lun_value *v, const char *path, const char *format, va_list args)
{
    char *what = NULL;
    if (vasprintf(&what, format, args) < 0) abort();
    if (v->from) lun_mistakes_add(l->mistakes, v->from, 0, "%s", what);
    else lun_mistakes_add(l->mistakes, v->place.file ? v->place.file : "configuration", v->place.line, "%s: %s", path, what);
    free(what);
}

void lun_wrong(struct lun_loading *l, const struct lun_value *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wrong_at(l, v, lun_value_path(v, &l->scratch), format, args);
    va_end(args);
}

void lun_wrong_in(struct lun_loading *l, const struct lun_value *table, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wrong_at(l, table, lun_value_path_of(table, name, &l->scratch), format, args);
    va_end(args);
}

const char *lun_hint(struct lun_loading *l, const char *nearest)
{
    return nearest ? lun_arena_printf(&l->scratch, " (did you mean %s?)", nearest) : "";
}

bool lun_loading_failed(const struct lun_loading *l) { return l->mistakes->told > l->mistakes_before; }

bool lun_origins_wanted(const struct lun_loading *l) { return l->options->origins; }

const char *lun_origin_prefix(struct lun_loading *l, const struct lun_value *table)
{
    return lun_origins_wanted(l) ? lun_arena_printf(&l->scratch, "%s.", lun_value_path(table, &l->scratch)) : "";
}

void lun_origin(struct lun_loading *l, const struct lun_value *v, const char *path, const char *value)
{
    const char *from = "default";
    if (!lun_origins_wanted(l)) return;
    if (v && v->from) from = v->from;
    else if (v && v->place.file) from = lun_arena_printf(&l->scratch, "%s:%d", v->place.file, v->place.line);
    else if (v) from = "configuration";
    lun_origins_add(l->options->origins, path, value, from);
}

/* It is text, as it must be, and cannot be taken all the same. Says nothing of what it is. */
static void wrong_text(struct lun_loading *l, const struct lun_setting *s, const struct lun_value *v)
{
    if (!v->n) lun_wrong(l, v, "must not be empty%s", s->flags & LUN_CAN_BE_OFF ? ": false stands for none" : "");
    else if (v->n > s->max) lun_wrong(l, v, "must have at most %.0f bytes, not %zu", s->max, v->n);
    else lun_wrong(l, v, "must be one line, without control characters");
}

static void wrong_kind(struct lun_loading *l, const struct lun_setting *s, const struct lun_value *v)
{
    char must[200];
    lun_setting_must(s, must);
    if (s->type == LUN_TEXT && v->type == LUN_VALUE_TEXT) wrong_text(l, s, v);
    else if (v->type == LUN_VALUE_BAD || v->type == LUN_VALUE_FUNCTION) lun_wrong(l, v, "%s", v->text);
    else if (v->type == LUN_VALUE_SECRET) lun_wrong(l, v, "must be %s, not a secret", must);
    else if (s->flags & LUN_HIDDEN) lun_wrong(l, v, "must be %s", must);
    else if (s->type == LUN_CHOICE && s->goes < 0 && v->type == LUN_VALUE_TEXT)     /* it can be chosen once there is a choice */
        lun_wrong(l, v, "%s is not built yet: must be %s", lun_value_quote(v->text, &l->scratch), must);
    else lun_wrong(l, v, "must be %s, not %s", must, lun_value_show(v, &l->scratch));
}

static bool is_off(const struct lun_value *v) { return v->type == LUN_VALUE_BOOL && !v->yes; }

static void check_default(struct lun_loading *l, const struct lun_setting *s, void *base, const char *prefix)
{
    struct lun_value v = { .type = LUN_VALUE_TEXT, .text = s->fallback, .n = strlen(s->fallback), .from = "default" };
    char nothing[16];
    if (!lun_convert(s, &v, s->goes < 0 ? nothing : (char *)base + s->goes, &l->snapshot->arena)) abort();     /* the table itself is wrong */
    if (s->goes >= 0 && lun_origins_wanted(l))
        lun_origin(l, NULL, lun_arena_printf(&l->scratch, "%s%s", prefix, s->name), lun_convert_show(s, &v, &l->scratch));
}

static void check_single(struct lun_loading *l, const struct lun_setting *s, struct lun_value *v, void *base)
{
    char nothing[16];
    if (!lun_convert(s, v, s->goes < 0 ? nothing : (char *)base + s->goes, &l->snapshot->arena)) wrong_kind(l, s, v);
    else if (lun_origins_wanted(l)) lun_origin(l, v, lun_value_path(v, &l->scratch), lun_convert_show(s, v, &l->scratch));
}

/* Whether a table that is not there has defaults all the same: not when something in it must be said. */
static bool has_defaults(enum lun_scope scope)
{
    for (int i = 0; i < lun_settings_count; i++)
        if (lun_settings[i].scope == scope && (lun_settings[i].flags & LUN_REQUIRED)) return false;
    return true;
}

static void check_table(struct lun_loading *l, const struct lun_setting *s, struct lun_value *v, void *base, unsigned how, const char *prefix)
{
    if (v && v->type != LUN_VALUE_TABLE) wrong_kind(l, s, v);
    else if (v || (has_defaults(s->inside) && !(how & LUN_KEEP)))
        lun_check(l, s->inside, v, (char *)base + s->goes, how, lun_origins_wanted(l) ? lun_arena_printf(&l->scratch, "%s%s.", prefix, s->name) : "");
}

/* A small table as it is written in Lua: { "a", b = 5 }. */
static void write_lua(const struct lun_value *v, struct lun_buf *out, struct lun_arena *arena)
{
    if (v->type != LUN_VALUE_TABLE) { lun_buf_puts(out, v->type == LUN_VALUE_TEXT ? lun_arena_printf(arena, "\"%s\"", v->text) : lun_value_show(v, arena)); return; }
    lun_buf_putc(out, '{');
    for (int i = 0; i < v->n_items; i++) {
        const struct lun_value root = { .type = LUN_VALUE_TABLE };
        lun_buf_puts(out, i ? ", " : " ");
        if (v->items[i]->key) lun_buf_printf(out, "%s = ", lun_value_path_of(&root, v->items[i]->key, arena));
        write_lua(v->items[i], out, arena);
    }
    lun_buf_puts(out, v->n_items ? " }" : "}");
}

static void show_table(struct lun_loading *l, const struct lun_setting *s, const struct lun_value *v)
{
    bool plain = s->type == LUN_NUMBERS || s->type == LUN_TEXTS || s->type == LUN_PAIRS || s->type == LUN_WORDS || s->type == LUN_FACTS;
    struct lun_buf out = { 0 };
    if (!plain || (s->flags & LUN_HIDDEN) || !lun_origins_wanted(l) || v->type != LUN_VALUE_TABLE) return;
    write_lua(v, &out, &l->scratch);
    lun_origin(l, v, lun_value_path(v, &l->scratch), lun_buf_text(&out));
    lun_buf_free(&out);
}

static void check_setting(struct lun_loading *l, const struct lun_setting *s, struct lun_value *table, void *base, unsigned how, const char *prefix)
{
    struct lun_value *v = lun_value_get(table, s->name);
    if (v) v->used = true;
    if (s->flags & LUN_NOT_BUILT) {
        if (v && !is_off(v)) lun_wrong(l, v, "is not built yet");
    } else if (!v && (s->flags & LUN_REQUIRED) && !(how & LUN_KEEP) && table) {
        lun_wrong_in(l, table, s->name, "is missing");
    } else if (s->type == LUN_TABLE) {
        if (s->goes >= 0 && !(s->flags & LUN_CAN_BE_OFF)) check_table(l, s, v, base, how, prefix);
    } else if (s->type == LUN_PLACE) {
        if (v && v->type != LUN_VALUE_TEXT && v->type != LUN_VALUE_SECRET && !is_off(v)) wrong_kind(l, s, v);
    } else if (s->type <= LUN_CHOICE) {
        if (v && !(s->inside && v->type == LUN_VALUE_TABLE)) check_single(l, s, v, base);
        else if (!v && s->fallback && !(how & LUN_KEEP)) check_default(l, s, base, prefix);
    } else if (v) show_table(l, s, v);
}

static void check_unknown(struct lun_loading *l, enum lun_scope scope, struct lun_value *table)
{
    for (int i = 0; i < table->n_items; i++) {
        struct lun_value *v = table->items[i];
        if (v->used) continue;
        if (!v->key) lun_wrong(l, v, "has no name: a setting is written name = value");
        else if (v->type == LUN_VALUE_BAD && !lun_setting_nearest(scope, v->key)) lun_wrong(l, v, "%s", v->text);
        else lun_wrong(l, v, "there is no such setting%s", lun_hint(l, lun_setting_nearest(scope, v->key)));
    }
}

void lun_check(struct lun_loading *l, enum lun_scope scope, struct lun_value *table, void *base, unsigned how, const char *prefix)
{
    for (const struct lun_setting *s = lun_settings; s < lun_settings + lun_settings_count; s++)
        if (s->scope == scope) check_setting(l, s, table, base, how, prefix);
    if (table) check_unknown(l, scope, table);
}

struct lun_value *lun_check_get(struct lun_loading *l, enum lun_scope scope, const struct lun_value *table, const char *name)
{
    const struct lun_setting *s = lun_setting_find(scope, name);
    struct lun_value *v = lun_value_get(table, name);
    if (!v || ((s->flags & LUN_CAN_BE_OFF) && is_off(v))) return NULL;
    bool table_wanted = s->type >= LUN_NUMBERS, list_wanted = s->type == LUN_TEXTS || s->type == LUN_NUMBERS || s->type == LUN_WORDS || s->type == LUN_LIST;
    bool right = !table_wanted || v->type == LUN_VALUE_TABLE;
    if (right && list_wanted) right = v->n_list == v->n_items;
    if (right && (s->type == LUN_MAP || s->type == LUN_LISTS || s->type == LUN_PAIRS)) right = !v->n_list;
    if (!right) wrong_kind(l, s, v);
    return right ? v : NULL;
}

void lun_check_rename(struct lun_loading *l, struct lun_value *table, const char *const *names, int n)
{
    int count = table->n_list;
    for (int i = 0; i < count && i < n; i++) {
        struct lun_value *v = table->items[0], *twin;
        if ((twin = lun_value_get(table, names[i]))) { v->used = true, lun_wrong(l, twin, "is said twice"); return; }
        memmove(table->items, table->items + 1, (size_t)(table->n_items - 1) * sizeof *table->items);
        table->n_items--, table->n_list--;
        struct lun_value *named = lun_value_add(table, names[i], &l->scratch);
        const char *key = named->key;
        *named = *v, named->key = key, named->index = 0;
        for (int j = 0; j < named->n_items; j++) named->items[j]->up = named;
    }
}

static int by_place(const void *a, const void *b)
{
    const struct lun_value *const *x = a, *const *y = b;
    if ((*x)->place.at != (*y)->place.at) return (*x)->place.at < (*y)->place.at ? -1 : 1;
    return strcmp((*x)->key, (*y)->key);
}

struct lun_value **lun_check_sorted(struct lun_loading *l, const struct lun_value *table)
{
    struct lun_value **items = lun_arena_alloc(&l->scratch, (size_t)table->n_items * sizeof *items + 1);
    if (!table->n_items) return items;
    memcpy(items, table->items, (size_t)table->n_items * sizeof *items);
    qsort(items, (size_t)table->n_items, sizeof *items, by_place);
    return items;
}

bool lun_check_table(struct lun_loading *l, const struct lun_value *v)
{
    if (v->type == LUN_VALUE_BAD || v->type == LUN_VALUE_FUNCTION) lun_wrong(l, v, "%s", v->text);
    else if (v->type != LUN_VALUE_TABLE) lun_wrong(l, v, "must be a table, not %s", lun_value_show(v, &l->scratch));
    return v->type == LUN_VALUE_TABLE;
}

bool lun_check_line(struct lun_loading *l, const struct lun_value *v, size_t most)
{
    bool fine = v->type == LUN_VALUE_TEXT && v->n && v->n <= most;
    for (size_t i = 0; fine && i < v->n; i++) fine = (unsigned char)v->text[i] >= ' ' && v->text[i] != 127;
    if (fine) return true;
    if (v->type == LUN_VALUE_BAD || v->type == LUN_VALUE_FUNCTION) lun_wrong(l, v, "%s", v->text);
    else if (v->type == LUN_VALUE_TEXT) lun_wrong(l, v, "must be one line of 1 to %zu bytes without control characters", most);
    else lun_wrong(l, v, "must be text, not %s", lun_value_show(v, &l->scratch));
    return false;
}

void lun_check_shows(struct lun_loading *l, const struct lun_value *v)
{
    if (v && v->type == LUN_VALUE_TEXT && v->n && !lun_fold_shows(v->text, v->n))
        lun_wrong(l, v, "must not begin or end with a blank, nor hold characters that do not show or that turn others about");
}

static void *grown(void *items, int n, int *room, size_t size, struct lun_arena *arena)
{
    if (n < *room) return items;
    void *more = lun_arena_alloc(arena, (size_t)(*room = *room ? 2 * *room : 8) * size);
    if (n) memcpy(more, items, (size_t)n * size);
    return more;
}

const char *lun_check_secret(struct lun_loading *l, const struct lun_value *v, const char *plain_problem)
{
    if (v->type == LUN_VALUE_TEXT && !plain_problem) return lun_check_line(l, v, 8192) ? lun_arena_strdup(&l->snapshot->arena, v->text) : NULL;
    if (v->type != LUN_VALUE_SECRET) {
        if (v->type == LUN_VALUE_TEXT) lun_wrong(l, v, "%s", plain_problem);
        else lun_wrong(l, v, "must be secret \"NAME\", not %s", lun_value_show(v, &l->scratch));
        return NULL;
    }
    const struct lun_found *found = v->secret;
    if (!found->value) {
        if (!l->options->no_secrets) lun_wrong(l, v, "%s", found->problem);
        return NULL;
    }
    for (int i = 0; i < l->n_used; i++)
        if (!strcmp(l->used[i].name, found->name)) return l->used[i].value;
    l->used = grown(l->used, l->n_used, &l->used_room, sizeof *l->used, &l->snapshot->arena);
    struct lun_secret *s = &l->used[l->n_used++];
    *s = (struct lun_secret){ lun_arena_strdup(&l->snapshot->arena, found->name), lun_arena_strdup(&l->snapshot->arena, found->value) };
    l->snapshot->secrets = l->used, l->snapshot->n_secrets = l->n_used;
    return s->value;
}

struct lun_pair *lun_check_pairs(struct lun_loading *l, struct lun_value *table, bool secrets, int *n)
{
    struct lun_pair *pairs = lun_arena_alloc(&l->snapshot->arena, (size_t)table->n_items * sizeof *pairs + 1);
    *n = 0;
    for (int i = 0; i < table->n_items; i++) {
        struct lun_value *v = table->items[i];
        const char *value = NULL;
        if (secrets && v->type == LUN_VALUE_SECRET) value = lun_check_secret(l, v, NULL);
        else if (lun_check_line(l, v, 8192)) value = lun_arena_strdup(&l->snapshot->arena, v->text);
        if (value) pairs[(*n)++] = (struct lun_pair){ lun_arena_strdup(&l->snapshot->arena, v->key), value };
    }
    return pairs;
}

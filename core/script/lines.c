#include "script/lines.h"
#include "base/alloc.h"
#include "script/written.h"
#include <stdlib.h>
#include <string.h>

enum { FOUND = 64, FOLLOW = 8, STEPS = 1000000 };

struct found { struct lun_written_table *tables[FOUND]; int n; };

struct lun_lines *lun_lines_new(void)
{
    struct lun_lines *l = lun_zalloc(sizeof *l);
    l->last = &l->first, l->seen_last = &l->seen;
    return l;
}

void lun_lines_free(struct lun_lines *l)
{
    if (!l) return;
    lun_arena_free(&l->arena);
    free(l);
}

void lun_lines_add(struct lun_lines *l, const char *name, const char *module, const char *text, size_t n)
{
    struct lun_written_file *f = lun_arena_zalloc(&l->arena, sizeof *f);
    f->name = lun_arena_strdup(&l->arena, name), f->module = lun_arena_strdup(&l->arena, module);
    f->index = l->n++, f->line = 1, f->last = &f->first;
    *l->last = f, l->last = &f->next;
    lun_written_read(l, f, text, n);
}

static void follow(struct lun_lines *, struct lun_written_file *, const struct lun_written_sources *, struct found *, int depth);

static bool same(struct lun_written_key a, struct lun_written_key b)
{
    return a.name && b.name ? !strcmp(a.name, b.name) : !a.name && !b.name && a.index == b.index;
}

/* The first of the entries with that key; more may follow. n when there is none. */
static int find(const struct lun_written_table *c, struct lun_written_key key)
{
    struct lun_written_entry wanted = { .key = key, .at = -1 };
    int low = 0, high = c->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (lun_written_order(&c->items[middle], &wanted) < 0) low = middle + 1;
        else high = middle;
    }
    return low < c->n && same(c->items[low].key, key) ? low : c->n;
}

static void take(struct found *f, struct lun_written_table *c)
{
    for (int i = 0; i < f->n; i++)
        if (f->tables[i] == c) return;
    if (f->n < FOUND) f->tables[f->n++] = c;
}

static void down(struct lun_lines *l, const struct found *in, struct lun_written_key key, struct found *out, int depth)
{
    for (int i = 0; i < in->n; i++)
        for (int at = find(in->tables[i], key); at < in->tables[i]->n && same(in->tables[i]->items[at].key, key); at++)
            follow(l, in->tables[i]->file, &in->tables[i]->items[at].value, out, depth);
}

static void follow_name(struct lun_lines *l, struct lun_written_file *file, const struct lun_written_source *s, struct found *out, int depth)
{
    struct found at = { .n = 0 }, next;
    for (struct lun_written_name *d = file->first; d; d = d->next)
        if (!strcmp(d->name, s->name)) follow(l, file, &d->value, &at, depth + 1);
    for (int i = 0; i < s->n_path; i++, at = next) {
        next.n = 0;
        down(l, &at, s->path[i], &next, depth + 1);
    }
    for (int i = 0; i < at.n; i++) take(out, at.tables[i]);
}

static void follow(struct lun_lines *l, struct lun_written_file *file, const struct lun_written_sources *sources, struct found *out, int depth)
{
    if (depth > FOLLOW) return;
    for (int i = 0; i < sources->n && ++l->steps < STEPS; i++) {
        const struct lun_written_source *s = &sources->items[i];
        if (s->table) take(out, s->table);
        else if (s->name) follow_name(l, file, s, out, depth);
        else
            for (struct lun_written_file *f = l->first; f; f = f->next)
                if (f->module && !strcmp(f->module, s->module)) follow(l, f, &f->returned, out, depth + 1);
    }
}

/* Whether this entry can be where the value comes from: 5 is not written where the value is 6. */
static bool fits(const struct lun_written_entry *e, const struct lun_value *v)
{
    if (e->literal == LUN_TOKEN_TEXT) return v->type == LUN_VALUE_BAD || (v->type == LUN_VALUE_TEXT && !strcmp(v->text, e->text));
    if (e->literal == LUN_TOKEN_NUMBER) return v->type == LUN_VALUE_BAD || (v->type == LUN_VALUE_NUMBER && v->number == e->number);
    return true;
}

static void place_item(struct lun_lines *l, const struct found *in, struct lun_value *v, struct found *out)
{
    struct lun_written_key key = { v->key, v->index };
    bool made = false;
    out->n = 0;
    for (int i = 0; i < in->n; i++) {
        struct lun_written_table *c = in->tables[i];
        for (int at = find(c, key); at < c->n && same(c->items[at].key, key); at++) {
            if (!fits(&c->items[at], v)) continue;
            if (!made || !c->items[at].passing) v->place = (struct lun_place){ c->file->name, c->items[at].line, c->items[at].at };
            made |= !c->items[at].passing;
            follow(l, c->file, &c->items[at].value, out, 0);
        }
    }
}

static void place(struct lun_lines *l, const struct found *in, struct lun_value *v)
{
    for (int i = 0; i < in->n; i++) {
        struct lun_written_table *c = in->tables[i];
        if (c->seen) continue;
        c->seen = true;
        *l->seen_last = c, l->seen_last = &c->next_seen;
    }
    if (v->type != LUN_VALUE_TABLE) return;
    for (int i = 0; i < v->n_items; i++) {
        struct found out;
        v->items[i]->place = v->place;
        place_item(l, in, v->items[i], &out);
        place(l, &out, v->items[i]);
    }
}

int lun_lines_returned(const struct lun_lines *l) { return l->first ? l->first->line : 1; }

void lun_lines_place(struct lun_lines *l, struct lun_value *root)
{
    struct found in = { .n = 0 };
    if (!l->first) return;
    root->place = (struct lun_place){ l->first->name, l->first->line, 0 };
    follow(l, l->first, &l->first->returned, &in, 0);
    place(l, &in, root);
}

void lun_lines_each_twice(struct lun_lines *l, lun_lines_twice *tell, void *self)
{
    for (struct lun_written_table *c = l->seen; c; c = c->next_seen)
        for (int i = 1; i < c->n; i++)
            if (c->items[i].key.name && same(c->items[i].key, c->items[i - 1].key))
                tell(self, c->file->name, c->items[i].line, c->items[i - 1].line, c->items[i].key.name);
}

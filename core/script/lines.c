#include "script/lines.h"
#include "base/alloc.h"
#include "script/lexer.h"
#include <stdlib.h>
#include <string.h>

enum { PATH = 6, NESTED = 60, FOUND = 64, FOLLOW = 8, STEPS = 1000000 };

struct key { const char *name; int index; };            /* name NULL: a position in a list */

/* What an expression may take its entries from: constructors in it, names and modules it mentions. */
struct source { struct constructor *table; const char *name, *module; struct key path[PATH]; int n_path; };
struct sources { struct source *items; int n, room; };

struct entry {
    struct key key;
    int line; int64_t at;
    enum lun_token literal; const char *text; double number;    /* TEXT, NUMBER: the value is just that; END: it is more */
    struct sources value;
    bool passing;                       /* x in `t.x.y = 5`: a way to it, not where it was made */
};
struct constructor { struct entry *items; int n, room, list; bool seen; struct file *file; struct constructor *next_seen; };
struct definition { struct definition *next; const char *name; struct sources value; };

struct file {
    struct file *next;
    const char *name, *module;
    int index, line;                    /* line: of the last return */
    struct definition *first, **last;
    struct sources returned;
};
struct lun_lines { struct lun_arena arena; struct file *first, **last; int n, steps; struct constructor *seen, **seen_last; };
struct parser { struct lun_lexer lexer; struct lun_lines *lines; struct file *file; int depth; };

struct found { struct constructor *tables[FOUND]; int n; };

static void *grown(struct lun_lines *l, void *items, int n, int *room, size_t size)
{
    if (n < *room) return items;
    *room = *room ? 2 * *room : 4;
    void *more = lun_arena_alloc(&l->arena, (size_t)*room * size);
    if (n) memcpy(more, items, (size_t)n * size);
    return more;
}

static struct source *mention(struct lun_lines *l, struct sources *s)
{
    s->items = grown(l, s->items, s->n, &s->room, sizeof *s->items);
    return memset(&s->items[s->n++], 0, sizeof *s->items);
}

static struct entry *enter(struct parser *p, struct constructor *c)
{
    c->items = grown(p->lines, c->items, c->n, &c->room, sizeof *c->items);
    struct entry *e = memset(&c->items[c->n++], 0, sizeof *c->items);
    e->line = p->lexer.token_line, e->at = ((int64_t)p->file->index << 32) + p->lexer.offset;
    return e;
}

static struct constructor *new_constructor(struct parser *p)
{
    struct constructor *c = lun_arena_zalloc(&p->lines->arena, sizeof *c);
    c->file = p->file;
    return c;
}

/* ---- reading ---- */

static bool one_of(const struct lun_lexer *l, const char *const *words)
{
    for (; *words; words++)
        if (lun_lexer_is(l, *words)) return true;
    return false;
}

static bool operator_word(const struct lun_lexer *l) { return one_of(l, (const char *const[]){ "and", "or", "not", NULL }); }

static bool statement_word(const struct lun_lexer *l)
{
    return one_of(l, (const char *const[]){ "local", "return", "if", "then", "else", "elseif", "end", "for", "in", "while", "do", "repeat", "until", "break", "goto", NULL });
}

/* At `function`; gives the first word behind its `end`. */
static void skip_function(struct lun_lexer *l)
{
    int open = 0;
    do {
        if (one_of(l, (const char *const[]){ "function", "if", "do", "repeat", NULL })) open++;
        else if (one_of(l, (const char *const[]){ "end", "until", NULL })) open--;
        lun_lexer_next(l);
    } while (open > 0 && l->kind != LUN_TOKEN_END);
}

/* Behind a name: .x, ["x"], [1] as far as they go. */
static int read_path(struct lun_lexer *l, struct key path[PATH])
{
    int n = 0;
    for (; n < PATH; n++) {
        if (lun_lexer_at(l, '.')) {
            lun_lexer_next(l);
            if (l->kind != LUN_TOKEN_NAME) return -1;
            path[n] = (struct key){ .name = l->text };
        } else if (lun_lexer_at(l, '[')) {
            lun_lexer_next(l);
            if (l->kind != LUN_TOKEN_TEXT && l->kind != LUN_TOKEN_NUMBER) return -1;
            path[n] = l->kind == LUN_TOKEN_TEXT ? (struct key){ .name = l->text } : (struct key){ .index = (int)l->number };
            lun_lexer_next(l);
            if (!lun_lexer_at(l, ']')) return -1;
        } else break;
        lun_lexer_next(l);
    }
    return n;
}

static void read_name(struct parser *p, struct sources *out)
{
    struct lun_lexer *l = &p->lexer;
    struct source s = { .name = l->text };
    lun_lexer_next(l);
    s.n_path = read_path(l, s.path);
    if (!strcmp(s.name, "require") && !s.n_path) {
        if (lun_lexer_at(l, '(')) lun_lexer_next(l);
        if (l->kind == LUN_TOKEN_TEXT) *mention(p->lines, out) = (struct source){ .module = l->text };
        return;
    }
    bool call = lun_lexer_at(l, '(') || lun_lexer_at(l, '{') || lun_lexer_at(l, ':') || l->kind == LUN_TOKEN_TEXT;
    if (!call && s.n_path >= 0) *mention(p->lines, out) = s;
}

static struct constructor *read_table(struct parser *p);

/* An expression, up to the comma, bracket or statement behind it. `only` (may be NULL) hears of a single literal. */
static void read_value(struct parser *p, struct sources *out, struct entry *only)
{
    struct lun_lexer *l = &p->lexer;
    bool operand = false;       /* the last word can be the end of an expression */
    for (int open = 0, words = 0; l->kind != LUN_TOKEN_END; words++) {
        if (open == 0 && (lun_lexer_at(l, ',') || lun_lexer_at(l, ';') || lun_lexer_at(l, '}') || lun_lexer_at(l, ')') || lun_lexer_at(l, ']'))) return;
        if (only && words == 1) only->literal = LUN_TOKEN_END;
        if (l->kind == LUN_TOKEN_NAME) {
            if (statement_word(l) || (operand && open == 0 && !operator_word(l))) return;
            operand = !operator_word(l);
            if (lun_lexer_is(l, "function")) skip_function(l);
            else if (operand) read_name(p, out);
            else lun_lexer_next(l);
            continue;
        }
        operand = l->kind != LUN_TOKEN_SIGN || lun_lexer_at(l, ')') || lun_lexer_at(l, ']') || lun_lexer_at(l, '{');
        if (lun_lexer_at(l, '{')) { mention(p->lines, out)->table = read_table(p); continue; }
        if (lun_lexer_at(l, '(') || lun_lexer_at(l, '[')) open++;
        if (lun_lexer_at(l, ')') || lun_lexer_at(l, ']')) open--;
        if (only && words == 0 && operand) only->literal = l->kind, only->text = l->text, only->number = l->number;
        lun_lexer_next(l);
    }
}

/* [x] = or name = ; false: neither, a value of the list begins. */
static bool read_key(struct parser *p, struct constructor *c)
{
    struct lun_lexer *l = &p->lexer, before = *l;
    struct entry *e = enter(p, c);
    struct key path[PATH];
    if (lun_lexer_at(l, '[')) {
        if (read_path(l, path) == 1) e->key = path[0];
        else {
            *l = before;
            lun_lexer_next(l);
            read_value(p, &(struct sources){ 0 }, NULL);
            lun_lexer_next(l);
        }
    } else if (l->kind == LUN_TOKEN_NAME) e->key.name = l->text, lun_lexer_next(l);
    if (lun_lexer_at(l, '=')) { lun_lexer_next(l); return true; }
    *l = before;
    e->key = (struct key){ .index = ++c->list };
    return false;
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (!x->key.name || !y->key.name) {
        if (x->key.name || y->key.name) return x->key.name ? 1 : -1;
        if (x->key.index != y->key.index) return x->key.index < y->key.index ? -1 : 1;
    } else if (strcmp(x->key.name, y->key.name)) return strcmp(x->key.name, y->key.name);
    return x->at < y->at ? -1 : x->at > y->at;
}

/* At {; gives the first word behind }. */
static struct constructor *read_table(struct parser *p)
{
    struct lun_lexer *l = &p->lexer;
    struct constructor *c = new_constructor(p);
    lun_lexer_next(l);
    if (++p->depth > NESTED) l->at = l->end;            /* no place beyond is known */
    while (l->kind != LUN_TOKEN_END && !lun_lexer_at(l, '}')) {
        const char *at = l->at;
        read_key(p, c);
        struct entry e = c->items[c->n - 1];            /* what is read next may move the items of c, never of another */
        e.literal = LUN_TOKEN_END;
        read_value(p, &e.value, &e);
        c->items[c->n - 1] = e;
        if (lun_lexer_at(l, ',') || lun_lexer_at(l, ';') || l->at == at) lun_lexer_next(l);
        else if (!lun_lexer_at(l, '}')) lun_lexer_next(l);
    }
    lun_lexer_next(l);
    p->depth--;
    if (c->n) qsort(c->items, (size_t)c->n, sizeof *c->items, by_key);
    return c;
}

static struct sources *define(struct parser *p, const char *name)
{
    struct definition *d = lun_arena_zalloc(&p->lines->arena, sizeof *d);
    d->name = name;
    *p->file->last = d, p->file->last = &d->next;
    return &d->value;
}

static void read_local(struct parser *p)
{
    struct lun_lexer *l = &p->lexer;
    const char *names[16];
    int n = 0, i = 0;
    lun_lexer_next(l);
    if (lun_lexer_is(l, "function")) { skip_function(l); return; }
    while (l->kind == LUN_TOKEN_NAME && n < 16) {
        names[n++] = l->text;
        lun_lexer_next(l);
        if (!lun_lexer_at(l, ',')) break;
        lun_lexer_next(l);
    }
    if (!lun_lexer_at(l, '=')) return;
    do {
        lun_lexer_next(l);
        read_value(p, i < n ? define(p, names[i++]) : &(struct sources){ 0 }, NULL);
    } while (lun_lexer_at(l, ','));
}

/* name.x["y"] = value: a constructor is made up that has just this entry. */
static void read_assignment(struct parser *p)
{
    struct lun_lexer *l = &p->lexer, at = *l;
    struct key path[PATH];
    const char *name = l->text;
    lun_lexer_next(l);
    int n = read_path(l, path);
    if (n < 0 || !lun_lexer_at(l, '=')) return;
    struct sources *s = define(p, name);
    for (int i = 0; i < n; i++) {
        struct constructor *c = mention(p->lines, s)->table = new_constructor(p);
        struct entry *e = enter(p, c);
        e->key = path[i], e->line = at.token_line, e->at = ((int64_t)p->file->index << 32) + at.offset;
        e->literal = LUN_TOKEN_END, e->passing = i < n - 1;
        s = &e->value;
    }
    lun_lexer_next(l);
    read_value(p, s, NULL);
}

static void read_file(struct parser *p)
{
    struct lun_lexer *l = &p->lexer;
    lun_lexer_next(l);
    while (l->kind != LUN_TOKEN_END) {
        if (lun_lexer_is(l, "function")) skip_function(l);
        else if (lun_lexer_is(l, "local")) read_local(p);
        else if (lun_lexer_is(l, "return")) {
            p->file->line = l->token_line;
            lun_lexer_next(l);
            read_value(p, &p->file->returned, NULL);
        }
        else if (lun_lexer_at(l, '{')) read_table(p);
        else if (l->kind == LUN_TOKEN_NAME && !statement_word(l) && !operator_word(l)) read_assignment(p);
        else lun_lexer_next(l);
    }
}

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
    struct file *f = lun_arena_zalloc(&l->arena, sizeof *f);
    f->name = lun_arena_strdup(&l->arena, name), f->module = lun_arena_strdup(&l->arena, module);
    f->index = l->n++, f->line = 1, f->last = &f->first;
    *l->last = f, l->last = &f->next;
    struct parser p = { .lines = l, .file = f, .lexer = { .at = text, .start = text, .end = text + n, .line = 1, .arena = &l->arena } };
    read_file(&p);
}

/* ---- finding ---- */

static void follow(struct lun_lines *, struct file *, const struct sources *, struct found *, int depth);

static bool same(struct key a, struct key b)
{
    return a.name && b.name ? !strcmp(a.name, b.name) : !a.name && !b.name && a.index == b.index;
}

/* The first of the entries with that key; more may follow. n when there is none. */
static int find(const struct constructor *c, struct key key)
{
    struct entry wanted = { .key = key, .at = -1 };
    int low = 0, high = c->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (by_key(&c->items[middle], &wanted) < 0) low = middle + 1;
        else high = middle;
    }
    return low < c->n && same(c->items[low].key, key) ? low : c->n;
}

static void take(struct found *f, struct constructor *c)
{
    for (int i = 0; i < f->n; i++)
        if (f->tables[i] == c) return;
    if (f->n < FOUND) f->tables[f->n++] = c;
}

static void down(struct lun_lines *l, const struct found *in, struct key key, struct found *out, int depth)
{
    for (int i = 0; i < in->n; i++)
        for (int at = find(in->tables[i], key); at < in->tables[i]->n && same(in->tables[i]->items[at].key, key); at++)
            follow(l, in->tables[i]->file, &in->tables[i]->items[at].value, out, depth);
}

static void follow_name(struct lun_lines *l, struct file *file, const struct source *s, struct found *out, int depth)
{
    struct found at = { .n = 0 }, next;
    for (struct definition *d = file->first; d; d = d->next)
        if (!strcmp(d->name, s->name)) follow(l, file, &d->value, &at, depth + 1);
    for (int i = 0; i < s->n_path; i++, at = next) {
        next.n = 0;
        down(l, &at, s->path[i], &next, depth + 1);
    }
    for (int i = 0; i < at.n; i++) take(out, at.tables[i]);
}

static void follow(struct lun_lines *l, struct file *file, const struct sources *sources, struct found *out, int depth)
{
    if (depth > FOLLOW) return;
    for (const struct source *s = sources->items; s < sources->items + sources->n && ++l->steps < STEPS; s++) {
        if (s->table) take(out, s->table);
        else if (s->name) follow_name(l, file, s, out, depth);
        else
            for (struct file *f = l->first; f; f = f->next)
                if (f->module && !strcmp(f->module, s->module)) follow(l, f, &f->returned, out, depth + 1);
    }
}

/* Whether this entry can be where the value comes from: 5 is not written where the value is 6. */
static bool fits(const struct entry *e, const struct lun_value *v)
{
    if (e->literal == LUN_TOKEN_TEXT) return v->type == LUN_VALUE_BAD || (v->type == LUN_VALUE_TEXT && !strcmp(v->text, e->text));
    if (e->literal == LUN_TOKEN_NUMBER) return v->type == LUN_VALUE_BAD || (v->type == LUN_VALUE_NUMBER && v->number == e->number);
    return true;
}

static void place_item(struct lun_lines *l, const struct found *in, struct lun_value *v, struct found *out)
{
    struct key key = { v->key, v->index };
    bool made = false;
    out->n = 0;
    for (int i = 0; i < in->n; i++) {
        struct constructor *c = in->tables[i];
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
        struct constructor *c = in->tables[i];
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
    for (struct constructor *c = l->seen; c; c = c->next_seen)
        for (int i = 1; i < c->n; i++)
            if (c->items[i].key.name && same(c->items[i].key, c->items[i - 1].key))
                tell(self, c->file->name, c->items[i].line, c->items[i - 1].line, c->items[i].key.name);
}

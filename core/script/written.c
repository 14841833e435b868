#include "script/written.h"
#include <stdlib.h>
#include <string.h>

enum { NESTED = 60 };

struct parser { struct lun_lexer lexer; struct lun_lines *lines; struct lun_written_file *file; int depth; };

static void *grown(struct lun_lines *l, void *items, int n, int *room, size_t size)
{
    if (n < *room) return items;
    *room = *room ? 2 * *room : 4;
    void *more = lun_arena_alloc(&l->arena, (size_t)*room * size);
    if (n) memcpy(more, items, (size_t)n * size);
    return more;
}

static struct lun_written_source *mention(struct lun_lines *l, struct lun_written_sources *s)
{
    s->items = grown(l, s->items, s->n, &s->room, sizeof *s->items);
    return memset(&s->items[s->n++], 0, sizeof *s->items);
}

static struct lun_written_entry *enter(struct parser *p, struct lun_written_table *c)
{
    c->items = grown(p->lines, c->items, c->n, &c->room, sizeof *c->items);
    struct lun_written_entry *e = memset(&c->items[c->n++], 0, sizeof *c->items);
    e->line = p->lexer.token_line, e->at = ((int64_t)p->file->index << 32) + p->lexer.offset;
    return e;
}

static struct lun_written_table *new_constructor(struct parser *p)
{
    struct lun_written_table *c = lun_arena_zalloc(&p->lines->arena, sizeof *c);
    c->file = p->file;
    return c;
}

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
static int read_path(struct lun_lexer *l, struct lun_written_key path[LUN_WRITTEN_PATH])
{
    int n = 0;
    for (; n < LUN_WRITTEN_PATH; n++) {
        if (lun_lexer_at(l, '.')) {
            lun_lexer_next(l);
            if (l->kind != LUN_TOKEN_NAME) return -1;
            path[n] = (struct lun_written_key){ .name = l->text };
        } else if (lun_lexer_at(l, '[')) {
            lun_lexer_next(l);
            if (l->kind != LUN_TOKEN_TEXT && l->kind != LUN_TOKEN_NUMBER) return -1;
            path[n] = l->kind == LUN_TOKEN_TEXT ? (struct lun_written_key){ .name = l->text } : (struct lun_written_key){ .index = (int)l->number };
            lun_lexer_next(l);
            if (!lun_lexer_at(l, ']')) return -1;
        } else break;
        lun_lexer_next(l);
    }
    return n;
}

static void read_name(struct parser *p, struct lun_written_sources *out)
{
    struct lun_lexer *l = &p->lexer;
    struct lun_written_source s = { .name = l->text };
    lun_lexer_next(l);
    s.n_path = read_path(l, s.path);
    if (!strcmp(s.name, "require") && !s.n_path) {
        if (lun_lexer_at(l, '(')) lun_lexer_next(l);
        if (l->kind == LUN_TOKEN_TEXT) *mention(p->lines, out) = (struct lun_written_source){ .module = l->text };
        return;
    }
    bool call = lun_lexer_at(l, '(') || lun_lexer_at(l, '{') || lun_lexer_at(l, ':') || l->kind == LUN_TOKEN_TEXT;
    if (!call && s.n_path >= 0) *mention(p->lines, out) = s;
}

static struct lun_written_table *read_table(struct parser *p);

/* An expression, up to the comma, bracket or statement behind it. `only` (may be NULL) hears of a single literal. */
static void read_value(struct parser *p, struct lun_written_sources *out, struct lun_written_entry *only)
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
static bool read_key(struct parser *p, struct lun_written_table *c)
{
    struct lun_lexer *l = &p->lexer, before = *l;
    struct lun_written_entry *e = enter(p, c);
    struct lun_written_key path[LUN_WRITTEN_PATH];
    if (lun_lexer_at(l, '[')) {
        if (read_path(l, path) == 1) e->key = path[0];
        else {
            *l = before;
            lun_lexer_next(l);
            read_value(p, &(struct lun_written_sources){ 0 }, NULL);
            lun_lexer_next(l);
        }
    } else if (l->kind == LUN_TOKEN_NAME) e->key.name = l->text, lun_lexer_next(l);
    if (lun_lexer_at(l, '=')) { lun_lexer_next(l); return true; }
    *l = before;
    e->key = (struct lun_written_key){ .index = ++c->list };
    return false;
}

int lun_written_order(const struct lun_written_entry *x, const struct lun_written_entry *y)
{
    if (!x->key.name || !y->key.name) {
        if (x->key.name || y->key.name) return x->key.name ? 1 : -1;
        if (x->key.index != y->key.index) return x->key.index < y->key.index ? -1 : 1;
    } else if (strcmp(x->key.name, y->key.name)) return strcmp(x->key.name, y->key.name);
    return x->at < y->at ? -1 : x->at > y->at;
}

static int by_key(const void *a, const void *b) { return lun_written_order(a, b); }

/* At {; gives the first word behind }. */
static struct lun_written_table *read_table(struct parser *p)
{
    struct lun_lexer *l = &p->lexer;
    struct lun_written_table *c = new_constructor(p);
    lun_lexer_next(l);
    if (++p->depth > NESTED) l->at = l->end;            /* no place beyond is known */
    while (l->kind != LUN_TOKEN_END && !lun_lexer_at(l, '}')) {
        const char *at = l->at;
        read_key(p, c);
        struct lun_written_entry e = c->items[c->n - 1];            /* what is read next may move the items of c, never of another */
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

static struct lun_written_sources *define(struct parser *p, const char *name)
{
    struct lun_written_name *d = lun_arena_zalloc(&p->lines->arena, sizeof *d);
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
        read_value(p, i < n ? define(p, names[i++]) : &(struct lun_written_sources){ 0 }, NULL);
    } while (lun_lexer_at(l, ','));
}

/* name.x["y"] = value: a constructor is made up that has just this entry. */
static void read_assignment(struct parser *p)
{
    struct lun_lexer *l = &p->lexer, at = *l;
    struct lun_written_key path[LUN_WRITTEN_PATH];
    const char *name = l->text;
    lun_lexer_next(l);
    int n = read_path(l, path);
    if (n < 0 || !lun_lexer_at(l, '=')) return;
    struct lun_written_sources *s = define(p, name);
    for (int i = 0; i < n; i++) {
        struct lun_written_table *c = mention(p->lines, s)->table = new_constructor(p);
        struct lun_written_entry *e = enter(p, c);
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

void lun_written_read(struct lun_lines *l, struct lun_written_file *f, const char *text, size_t n)
{
    struct parser p = { .lines = l, .file = f, .lexer = { .at = text, .start = text, .end = text + n, .line = 1, .arena = &l->arena } };
    read_file(&p);
}

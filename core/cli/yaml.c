#include "cli/yaml.h"
#include "state/names.h"
#include <string.h>
#include <yaml.h>

struct reader {
    const char *name, *text; size_t n;
    yaml_parser_t parser;
    yaml_event_t event;             /* the one that is looked at; `there` says whether it is to be given back */
    bool there;
    struct lun_names anchors;
    size_t nodes;                   /* made so far: an alias makes none */
    struct lun_arena *arena;
    struct lun_mistakes *mistakes, *notes;
};

static int line_of(const yaml_event_t *e) { return (int)e->start_mark.line + 1; }

static void *wrong(struct reader *r, int line, const char *what)
{
    lun_mistakes_add(r->mistakes, r->name, line, "%s", what);
    return NULL;
}

static void *many(struct reader *r, int line, int most, const char *what)
{
    lun_mistakes_add(r->mistakes, r->name, line, "more than %d %s", most, what);
    return NULL;
}

/* ---- events ---- */

static void drop(struct reader *r)
{
    if (r->there) yaml_event_delete(&r->event);
    r->there = false;
}

/* libyaml reads ahead: of bytes that are no text it tells where they are, and not in which line. */
static int line_at(const struct reader *r, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < r->n && i < offset; i++) line += r->text[i] == '\n';
    return line;
}

/* libyaml's own words: they are constant, nothing of the text is in them. */
static bool broken(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    bool read = p->error == YAML_READER_ERROR;
    int line = read ? line_at(r, p->problem_offset) : (int)p->problem_mark.line + 1;
    const char *what = p->problem ? p->problem : "not enough memory";
    if (!read && p->context && p->context_mark.line != p->problem_mark.line)
        lun_mistakes_add(r->mistakes, r->name, line, "is no YAML: %s, %s (from line %d on)", what, p->context, (int)p->context_mark.line + 1);
    else lun_mistakes_add(r->mistakes, r->name, line, "is no YAML: %s", what);
    return false;
}

static bool next(struct reader *r)
{
    drop(r);
    if (!yaml_parser_parse(&r->parser, &r->event)) return broken(r);
    return r->there = true;
}

/* ---- nodes ---- */

static struct lun_yaml *value(struct reader *r, int depth);

static struct lun_yaml *make(struct reader *r, enum lun_yaml_kind kind)
{
    struct lun_yaml *v = lun_arena_zalloc(r->arena, sizeof *v);
    *v = (struct lun_yaml){ .kind = kind, .file = r->name, .line = line_of(&r->event), .nodes = 1, .text = "" };
    return v;
}

static void *grown(struct reader *r, const void *old, int n, size_t size)
{
    void *more = lun_arena_alloc(r->arena, (size_t)n * 2 * size);
    return n && old ? memcpy(more, old, (size_t)n * size) : more;
}

/* Room is a power of two, so that `n` says when there is none left. */
static void add(struct reader *r, struct lun_yaml *v, const char *name, int line, struct lun_yaml *item)
{
    int n = v->n_items;
    if (!(n & (n - 1))) {
        v->items = grown(r, v->items, n ? n : 1, sizeof *v->items);
        if (v->kind == LUN_YAML_MAP) v->names = grown(r, v->names, n ? n : 1, sizeof *v->names), v->lines = grown(r, v->lines, n ? n : 1, sizeof *v->lines);
    }
    v->items[n] = item;
    if (v->kind == LUN_YAML_MAP) v->names[n] = name, v->lines[n] = line;
    v->n_items++;
}

static bool fits(struct reader *r, struct lun_yaml *v, const struct lun_yaml *item, int line)
{
    v->nodes += item->nodes;
    if (v->nodes <= LUN_YAML_NODES) return true;
    lun_mistakes_add(r->mistakes, r->name, line, "with its aliases written out it has more than %d values", LUN_YAML_NODES);
    return false;
}

static const char *tag_of(const yaml_event_t *e)
{
    const yaml_char_t *tag = e->type == YAML_SCALAR_EVENT ? e->data.scalar.tag : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.tag
                                                                                                                     : e->data.mapping_start.tag;
    return tag ? (const char *)tag : "";
}

static const char *anchor_of(const yaml_event_t *e)
{
    return (const char *)(e->type == YAML_SCALAR_EVENT ? e->data.scalar.anchor : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
                                                                                                                     : e->data.mapping_start.anchor);
}

static bool known_tag(const char *tag, enum lun_yaml_kind kind)
{
    static const char *const known[][5] = { [LUN_YAML_TEXT] = { "str", "int", "float", "bool", "null" }, [LUN_YAML_LIST] = { "seq" }, [LUN_YAML_MAP] = { "map" } };
    static const char begin[] = "tag:yaml.org,2002:";
    if (!*tag || !strcmp(tag, "!")) return true;
    if (strncmp(tag, begin, sizeof begin - 1)) return false;
    for (int i = 0; i < 5 && known[kind][i]; i++)
        if (!strcmp(tag + sizeof begin - 1, known[kind][i])) return true;
    return false;
}

static struct lun_yaml *scalar(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    struct lun_yaml *v = make(r, LUN_YAML_TEXT);
    size_t n = e->data.scalar.length;
    v->text = lun_arena_strndup(r->arena, (const char *)e->data.scalar.value, n);
    v->n = n;
    v->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !strstr(tag_of(e), ":str") && strcmp(tag_of(e), "!");
    if (strlen(v->text) != n) return wrong(r, v->line, "a text with a byte 0 in it");
    return v;
}

static struct lun_yaml *list(struct reader *r, int depth)
{
    struct lun_yaml *v = make(r, LUN_YAML_LIST);
    while (next(r) && r->event.type != YAML_SEQUENCE_END_EVENT) {
        int line = line_of(&r->event);
        struct lun_yaml *item = value(r, depth + 1);
        if (!item || !fits(r, v, item, line)) return NULL;
        add(r, v, NULL, 0, item);
    }
    return r->there ? v : NULL;
}

/* Where the names of a map are in it, while it is read. */
static int place(const struct lun_names *places, const char *name)
{
    const int *at = lun_names_get(places, name);
    return at ? *at : -1;
}

static void remember(struct reader *r, struct lun_names *places, const char *name, int at)
{
    int *kept = lun_arena_alloc(r->arena, sizeof *kept);
    *kept = at;
    lun_names_put(places, name, kept);
}

static bool merge_one(struct reader *r, struct lun_yaml *v, struct lun_names *places, const struct lun_yaml *from, int line)
{
    if (from->kind != LUN_YAML_MAP) return wrong(r, line, "`<<` takes a map or a list of maps"), false;
    for (int i = 0; i < from->n_items; i++) {
        if (place(places, from->names[i]) >= 0) continue;
        remember(r, places, from->names[i], v->n_items);
        add(r, v, from->names[i], from->lines[i], from->items[i]);
        if (!fits(r, v, from->items[i], line)) return false;
    }
    return true;
}

/* What the map itself says stands before what is merged in, and the first of a list before the others. */
static bool merge(struct reader *r, struct lun_yaml *v, struct lun_names *places, const struct lun_yaml *merged)
{
    for (int i = 0; i < merged->n_items; i++) {
        const struct lun_yaml *from = merged->items[i];
        if (from->kind != LUN_YAML_LIST) {
            if (!merge_one(r, v, places, from, from->line)) return false;
            continue;
        }
        for (int j = 0; j < from->n_items; j++)
            if (!merge_one(r, v, places, from->items[j], from->line)) return false;
    }
    return true;
}

static void enter(struct reader *r, struct lun_yaml *v, struct lun_names *places, const struct lun_yaml *name, struct lun_yaml *item)
{
    int at = place(places, name->text);
    if (at < 0) {
        remember(r, places, name->text, v->n_items);
        add(r, v, name->text, name->line, item);
        return;
    }
    lun_mistakes_add(r->notes, r->name, name->line, "`%s` is said twice, in line %d too: the last one counts", name->text, v->lines[at]);
    v->items[at] = item;
    v->lines[at] = name->line;
}

static bool pairs(struct reader *r, struct lun_yaml *v, struct lun_yaml *merged, struct lun_names *places, int depth)
{
    while (next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
        int line = line_of(&r->event);
        struct lun_yaml *name = value(r, depth + 1);
        if (!name) return false;
        if (name->kind != LUN_YAML_TEXT) return wrong(r, line, "a name that is a list or a map"), false;
        struct lun_yaml *item = next(r) ? value(r, depth + 1) : NULL;
        if (!item || !fits(r, v, item, line)) return false;
        if (name->plain && !strcmp(name->text, "<<")) add(r, merged, NULL, 0, item);
        else enter(r, v, places, name, item);
    }
    return r->there;
}

static struct lun_yaml *map(struct reader *r, int depth)
{
    struct lun_yaml *v = make(r, LUN_YAML_MAP), *merged = make(r, LUN_YAML_LIST);
    struct lun_names places = {0};
    bool good = pairs(r, v, merged, &places, depth) && merge(r, v, &places, merged);
    lun_names_free(&places, NULL);
    return good ? v : NULL;
}

static struct lun_yaml *alias(struct reader *r)
{
    struct lun_yaml *v = lun_names_get(&r->anchors, (const char *)r->event.data.alias.anchor);
    return v ? v : wrong(r, line_of(&r->event), "an alias for what has not been said, or not to its end");
}

/* An anchor counts once its value is there to the end: so nothing can hold itself. */
static void keep(struct reader *r, const char *anchor, struct lun_yaml *v)
{
    if (!anchor || !v) return;
    lun_names_take(&r->anchors, anchor);
    lun_names_put(&r->anchors, anchor, v);
}

static struct lun_yaml *value(struct reader *r, int depth)
{
    const yaml_event_t *e = &r->event;
    int line = line_of(e);
    if (e->type == YAML_ALIAS_EVENT) return alias(r);
    if (depth > LUN_YAML_DEEP) return many(r, line, LUN_YAML_DEEP, "levels");
    if (++r->nodes > LUN_YAML_NODES) return many(r, line, LUN_YAML_NODES, "values");
    enum lun_yaml_kind kind = e->type == YAML_SCALAR_EVENT ? LUN_YAML_TEXT : e->type == YAML_SEQUENCE_START_EVENT ? LUN_YAML_LIST : LUN_YAML_MAP;
    if (!known_tag(tag_of(e), kind)) return wrong(r, line, "a tag that is not known here");
    const char *anchor = lun_arena_strdup(r->arena, anchor_of(e));
    struct lun_yaml *v = kind == LUN_YAML_TEXT ? scalar(r) : kind == LUN_YAML_LIST ? list(r, depth) : map(r, depth);
    keep(r, anchor, v);
    return v;
}

/* ---- documents ---- */

static struct lun_yaml *nothing(struct reader *r)
{
    struct lun_yaml *v = lun_arena_zalloc(r->arena, sizeof *v);
    *v = (struct lun_yaml){ .kind = LUN_YAML_TEXT, .file = r->name, .line = 1, .text = "", .plain = true, .nodes = 1 };
    return v;
}

static struct lun_yaml *document(struct reader *r)
{
    if (!next(r) || !next(r)) return NULL;                                          /* the stream's beginning, a document's */
    if (r->event.type == YAML_STREAM_END_EVENT) return nothing(r);
    struct lun_yaml *v = next(r) ? value(r, 1) : NULL;
    if (!v || !next(r) || !next(r)) return NULL;                                    /* the document's end, what is behind it */
    return r->event.type == YAML_STREAM_END_EVENT ? v : wrong(r, line_of(&r->event), "a second document begins: one is read, as LiteLLM does");
}

struct lun_yaml *lun_yaml_read(const char *name, const char *text, size_t n, struct lun_arena *arena, struct lun_mistakes *mistakes, struct lun_mistakes *notes)
{
    struct reader r = { .name = lun_arena_strdup(arena, name), .text = text, .n = n, .arena = arena, .mistakes = mistakes, .notes = notes };
    if (!yaml_parser_initialize(&r.parser)) return wrong(&r, 0, "not enough memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    struct lun_yaml *v = document(&r);
    drop(&r);
    yaml_parser_delete(&r.parser);
    lun_names_free(&r.anchors, NULL);
    return v;
}

/* ---- looking, changing ---- */

struct lun_yaml *lun_yaml_get(const struct lun_yaml *map, const char *name)
{
    for (int i = 0; map && map->kind == LUN_YAML_MAP && i < map->n_items; i++)
        if (!strcmp(map->names[i], name)) return map->items[i];
    return NULL;
}

void lun_yaml_set(struct lun_yaml *map, const char *name, int line, struct lun_yaml *value, struct lun_arena *arena)
{
    struct reader r = { .arena = arena };
    for (int i = 0; i < map->n_items; i++) {
        if (strcmp(map->names[i], name)) continue;
        map->items[i] = value;
        map->lines[i] = line;
        return;
    }
    add(&r, map, name, line, value);
}

void lun_yaml_extend(struct lun_yaml *list, const struct lun_yaml *more, struct lun_arena *arena)
{
    struct reader r = { .arena = arena };
    for (int i = 0; i < more->n_items; i++) add(&r, list, NULL, 0, more->items[i]);
}

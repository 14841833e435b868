#include "script/configured.h"
#include <string.h>
#include "base/text.h"
#include "script/lexer.h"

#define NAMES_MOST 256

static const struct { const char *word, *method; } named[] = {
#define X(id, word, method) { word, method },
    LUN_NAMED(X)
#undef X
};

const char *lun_named_word(enum lun_named what)   { return named[what].word; }
const char *lun_named_method(enum lun_named what) { return named[what].method; }

static size_t names_of(const struct lun_snapshot *s, enum lun_named what, const char *names[NAMES_MOST])
{
    size_t n = 0;
    if (what == LUN_NAMED_MODEL) for (int i = 0; i < s->n_models && n < NAMES_MOST; i++) names[n++] = s->models[i].name;
    if (what == LUN_NAMED_TARGET) for (int i = 0; i < s->n_targets && n < NAMES_MOST; i++) names[n++] = s->targets[i].name;
    if (what == LUN_NAMED_PROVIDER) for (int i = 0; i < s->n_providers && n < NAMES_MOST; i++) names[n++] = s->providers[i].name;
    return n;
}

bool lun_configured(const struct lun_snapshot *s, enum lun_named what, const char *name)
{
    const char *rest;
    if (what == LUN_NAMED_MODEL) {
        if (lun_snapshot_model(s, name, &rest) || lun_snapshot_entry(s, name)) return true;
    }
    if (what == LUN_NAMED_TARGET) for (int i = 0; i < s->n_targets; i++) if (!strcmp(s->targets[i].name, name)) return true;
    if (what == LUN_NAMED_PROVIDER) for (int i = 0; i < s->n_providers; i++) if (!strcmp(s->providers[i].name, name)) return true;
    return false;
}

const char *lun_configured_nearest(const struct lun_snapshot *s, enum lun_named what, const char *name)
{
    const char *names[NAMES_MOST];
    return lun_text_nearest(name, names, names_of(s, what, names));
}

/* ---- a policy's text ---- */

struct scan { const struct lun_snapshot *snapshot; const char *shown, *method; enum lun_named what; struct lun_mistakes *notes; };

static void look(const struct scan *s, const char *name, int line)
{
    if (lun_configured(s->snapshot, s->what, name)) return;
    const char *near = lun_configured_nearest(s->snapshot, s->what, name);
    lun_mistakes_add(s->notes, s->shown, line, "note: %s \"%.200s\": the configuration has no such %s%s%s%s", s->method, name, lun_named_word(s->what),
                     near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* `"a"`, or `("a", "b")`; texts that an operator follows are left alone. Reads on to what is none of that. */
static void look_at_names(const struct scan *s, struct lun_lexer *l)
{
    lun_lexer_next(l);
    if (l->kind == LUN_TOKEN_TEXT) { look(s, l->text, l->token_line); return; }
    while (lun_lexer_at(l, '(') || lun_lexer_at(l, ',')) {
        lun_lexer_next(l);
        if (l->kind != LUN_TOKEN_TEXT) return;
        const char *name = l->text;
        int line = l->token_line;
        lun_lexer_next(l);
        if (lun_lexer_at(l, ',') || lun_lexer_at(l, ')')) look(s, name, line);
    }
}

static bool begins_names(struct lun_lexer *l, bool method, struct scan *s)
{
    for (int i = 0; method && i < LUN_NAMED_COUNT; i++)
        if (lun_lexer_is(l, named[i].method)) return s->what = (enum lun_named)i, s->method = named[i].method, true;
    return s->what = LUN_NAMED_MODEL, s->method = "degrade", lun_lexer_is(l, "degrade");
}

void lun_configured_notes(const struct lun_snapshot *snapshot, const char *shown, const char *text, size_t n, struct lun_mistakes *notes)
{
    struct lun_arena arena = { 0 };
    struct lun_lexer l = { .at = text, .start = text, .end = text + n, .line = 1, .arena = &arena };
    struct scan s = { .snapshot = snapshot, .shown = shown, .notes = notes };
    bool method = false;
    for (lun_lexer_next(&l); l.kind != LUN_TOKEN_END; ) {
        if (begins_names(&l, method, &s)) { method = false; look_at_names(&s, &l); continue; }
        method = lun_lexer_at(&l, ':');
        lun_lexer_next(&l);
    }
    lun_arena_free(&arena);
}

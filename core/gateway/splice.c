#include "gateway/splice.h"
#include <string.h>

/* What takes the place of body[at .. at + n). Cuts of a list do not overlap. */
struct cut { size_t at, n; const char *text; size_t text_n; };
struct cuts { struct lun_arena *arena; struct cut *at; int n, room; };

static void cut(struct cuts *c, size_t at, size_t n, const char *text)
{
    if (c->n == c->room) {
        struct cut *more = lun_arena_alloc(c->arena, (size_t)(c->room = c->room * 2 + 8) * sizeof *more);
        if (c->n) memcpy(more, c->at, (size_t)c->n * sizeof *more);
        c->at = more;
    }
    int i = c->n++;
    for (; i && (c->at[i - 1].at > at || (c->at[i - 1].at == at && !n)); i--) c->at[i] = c->at[i - 1];     /* by offset, insertions first */
    c->at[i] = (struct cut){ at, n, text, text ? strlen(text) : 0 };
}

static const char *quoted(struct lun_arena *arena, const char *text)
{
    struct lun_buf b = {0};
    lun_json_put_text(&b, text);
    const char *copy = lun_arena_strndup(arena, b.at, b.n);
    lun_buf_free(&b);
    return copy;
}

/* ---- what the core itself wants ---- */

bool lun_splice_asks_usage(const struct lun_call *call)
{
    return call->stream && call->step->target->provider->usage && !call->question->include_usage;
}

static bool edited(const struct lun_step *step, const char *field)
{
    for (const struct lun_edit *e = step->edits; e; e = e->next)
        if (!strcmp(e->field, field) || (e->what == LUN_EDIT_RENAME && !strcmp(e->value, field))) return true;
    return false;
}

/* Texts to put in as members; the comma comes later. */
struct inserts { const char *text[2 + LUN_EDITS]; int n; };

static void ask_usage(const struct lun_call *call, struct cuts *c, struct inserts *in)
{
    const struct lun_question *q = call->question;
    const struct lun_json_field *f = &q->fields[LUN_FIELD_stream_options];
    struct lun_json options = lun_json_of(q->body, f);
    if (!lun_splice_asks_usage(call) || edited(call->step, "stream_options")) return;
    if (f->type == LUN_JSON_NONE) { in->text[in->n++] = "\"stream_options\":{\"include_usage\":true}"; return; }
    if (f->type != LUN_JSON_OBJECT) { cut(c, f->value, f->value_n, "{\"include_usage\":true}"); return; }
    struct lun_json old = lun_json_get(options, "include_usage");
    if (old.n) cut(c, (size_t)(old.at - q->body), old.n, "true");
    else cut(c, f->value + 1, 0, lun_json_count(options) ? "\"include_usage\":true," : "\"include_usage\":true");
}

static void name_model(const struct lun_call *call, struct cuts *c)
{
    const struct lun_question *q = call->question;
    const struct lun_json_field *f = &q->fields[LUN_FIELD_model];
    if (f->type == LUN_JSON_NONE || lun_json_is(lun_json_of(q->body, f), call->trial->upstream)) return;
    cut(c, f->value, f->value_n, quoted(q->arena, call->trial->upstream));
}

/* Of a body that says null there it takes the place: two of that name would be read by each provider in its own way. */
static void cap_output(const struct lun_call *call, const struct lun_edit *cap, struct inserts *in)
{
    const struct lun_question *q = call->question;
    if (!cap || q->fields[LUN_FIELD_max_tokens].type != LUN_JSON_NONE) return;
    in->text[in->n++] = lun_arena_printf(q->arena, "\"%s\":%s", cap->field, cap->value);
}

/* ---- what the policy wants ---- */

static bool ours(const char *field) { return !strcmp(field, "model") || !strcmp(field, "stream"); }

/* The last edit said of a field; NULL: none. */
static const struct lun_edit *last_of(const struct lun_step *step, const char *field)
{
    const struct lun_edit *found = NULL;
    for (const struct lun_edit *e = step->edits; e; e = e->next)
        if (!ours(e->field) && !strcmp(e->field, field)) found = e;
    return found;
}

static bool is_set(const struct lun_step *step, const struct lun_edit *cap, const char *field)
{
    const struct lun_edit *last = last_of(step, field);
    return (cap && !strcmp(cap->field, field)) || (last && last->what == LUN_EDIT_SET);
}

/* What becomes of a member: the cap counts before what a policy says, of that the last, and what is set before what is renamed to it. The edits of its field
 * are marked as found, by their places in the list. */
static const struct lun_edit *edit_for(const struct lun_step *step, const struct lun_edit *cap, struct lun_json key, uint64_t *there)
{
    static const struct lun_edit gone = { .what = LUN_EDIT_DROP };
    const struct lun_edit *found = NULL;
    uint64_t mark = 1;
    _Static_assert(LUN_EDITS <= 64, "a mark for each");
    if (cap && lun_json_is(key, cap->field)) return cap;
    for (const struct lun_edit *e = step->edits; e; e = e->next, mark <<= 1)
        if (!ours(e->field) && lun_json_is(key, e->field)) {
            found = e;
            *there |= mark;
        }
    return found && found->what == LUN_EDIT_RENAME && is_set(step, cap, found->value) ? &gone : found;
}

static void edit_members(const struct lun_call *call, const struct lun_edit *cap, struct lun_json body, struct cuts *c, bool *empty, uint64_t *there)
{
    const struct lun_question *q = call->question;
    size_t kept_end = 0, drop_from = 0, last_end = 0;       /* offsets; drop_from: where a run of dropped members begins, 0: none */
    bool kept = false;
    for (struct lun_json_each e = lun_json_each(body); lun_json_next(&e); ) {
        size_t key = (size_t)(e.key.at - q->body), value = (size_t)(e.value.at - q->body);
        const struct lun_edit *edit = edit_for(call->step, cap, e.key, there);
        last_end = value + e.value.n;
        if (edit && edit->what == LUN_EDIT_DROP) {
            if (!drop_from) drop_from = key;
            continue;
        }
        if (drop_from) cut(c, drop_from, key - drop_from, NULL);
        drop_from = 0;
        kept = true;
        kept_end = last_end;
        if (edit && edit->what == LUN_EDIT_SET) cut(c, value, e.value.n, edit->value);
        if (edit && edit->what == LUN_EDIT_RENAME) cut(c, key, e.key.n, quoted(q->arena, edit->value));
    }
    if (drop_from) cut(c, kept ? kept_end : drop_from, last_end - (kept ? kept_end : drop_from), NULL);
    *empty = !kept;
}

/* What is set and not there. */
static void put_in(const struct lun_call *call, const struct lun_edit *cap, uint64_t there, struct inserts *in)
{
    const struct lun_step *step = call->step;
    struct lun_arena *arena = call->question->arena;
    for (const struct lun_edit *e = step->edits; e; e = e->next, there >>= 1) {
        if (e->what != LUN_EDIT_SET || last_of(step, e->field) != e || (cap && !strcmp(cap->field, e->field)) || there & 1) continue;
        in->text[in->n++] = lun_arena_printf(arena, "%s:%s", quoted(arena, e->field), e->value);
    }
}

/* ---- all of it ---- */

static const char *joined(struct lun_arena *arena, const struct inserts *in, bool empty)
{
    struct lun_buf b = {0};
    for (int i = 0; i < in->n; i++) lun_buf_printf(&b, "%s%s", in->text[i], i + 1 < in->n || !empty ? "," : "");
    const char *text = lun_arena_strndup(arena, b.at, b.n);
    lun_buf_free(&b);
    return text;
}

int lun_splice(const struct lun_call *call, const struct lun_slice **out)
{
    const struct lun_question *q = call->question;
    struct lun_json body = { q->body + q->scan.open - 1, q->scan.close - q->scan.open + 2 };
    struct lun_edit most = { .what = LUN_EDIT_SET, .field = "max_tokens" };
    const struct lun_edit *cap = call->cap >= 0 ? &most : NULL;
    struct cuts c = { .arena = q->arena };
    struct inserts in = {0};
    bool empty = q->scan.empty;
    uint64_t there = 0;
    if (cap) most.value = lun_arena_printf(q->arena, "%lld", (long long)call->cap);
    name_model(call, &c);
    ask_usage(call, &c, &in);
    cap_output(call, cap, &in);
    if (call->step->edits || (cap && q->fields[LUN_FIELD_max_tokens].type)) edit_members(call, cap, body, &c, &empty, &there);
    put_in(call, cap, there, &in);
    if (in.n) cut(&c, q->scan.open, 0, joined(q->arena, &in, empty));
    struct lun_slice *s = lun_arena_alloc(q->arena, (size_t)(c.n * 2 + 1) * sizeof *s);
    int n = 0;
    size_t at = 0;
    for (int i = 0; i < c.n; i++) {
        if (c.at[i].at > at) s[n++] = (struct lun_slice){ q->body + at, c.at[i].at - at };
        if (c.at[i].text_n) s[n++] = (struct lun_slice){ c.at[i].text, c.at[i].text_n };
        at = c.at[i].at + c.at[i].n;
    }
    if (at < q->body_n) s[n++] = (struct lun_slice){ q->body + at, q->body_n - at };
    *out = s;
    return n;
}

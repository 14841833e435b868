#include "script/tape.h"
#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "base/text.h"
#include "script/bind.h"
#include "script/cpu.h"

#define ARGUMENTS ((size_t)200)         /* bytes of what a function was called with; of more there is a hash */

/* ---- names ---- */

static void put_argument(lua_State *L, int index, const struct lun_mind *mind, struct lun_buf *out)
{
    size_t before = out->n;
    const struct lun_target *t = lun_target_at(L, index, mind);
    if (t) lun_json_put_text(out, t->name);
    else if (lua_isnil(L, index)) lun_buf_puts(out, "null");
    else if (lun_bind_encode(L, index, out, LUN_BIND_TEXT)) {
        out->n = before;
        lun_buf_puts(out, lun_bind_type(L, index));
    }
}

/* " (…)": the arguments, or a hash of them, behind what `out` has. */
static void close_arguments(struct lun_buf *out, size_t from)
{
    size_t n = out->n - from;
    uint64_t hash = n > ARGUMENTS ? lun_hash(out->at + from, n, 0) : 0;
    if (n > ARGUMENTS) {
        out->n = from;
        lun_buf_printf(out, "%zu bytes, %016llx", n, (unsigned long long)hash);
    }
    lun_buf_putc(out, ')');
}

static void put_arguments(lua_State *L, const struct lun_mind *mind, int first, struct lun_buf *out)
{
    int last = lua_gettop(L);
    if (!first || first > last) return;
    lun_buf_puts(out, " (");
    size_t from = out->n;
    for (int i = first; i <= last; i++) {
        if (i > first) lun_buf_putc(out, ',');
        put_argument(L, i, mind, out);
    }
    close_arguments(out, from);
}

/* In the machine's own buffer, so that an error's jump does not lose it. */
static struct lun_buf *name_of(lua_State *L, const struct lun_mind *mind, const struct lun_read *r)
{
    struct lun_buf *out = &lun_bind_bound(L)->name;
    out->n = 0;
    if (r->of) lun_buf_puts(out, r->of->name), lun_buf_putc(out, '.');
    lun_buf_puts(out, r->name);
    if (r->of && r->of->which) lun_buf_putc(out, ' '), r->of->which(out, r->self);
    put_arguments(L, mind, r->arguments, out);
    return out;
}

/* Of the order that they are in, which is another one in each process, nothing. */
static uint64_t hash_of_headers(const struct lun_wish *w)
{
    uint64_t sum = 0;
    for (int i = 0; i < w->http.n_headers; i++) sum += lun_hash_text(w->http.headers[i].name, lun_hash_text(w->http.headers[i].value, 1));
    return sum;
}

/* What is asked, behind "http (": a URL and headers may hold a key that the policy was written with, and messages what was said, so it is only hashed. */
static void put_question(const struct lun_wish *w, struct lun_buf *out)
{
    if (w->kind == LUN_WISH_CHAT) {
        lun_buf_printf(out, "%lld %lld %d %s", (long long)w->chat.timeout, (long long)w->chat.max_tokens, w->chat.pay_total, w->chat.messages);
        return;
    }
    lun_buf_printf(out, "%s %s %lld\n", w->http.method, w->http.url, (long long)w->http.timeout);
    lun_buf_printf(out, "%016llx\n", (unsigned long long)hash_of_headers(w));
    lun_buf_add(out, w->http.body, w->http.body_n);
}

static struct lun_buf *name_of_wish(const struct lun_mind *mind)
{
    const struct lun_wish *w = &mind->wish;
    struct lun_buf *out = &lun_bind_bound(mind->run->L)->name;
    out->n = 0;
    if (w->kind == LUN_WISH_SLEEP) {
        lun_buf_printf(out, "sleep (%lld us)", (long long)w->delay);
        return out;
    }
    if (w->kind == LUN_WISH_CHAT) lun_buf_printf(out, "chat %s (", w->chat.model);
    else lun_buf_puts(out, "http (");
    size_t from = out->n;
    put_question(w, out);
    uint64_t hash = lun_hash(out->at + from, out->n - from, 0);
    out->n = from;
    lun_buf_printf(out, "%016llx)", (unsigned long long)hash);
    return out;
}

/* ---- recording ---- */

static void close_read(struct lun_tape *t)
{
    if (t->open) lun_buf_putc(t->out, ']');
    t->open = false;
}

static void stop(struct lun_tape *t, const char *why, const struct lun_buf *by)
{
    t->out->n = t->hook_at;
    if (t->hooks > 1) lun_buf_putc(t->out, ',');
    lun_buf_putc(t->out, '{');
    lun_json_member_text(t->out, "stopped", why);
    lun_json_put_key(t->out, "by");
    lun_json_put_string(t->out, by->at, lun_text_clip(by->at, by->n, ARGUMENTS));
    lun_buf_putc(t->out, '}');
    t->over = true;
    t->open = t->hooked = false;
}

static void begin(struct lun_tape *t, const struct lun_buf *name)
{
    if (t->over || !t->hooked) return;
    close_read(t);
    t->read_at = t->out->n;
    lun_buf_puts(t->out, t->reads++ ? ",[" : "[");
    lun_json_put_string(t->out, name->at, name->n);
    t->open = true;
}

/* The value from `at` on: if it is large and was there before, that is said instead. */
static void fold(struct lun_tape *t, size_t at)
{
    size_t n = t->out->n - at;
    if (n < LUN_TAPE_LARGE_FROM) return;
    for (int i = 0; i < t->n_large; i++) {
        if (t->large[i].n != n || memcmp(t->out->at + t->large[i].at, t->out->at + at, n)) continue;
        t->out->n = at;
        lun_buf_printf(t->out, "{\"again\":%d}", i);
        return;
    }
    if (t->n_large == LUN_TAPE_LARGE) return;
    t->large[t->n_large].at = at;
    t->large[t->n_large++].n = n;
}

static const char *put_results(lua_State *L, const struct lun_mind *mind, int results)
{
    struct lun_tape *t = mind->tape;
    int top = lua_gettop(L);
    if (!results) lun_buf_puts(t->out, ",[]");
    for (int i = top - results + 1; i <= top; i++) {
        lun_buf_putc(t->out, ',');
        size_t at = t->out->n;
        if (!lun_tape_put_value(L, i, mind, t->out)) return "no_form";
        fold(t, at);
        if (t->out->n > LUN_TAPE_MOST) return "too_large";
    }
    return NULL;
}

static void keep(lua_State *L, const struct lun_mind *mind, int results, bool said, const struct lun_buf *name)
{
    struct lun_tape *t = mind->tape;
    if (t->over || !t->open) return;
    const char *why = said && !t->texts ? "text" : put_results(L, mind, results);
    if (why) stop(t, why, name);
    else close_read(t);
}

/* ---- hooks ---- */

static void put_hooks_there_are(const struct lun_mind *mind)
{
    struct lun_buf *out = mind->tape->out;
    const char *between = "";
    lun_buf_puts(out, "{\"has\":[");
    for (int i = 0; i < LUN_HOOK_COUNT; i++) {
        if (!lun_policy_has(mind->policy, i)) continue;
        lun_buf_printf(out, "%s\"%s\"", between, lun_hook_name(i));
        between = ",";
    }
    lun_buf_puts(out, "],\"hooks\":[");
}

static void put_targets(struct lun_tape *t, const struct lun_question *q)
{
    bool same = t->n_targets == q->n_targets && (t->targets == q->targets || !memcmp(t->targets, q->targets, (size_t)q->n_targets * sizeof *q->targets));
    if (same) return;
    t->targets = q->targets, t->n_targets = q->n_targets;
    lun_json_put_key(t->out, "targets");
    lun_buf_putc(t->out, '[');
    for (int i = 0; i < q->n_targets; i++) {
        if (i) lun_buf_putc(t->out, ',');
        lun_json_put_text(t->out, q->targets[i]->name);
    }
    lun_buf_putc(t->out, ']');
}

void lun_tape_hook(struct lun_mind *mind)
{
    struct lun_tape *t = mind->tape;
    if (!t->out || t->over) return;
    if (t->hooked) lun_tape_drop(mind);
    if (!t->hooks++) put_hooks_there_are(mind);
    t->hook_at = t->out->n;
    lun_buf_puts(t->out, t->hooks > 1 ? ",{" : "{");
    lun_json_member_text(t->out, "hook", lun_hook_name(mind->hook));
    if (mind->about) lun_json_member_int(t->out, "attempt", mind->about->number);
    put_targets(t, mind->question);
    lun_json_put_key(t->out, "reads");
    lun_buf_putc(t->out, '[');
    t->reads = 0;
    t->hooked = true;
}

static bool ends(struct lun_tape *t)
{
    if (!t->out || !t->hooked) return false;
    close_read(t);
    lun_buf_putc(t->out, ']');
    t->hooked = false;
    return true;
}

void lun_tape_answer(struct lun_mind *mind)
{
    struct lun_tape *t = mind->tape;
    if (!ends(t)) return;
    lun_json_put_key(t->out, "answer");
    lun_tape_put_answer(t->out, &mind->thought);
    lun_buf_putc(t->out, '}');
}

void lun_tape_drop(struct lun_mind *mind)
{
    if (ends(mind->tape)) lun_buf_putc(mind->tape->out, '}');
}

/* ---- playing ---- */

static void differs(struct lun_tape *t, struct lun_json had, const char *now, size_t n)
{
    if (t->differs.there) return;
    t->differs.there = true;
    if (had.n) snprintf(t->differs.log, sizeof t->differs.log, "%.*s", (int)lun_text_clip(had.at, had.n, sizeof t->differs.log - 1), had.at);
    else snprintf(t->differs.log, sizeof t->differs.log, "no more reads");
    snprintf(t->differs.now, sizeof t->differs.now, "%.*s", (int)lun_text_clip(now, n, sizeof t->differs.now - 1), now);
}

static struct lun_json name_in(struct lun_json read)
{
    struct lun_json_each e = lun_json_each(read);
    return lun_json_next(&e) ? e.value : (struct lun_json){0};
}

/* Goes on to the next read: whether it is that one. */
static bool meets(lua_State *L, struct lun_tape *t, const struct lun_buf *name)
{
    if (t->differs.there) return false;
    t->read = lun_json_next(&t->left) ? t->left.value : (struct lun_json){0};
    if (lun_json_equal(name_in(t->read), name->at, name->n)) return true;
    differs(t, name_in(t->read), name->at, name->n);
    lun_cpu_place_theirs(L, t->differs.where, sizeof t->differs.where);
    return false;
}

static int refuse(lua_State *L) { return luaL_error(L, "this is not what the log has"); }

static bool is_large(struct lun_json value) { return value.n >= LUN_TAPE_LARGE_FROM; }

/* A value, or the one that stood there before. */
static struct lun_json unfold(struct lun_tape *t, struct lun_json value)
{
    int64_t which;
    struct lun_json again = lun_json_type(value) == LUN_JSON_OBJECT ? lun_json_get(value, "again") : (struct lun_json){0};
    if (again.n) return lun_json_int(again, &which) && which >= 0 && which < t->n_large ? t->again[which] : (struct lun_json){0};
    if (is_large(value) && t->n_large < LUN_TAPE_LARGE) t->again[t->n_large++] = value;
    return value;
}

bool lun_tape_brings(const struct lun_tape *t) { return lun_json_count(t->read) > 1; }

/* Pushes what the present read brought; -1: that is nothing that was ever written. */
static int push_results(lua_State *L, struct lun_mind *mind)
{
    struct lun_tape *t = mind->tape;
    struct lun_json_each e = lun_json_each(t->read);
    int n = 0;
    lun_json_next(&e);
    while (lun_json_next(&e)) {
        if (lun_json_type(e.value) == LUN_JSON_ARRAY) return 0;
        if (!lua_checkstack(L, 8) || !lun_tape_push_value(L, mind, unfold(t, e.value))) return -1;
        n++;
    }
    return n;
}

static bool is_read(lua_State *L, struct lun_mind *mind, int *results)
{
    static const char what[] = "a value that nothing can have been";
    *results = push_results(L, mind);
    if (*results < 0) differs(mind->tape, mind->tape->read, what, sizeof what - 1);
    return *results >= 0;
}

void lun_tape_feed(struct lun_tape *t, struct lun_json reads)
{
    t->left = lun_json_each(reads);
    t->read = (struct lun_json){0};
}

void lun_tape_end(struct lun_tape *t)
{
    static const char nothing[] = "not read any more";
    if (!t->differs.there && lun_json_next(&t->left)) differs(t, name_in(t->left.value), nothing, sizeof nothing - 1);
}

/* ---- both ---- */

bool lun_tape_fed(lua_State *L, struct lun_mind *mind, const struct lun_read *r, int *results)
{
    struct lun_tape *t = mind->tape;
    if (t->out && t->over) return false;
    const struct lun_buf *name = name_of(L, mind, r);
    if (t->out) {
        begin(t, name);
        return false;
    }
    if (!meets(L, t, name)) refuse(L);
    if (!lun_tape_brings(t)) return false;          /* it raised, and does so again: a mistake in how it was called */
    if (!is_read(L, mind, results)) refuse(L);
    return true;
}

void lun_tape_keep(lua_State *L, struct lun_mind *mind, const struct lun_read *r, int results)
{
    struct lun_tape *t = mind->tape;
    static const char what[] = "it does not fail";
    if (t->out) keep(L, mind, results, r->says && r->says(L, results), &lun_bind_bound(L)->name);
    else {
        differs(t, t->read, what, sizeof what - 1);
        refuse(L);
    }
}

int lun_tape_call(lua_State *L, struct lun_mind *mind, const struct lun_read *r, lua_CFunction call)
{
    int n;
    if (!mind || !mind->tape) return call(L);
    if (lun_tape_fed(L, mind, r, &n)) return n;
    n = call(L);
    lun_tape_keep(L, mind, r, n);
    return n;
}

double lun_tape_number(lua_State *L, struct lun_mind *mind, const char *name, double real)
{
    int n;
    struct lun_read r = { .name = name };
    if (!mind || !mind->tape) return real;
    if (!lun_tape_fed(L, mind, &r, &n)) {
        lua_pushnumber(L, real);
        lun_tape_keep(L, mind, &r, 1);
    }
    double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

void lun_tape_wish(struct lun_mind *mind)
{
    struct lun_tape *t = mind->tape;
    if (t->out && t->over) return;
    const struct lun_buf *name = name_of_wish(mind);
    if (t->out) begin(t, name);
    else meets(mind->run->L, t, name);
}

/* The values of a read, behind its name. */
static bool push_recalled(struct lun_mind *mind, struct lun_json_each *read, int *results)
{
    lua_State *L = mind->run->L;
    for (*results = 0; lun_json_next(read); ++*results)
        if (lun_json_get(read->value, "again").n || !lua_checkstack(L, 8) || !lun_tape_push_value(L, mind, read->value)) {
            lua_pop(L, *results);
            return false;
        }
    return true;
}

bool lun_tape_recalls(struct lun_mind *mind, struct lun_json tape, int *results)
{
    const struct lun_buf *name = name_of_wish(mind);
    for (struct lun_json_each hook = lun_json_each(lun_json_get(tape, "hooks")); lun_json_next(&hook); )
        for (struct lun_json_each read = lun_json_each(lun_json_get(hook.value, "reads")); lun_json_next(&read); ) {
            struct lun_json_each value = lun_json_each(read.value);
            if (lun_json_next(&value) && lun_json_is_n(value.value, name->at, name->n)) return push_recalled(mind, &value, results);
        }
    return false;
}

int lun_tape_granted(struct lun_mind *mind, int results)
{
    struct lun_tape *t = mind->tape;
    lua_State *L = mind->run->L;
    if (t->out) keep(L, mind, results, false, &lun_bind_bound(L)->name);
    else if (!is_read(L, mind, &results)) {
        lua_settop(L, 0);
        results = 0;
    }
    return results;
}

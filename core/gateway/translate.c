#include "gateway/translate.h"
#include "base/alloc.h"
#include "base/sse.h"
#include "gateway/splice.h"
#include "gateway/stream.h"
#include "script/bundle.h"
#include "script/run.h"
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct lun_dialects {
    struct lun_vm *vm;                  /* open: house code, which no policy can starve */
    int house;                          /* registry: what lua/dialect.lua gave */
    int *index; int n;                  /* by provider: which dialect; 0: native */
};
struct lun_translation {
    struct lun_dialects *of;
    const struct lun_ear *ear; void *ear_self;
    int call;                           /* registry: its state */
    struct lun_arena arena;             /* of the letter */
    struct lun_pair headers[LUN_LETTER_HEADERS];
    struct lun_slice body;
    int status;
    size_t limit;
    bool stream;                        /* one was asked for */
    bool begun, events;                 /* events: an event stream comes back. The first bytes tell, whatever content-type says, as without a dialect */
    struct lun_buf in; size_t done;
    struct lun_sse sse;
    bool failed;                        /* the dialect raised: the rest is not heard */
};

/* ---- Lua ---- */

/* A run of a house function, ready for its arguments. */
static struct lun_run *house(struct lun_dialects *d, const char *name)
{
    struct lun_run *run = lun_run_new(d->vm, NULL, NULL);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, d->house);
    lua_getfield(run->L, -1, name);
    lua_remove(run->L, -2);
    return run;
}

static bool done(struct lun_run *run, int n) { return lun_run_go(run, n) == LUN_RUN_DONE; }

/* ---- loading ---- */

static int load_one(struct lun_dialects *d, const struct lun_file *file, char **error)
{
    struct lun_vm_error why = {0};
    int index = 0, ref = lun_vm_load(d->vm, file->name, file->text, file->n, 0, &why);
    if (ref == LUA_NOREF) { *error = lun_strdup(why.text); return 0; }
    struct lun_run *run = house(d, "load");
    lua_pushstring(run->L, file->name);
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, ref);
    if (done(run, 2)) index = (int)lua_tointeger(run->L, 1);
    else *error = lun_strdup(run->error.text);
    lun_run_free(run);
    luaL_unref(d->vm->L, LUA_REGISTRYINDEX, ref);
    return index;
}

static bool load_house(struct lun_dialects *d, char **error)
{
    const struct lun_bundle_file *file = lun_bundle_find("lua/dialect.lua");
    struct lun_vm_error why = {0};
    d->vm = lun_vm_new(&(struct lun_vm_options){ .open = true, .cpu = LUN_CPU_CLOCK });
    d->house = lun_vm_load(d->vm, file->name, file->start, file->size, 0, &why);
    if (d->house == LUA_NOREF) *error = lun_strdup(why.text);
    return d->house != LUA_NOREF;
}

/* The same file is loaded once, for whichever providers name it. */
static int known(const struct lun_dialects *d, const struct lun_snapshot *s, int provider)
{
    for (int i = 0; i < provider; i++)
        if (d->index[i] && !strcmp(s->providers[i].dialect_file.name, s->providers[provider].dialect_file.name)) return d->index[i];
    return 0;
}

struct lun_dialects *lun_dialects_new(const struct lun_snapshot *s, char **error)
{
    struct lun_dialects *d = lun_zalloc(sizeof *d);
    d->index = lun_zalloc((size_t)(s->n_providers + 1) * sizeof *d->index);
    d->n = s->n_providers;
    for (int i = 0; i < s->n_providers; i++) {
        const struct lun_file *file = &s->providers[i].dialect_file;
        if (!file->text || (d->index[i] = known(d, s, i))) continue;
        if ((d->vm || load_house(d, error)) && (d->index[i] = load_one(d, file, error))) continue;
        lun_dialects_free(d);
        return NULL;
    }
    return d;
}

void lun_dialects_free(struct lun_dialects *d)
{
    if (!d) return;
    lun_vm_free(d->vm);
    free(d->index);
    free(d);
}

/* ---- the way there ---- */

static struct lun_buf spliced(const struct lun_call *call)
{
    const struct lun_slice *s;
    struct lun_buf b = {0};
    int n = lun_splice(call, &s);
    for (int i = 0; i < n; i++) lun_buf_add(&b, s[i].at, s[i].n);
    return b;
}

static const char *text_at(struct lun_translation *t, lua_State *L, int index)
{
    size_t n = 0;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : "";
    return lun_arena_strndup(&t->arena, text, n);
}

static void read_letter(struct lun_translation *t, lua_State *L, const struct lun_call *call, struct lun_letter *letter)
{
    size_t n = 0;
    const char *body = lua_type(L, 3) == LUA_TSTRING ? lua_tolstring(L, 3, &n) : "";
    t->body = (struct lun_slice){ lun_arena_strndup(&t->arena, body, n), n };
    t->headers[0] = (struct lun_pair){ "content-type", "application/json" };
    *letter = (struct lun_letter){ .method = "POST", .path = text_at(t, L, 2), .headers = t->headers, .n_headers = 1, .body = &t->body, .n_body = 1,
                                   .key_header = text_at(t, L, 4), .key_prefix = text_at(t, L, 5), .stream = call->stream };
    for (int i = 6; i < lua_gettop(L) && letter->n_headers < LUN_LETTER_HEADERS; i += 2)
        t->headers[letter->n_headers++] = (struct lun_pair){ text_at(t, L, i), text_at(t, L, i + 1) };
}

static bool begin(struct lun_translation *t, const struct lun_call *call, struct lun_letter *letter, const char **why)
{
    struct lun_buf body = spliced(call);
    struct lun_run *run = house(t->of, "begin");
    lua_pushinteger(run->L, t->of->index[call->step->target->provider->index]);
    lua_pushlstring(run->L, body.at, body.n);
    lua_pushstring(run->L, lun_endpoint_name(call->question->endpoint));
    lua_pushstring(run->L, call->trial->upstream);
    lua_pushboolean(run->L, call->stream);
    bool good = done(run, 5);
    if (good) {
        read_letter(t, run->L, call, letter);
        lua_settop(run->L, 1);
        lua_xmove(run->L, t->of->vm->L, 1);
        t->call = luaL_ref(t->of->vm->L, LUA_REGISTRYINDEX);
    } else *why = lun_arena_strdup(call->question->arena, run->error.text);
    lun_run_free(run);
    lun_buf_free(&body);
    return good;
}

struct lun_translation *lun_translation_new(struct lun_dialects *d, const struct lun_call *call, const struct lun_ear *ear, void *ear_self,
                                            struct lun_letter *letter, const char **why)
{
    struct lun_translation *t = lun_zalloc(sizeof *t);
    size_t limit = (size_t)call->question->snapshot->limits.answer;
    *t = (struct lun_translation){ .of = d, .ear = ear, .ear_self = ear_self, .call = LUA_NOREF, .stream = call->stream, .limit = limit, .sse.limit = limit };
    if (begin(t, call, letter, why)) return t;
    lun_translation_free(t);
    return NULL;
}

void lun_translation_free(struct lun_translation *t)
{
    if (!t) return;
    luaL_unref(t->of->vm->L, LUA_REGISTRYINDEX, t->call);
    lun_arena_free(&t->arena);
    lun_buf_free(&t->in);
    lun_sse_free(&t->sse);
    free(t);
}

/* ---- the way back ---- */

static void on_head(void *self, const struct lun_answer_head *head)
{
    struct lun_translation *t = self;
    struct lun_pair headers[64];
    int n = 0;
    t->status = head->status;
    for (int i = 0; i < head->n_headers; i++) {
        if (strcmp(head->headers[i].name, "content-type") && n < 63) headers[n++] = head->headers[i];
    }
    headers[n++] = (struct lun_pair){ "content-type", t->stream && t->status < 300 ? "text/event-stream" : "application/json" };
    t->ear->head(t->ear_self, &(struct lun_answer_head){ .status = head->status, .headers = headers, .n_headers = n });
}

static void fail(struct lun_translation *t, const char *why)
{
    t->failed = true;
    t->ear->end(t->ear_self, LUN_KIND_BAD_ANSWER, why);
}

static void say(struct lun_translation *t, struct lun_run *run, int n)
{
    size_t size;
    if (!done(run, n)) fail(t, "the dialect could not translate the answer");
    else if (lua_type(run->L, 1) == LUA_TSTRING) {
        const char *text = lua_tolstring(run->L, 1, &size);
        if (size) t->ear->bytes(t->ear_self, text, size);
    }
    lun_run_free(run);
}

static void say_event(struct lun_translation *t, const struct lun_sse_event *e)
{
    struct lun_run *run = house(t->of, "event");
    lua_rawgeti(run->L, LUA_REGISTRYINDEX, t->call);
    if (e->type_n) lua_pushlstring(run->L, e->type, e->type_n);
    else lua_pushliteral(run->L, "message");
    lua_pushlstring(run->L, e->data, e->data_n);
    say(t, run, 3);
}

static void read_events(struct lun_translation *t)
{
    struct lun_sse_event e;
    enum lun_sse_kind kind;
    while (!t->failed && (kind = lun_sse_next(&t->sse, t->in.at + t->done, t->in.n - t->done, &e)) != LUN_SSE_MORE) {
        if (kind == LUN_SSE_TOO_LONG) { fail(t, "an event of the answer is too long"); return; }
        if (kind == LUN_SSE_EVENT) say_event(t, &e);
        else t->ear->bytes(t->ear_self, ":\n\n", 3);
        t->done += e.raw;
    }
    lun_buf_drop(&t->in, t->done);
    t->done = 0;
}

static void on_bytes(void *self, const char *bytes, size_t n)
{
    struct lun_translation *t = self;
    if (t->failed) return;
    if (t->in.n + n > t->limit) { fail(t, "the answer is too large"); return; }
    lun_buf_add(&t->in, bytes, n);
    if (!t->begun && t->in.n) t->begun = true, t->events = t->stream && t->status < 300 && !lun_stream_alien(t->in.at, t->in.n);
    if (t->events) read_events(t);
}

/* The last event of a stream that forgot its empty line; half of one is nothing. */
static void read_last(struct lun_translation *t)
{
    struct lun_sse_event e;
    struct lun_json value;
    if (lun_sse_end(&t->sse, t->in.at, t->in.n, &e) != LUN_SSE_EVENT || !e.data_n) return;
    if (*e.data != '{' || lun_json_check(e.data, e.data_n, &value, NULL)) say_event(t, &e);
}

static void on_end(void *self, enum lun_kind kind, const char *detail)
{
    struct lun_translation *t = self;
    if (t->failed) return;
    if (kind == LUN_KIND_OK && !t->events) {
        struct lun_run *run = house(t->of, "answer");
        lua_rawgeti(run->L, LUA_REGISTRYINDEX, t->call);
        lua_pushinteger(run->L, t->status);
        lua_pushlstring(run->L, t->in.at, t->in.n);
        say(t, run, 3);
    } else if (kind == LUN_KIND_OK) read_last(t);
    if (!t->failed) t->ear->end(t->ear_self, kind, detail);
}

const struct lun_ear lun_translation_ear = { on_head, on_bytes, on_end };

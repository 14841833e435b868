#include "state/trace.h"
#include "base/arena.h"
#include <string.h>

struct lun_trace *lun_trace_new(struct lun_arena *arena)
{
    struct lun_trace *t = lun_arena_zalloc(arena, sizeof *t);
    t->arena = arena;
    t->tail = &t->first;
    return t;
}

static bool room(struct lun_trace *t)
{
    if (t->n < LUN_TRACED_MOST) return ++t->n;
    t->more++;
    return false;
}

void lun_trace_begin(struct lun_trace *t, enum lun_hook hook, int about, const char *at)
{
    if (!t) return;
    t->now = NULL;
    if (!room(t)) return;
    struct lun_traced_hook *h = t->now = *t->tail = lun_arena_zalloc(t->arena, sizeof *h);
    *h = (struct lun_traced_hook){ .hook = hook, .about = about, .at = lun_arena_strdup(t->arena, at), .returned = "", .tail = &h->first };
    t->tail = &h->next;
}

void lun_trace_end(struct lun_trace *t, const char *returned, const char *answer, const char *error)
{
    if (!t || !t->now) return;
    t->now->returned = lun_arena_strdup(t->arena, returned);
    t->now->answer = lun_arena_strdup(t->arena, answer);
    t->now->error = lun_arena_strdup(t->arena, error);
    t->now = NULL;
}

static struct lun_traced *add(struct lun_trace *t, const char *name, const char *at)
{
    if (!room(t)) return NULL;
    struct lun_traced *e = *t->now->tail = lun_arena_zalloc(t->arena, sizeof *e);
    t->now->tail = &e->next;
    e->name = lun_arena_strdup(t->arena, name);
    e->at = lun_arena_strdup(t->arena, at);
    return e;
}

static bool has_read(const struct lun_traced_hook *h, const char *name)
{
    for (const struct lun_traced *e = h->first; e; e = e->next) if (!e->target && !strcmp(e->name, name)) return true;
    return false;
}

void lun_trace_read(struct lun_trace *t, const char *name, const char *value, size_t n, const char *at)
{
    if (!t || !t->now || has_read(t->now, name)) return;
    struct lun_traced *e = add(t, name, at);
    if (e && value) e->value = lun_arena_strndup(t->arena, value, n);
}

void lun_trace_left_out(struct lun_trace *t, const struct lun_target *target, const char *by, const char *at)
{
    if (!t || !t->now) return;
    struct lun_traced *e = add(t, by, at);
    if (e) e->target = target;
}

const struct lun_traced *lun_trace_of(const struct lun_trace *t, const struct lun_target *target, enum lun_hook *hook)
{
    const struct lun_traced *last = NULL;
    for (const struct lun_traced_hook *h = t ? t->first : NULL; h; h = h->next)
        for (const struct lun_traced *e = h->first; e; e = e->next)
            if (e->target == target) last = e, *hook = h->hook;
    return last;
}

#include "state/names.h"
#include "base/alloc.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct lun_name { struct lun_name *next; uint64_t hash; void *thing; char text[]; };

static uint64_t hash_of(const struct lun_names *t, const char *name) { return lun_siphash(t->key, name, strlen(name)); }
static struct lun_name **slot(const struct lun_names *t, uint64_t hash) { return &t->slots[hash & (t->room - 1)]; }

void *lun_names_get(const struct lun_names *t, const char *name)
{
    if (!t->room) return NULL;
    uint64_t hash = hash_of(t, name);
    for (struct lun_name *e = *slot(t, hash); e; e = e->next)
        if (e->hash == hash && !strcmp(e->text, name)) return e->thing;
    return NULL;
}

static void enter(struct lun_names *t, struct lun_name *e)
{
    struct lun_name **at = slot(t, e->hash);
    e->next = *at;
    *at = e;
}

static void grow(struct lun_names *t)
{
    struct lun_names old = *t;
    if (!old.room) t->key = lun_siphash_new();
    t->room = old.room ? old.room * 2 : 16;
    t->slots = lun_zalloc(t->room * sizeof *t->slots);
    for (size_t i = 0; i < old.room; i++)
        for (struct lun_name *e = old.slots[i], *next; e; e = next) {
            next = e->next;
            enter(t, e);
        }
    free(old.slots);
}

void lun_names_put(struct lun_names *t, const char *name, void *thing)
{
    size_t n = strlen(name);
    struct lun_name *e = lun_alloc(sizeof *e + n + 1);
    if (t->n++ >= t->room) grow(t);
    e->hash = hash_of(t, name);
    e->thing = thing;
    memcpy(e->text, name, n + 1);
    enter(t, e);
}

void *lun_names_take(struct lun_names *t, const char *name)
{
    if (!t->room) return NULL;
    uint64_t hash = hash_of(t, name);
    for (struct lun_name **at = slot(t, hash), *e; (e = *at); at = &e->next) {
        if (e->hash != hash || strcmp(e->text, name)) continue;
        void *thing = e->thing;
        *at = e->next;
        t->n--;
        free(e);
        return thing;
    }
    return NULL;
}

struct lun_names_each lun_names_each(const struct lun_names *t) { return (struct lun_names_each){ .in = t }; }

bool lun_names_next(struct lun_names_each *e)
{
    while (!e->next && e->slot < e->in->room) e->next = e->in->slots[e->slot++];
    struct lun_name *at = e->next;
    if (!at) return false;
    e->name = at->text;
    e->thing = at->thing;
    e->next = at->next;
    return true;
}

void lun_names_free(struct lun_names *t, void (*each)(void *))
{
    for (size_t i = 0; i < t->room; i++)
        for (struct lun_name *e = t->slots[i], *next; e; e = next) {
            next = e->next;
            if (each) each(e->thing);
            free(e);
        }
    free(t->slots);
    *t = (struct lun_names){0};
}

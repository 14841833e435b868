#include "state/charge.h"
#include "state/tag_values.h"
#include <string.h>

bool lun_charge_value_good(const char *value)
{
    size_t n = strlen(value);
    return n && n <= 128 && !value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:@/+=~")];
}

const struct lun_tag_budget *lun_charge_tag(const struct lun_question *q, const char *name)
{
    for (int i = 0; i < q->snapshot->n_tags; i++) if (!strcmp(q->snapshot->tags[i].name, name)) return &q->snapshot->tags[i];
    return NULL;
}

/* Its array has room for one more of each tag with a budget (gateway/recognise.c). */
static void put_tag(struct lun_question *q, const char *name, const char *value)
{
    int i = 0;
    while (i < q->n_tags && strcmp(q->tags[i].name, name)) i++;
    if (value && i == q->n_tags) q->n_tags++;
    if (value) q->tags[i] = (struct lun_pair){ name, value };
    else if (i < q->n_tags) memmove(&q->tags[i], &q->tags[i + 1], (size_t)(--q->n_tags - i) * sizeof *q->tags);
}

void lun_charge_set(struct lun_question *q, const struct lun_tag_budget *t, const char *value)
{
    const char *copy = value ? lun_arena_strdup(q->arena, value) : NULL;
    q->charged[t->index] = (struct lun_charged){ copy, NULL };
    put_tag(q, t->name, copy);
}

struct lun_account *lun_charge_account(struct lun_question *q, const struct lun_tag_budget *t)
{
    struct lun_charged *c = &q->charged[t->index];
    if (c->value && !c->account && t->state) c->account = lun_tag_values_account(t->state, c->value);
    return c->account;
}

const struct lun_tag_budget *lun_charge_missing(const struct lun_question *q)
{
    for (int i = 0; i < q->snapshot->n_tags; i++) if (q->snapshot->tags[i].required && !q->charged[i].value) return &q->snapshot->tags[i];
    return NULL;
}

void lun_charge_inherit(struct lun_question *q, const struct lun_question *from)
{
    for (int i = 0; q->snapshot == from->snapshot && i < q->snapshot->n_tags; i++) lun_charge_set(q, &q->snapshot->tags[i], from->charged[i].value);
}

#include "state/tag_values.h"
#include "base/alloc.h"
#include "state/names.h"
#include <pthread.h>
#include <stdlib.h>

struct lun_tag_values {
    struct lun_money *money;
    char *tag;
    pthread_mutex_t lock;
    struct lun_names accounts;      /* by value */
    struct lun_account *other;
    struct lun_budget_rule rule;
    int most;
    struct lun_tag_values *of;      /* where accounts are looked for first; NULL: nowhere */
};

struct lun_tag_values *lun_tag_values_new(struct lun_money *money, const char *tag)
{
    struct lun_tag_values *v = lun_zalloc(sizeof *v);
    *v = (struct lun_tag_values){ .money = money, .tag = lun_strdup(tag), .rule.limit = -1 };
    pthread_mutex_init(&v->lock, NULL);
    return v;
}

struct lun_tag_values *lun_tag_values_aside(struct lun_money *money, const char *tag, struct lun_tag_values *of)
{
    struct lun_tag_values *v = lun_tag_values_new(money, tag);
    v->of = of;
    return v;
}

static struct lun_account *look(struct lun_tag_values *v, const char *value)
{
    pthread_mutex_lock(&v->lock);
    struct lun_account *a = lun_names_get(&v->accounts, value);
    pthread_mutex_unlock(&v->lock);
    return a;
}

void lun_tag_values_free(struct lun_tag_values *v)
{
    if (!v) return;
    lun_names_free(&v->accounts, NULL);
    pthread_mutex_destroy(&v->lock);
    free(v->tag);
    free(v);
}

static struct lun_account *account(struct lun_tag_values *v, const char *value)
{
    char *name = lun_printf("tag %s=%s", v->tag, value);
    struct lun_account *a = lun_account_get(v->money, name, &v->rule);
    free(name);
    return a;
}

void lun_tag_values_apply(struct lun_tag_values *v, const struct lun_tag_budget *t)
{
    pthread_mutex_lock(&v->lock);
    v->rule = t->budget;
    v->most = t->values;
    struct lun_names_each e = lun_names_each(&v->accounts);
    while (lun_names_next(&e)) account(v, e.name);
    if (v->other) account(v, "(other)");
    pthread_mutex_unlock(&v->lock);
}

struct lun_account *lun_tag_values_account(struct lun_tag_values *v, const char *value)
{
    struct lun_account *known = v->of ? look(v->of, value) : NULL;
    if (known) return known;
    pthread_mutex_lock(&v->lock);
    struct lun_account *a = lun_names_get(&v->accounts, value);
    if (!a && v->accounts.n < (size_t)v->most) lun_names_put(&v->accounts, value, a = account(v, value));
    else if (!a) a = v->other ? v->other : (v->other = account(v, "(other)"));
    pthread_mutex_unlock(&v->lock);
    return a;
}

int lun_tag_values_count(struct lun_tag_values *v, int *bound)
{
    pthread_mutex_lock(&v->lock);
    int n = (int)v->accounts.n;
    *bound = v->most;
    pthread_mutex_unlock(&v->lock);
    return n;
}

size_t lun_tag_values_list(struct lun_tag_values *v, struct lun_account **out, size_t most)
{
    size_t n = 0;
    pthread_mutex_lock(&v->lock);
    struct lun_names_each e = lun_names_each(&v->accounts);
    if (v->other && n < most) out[n++] = v->other;
    while (n < most && lun_names_next(&e)) out[n++] = e.thing;
    size_t all = v->accounts.n + (v->other != NULL);
    pthread_mutex_unlock(&v->lock);
    return all;
}

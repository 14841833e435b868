/* Other values for the policy's settings: checked, in force on every worker, written down. */
#include "base/alloc.h"
#include "gateway/change.h"
#include <stdlib.h>
#include <string.h>

typedef struct lun_change change;

struct lun_tuning *lun_change_fitting(const struct lun_tuning *all, const struct lun_snapshot *s)
{
    struct lun_tuned *items = lun_alloc((size_t)(all->n + 1) * sizeof *items);
    char problem[LUN_SETTING_PROBLEM];
    int n = 0;
    for (int i = 0; i < all->n; i++) {
        const struct lun_policy_setting *rule = lun_snapshot_setting(s, all->items[i].name);
        if (rule && lun_policy_setting_takes(rule, &all->items[i].value, problem)) items[n++] = all->items[i];
    }
    struct lun_tuning *t = lun_tuning_new(items, n);
    free(items);
    return t;
}

/* What is set, with one more or one less. */
static void put_setting(struct lun_tuned *items, int *n, const struct lun_setting_change *s)
{
    int at = 0;
    while (at < *n && strcmp(items[at].name, s->name)) at++;
    if (s->is_set) items[at] = (struct lun_tuned){ s->name, s->after };
    else if (at < *n) items[at] = items[*n - 1];
    if (s->is_set && at == *n) ++*n;
    else if (!s->is_set && at < *n) --*n;
}

static struct lun_tuning *with_changes(const struct lun_tuning *before, const struct lun_change_result *r)
{
    struct lun_tuned *items = lun_alloc((size_t)(before->n + r->n_settings + 1) * sizeof *items);
    int n = before->n;
    if (n) memcpy(items, before->items, (size_t)n * sizeof *items);
    for (int i = 0; i < r->n_settings; i++) put_setting(items, &n, &r->settings[i]);
    struct lun_tuning *t = lun_tuning_new(items, n);
    free(items);
    return t;
}

static void tuned(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    struct lun_changes *c = ch->of;
    struct lun_tuning *all = with_changes(c->settings, &ch->result);
    lun_tuning_unref(c->settings);
    c->settings = all;
    lun_tuning_unref(c->tuning);
    c->tuning = lun_tuning_ref(ch->tuning);
    ch->result.changed = true;
    lun_change_keep(ch);
}

static void tune(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)index;
    lun_worker_tune(w, lun_change_on(e)->tuning);
    if (lun_change_on(e)->shadow_tuning) lun_worker_shadow_tune(w, lun_change_on(e)->shadow_tuning);
}

static bool check_setting(change *ch, struct lun_setting_change *s)
{
    const struct lun_policy_setting *rule = lun_snapshot_setting(ch->of->current, s->name);
    const struct lun_plain *before = lun_tuning_get(ch->of->tuning, s->name);
    char problem[LUN_SETTING_PROBLEM] = "the policy has no such setting";
    if (rule && (!s->is_set || lun_policy_setting_takes(rule, &s->after, problem))) {
        s->was_set = before != NULL;
        s->before = before ? *before : rule->initial;
        s->before.text = lun_arena_strdup(&ch->arena, s->before.text);
        if (!s->is_set) s->after = rule->initial;
        return true;
    }
    lun_texts_add(ch, &ch->result.errors, "%s: %s", s->name, problem);
    ch->result.status = 422;
    return false;
}

void lun_change_settings(change *ch)
{
    struct lun_changes *c = ch->of;
    for (int i = 0; i < ch->result.n_settings; i++) check_setting(ch, (struct lun_setting_change *)&ch->result.settings[i]);
    if (ch->result.status != 200) { lun_change_finish(ch); return; }
    struct lun_tuning *all = with_changes(c->settings, &ch->result);
    ch->tuning = lun_change_fitting(all, c->current);
    lun_change_shadow_tune(ch, all);
    lun_tuning_unref(all);
    lun_change_everywhere(ch, tune, tuned);
}

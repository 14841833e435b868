/* A version is made ready on every worker, then taken over by all of them; or nothing has changed. */
#include "base/alloc.h"
#include "gateway/change.h"
#include "state/registry.h"
#include <stdlib.h>

#define ROOM_LIMIT (10 * LUN_SECOND)    /* how long a version waits for an older one's last request */

typedef struct lun_change change;

static void warn_unfit(struct lun_changes *c, change *ch, const struct lun_snapshot *s)
{
    char problem[LUN_SETTING_PROBLEM];
    for (int i = 0; i < c->settings->n; i++) {
        const struct lun_policy_setting *rule = lun_snapshot_setting(s, c->settings->items[i].name);
        if (rule && !lun_policy_setting_takes(rule, &c->settings->items[i].value, problem))
            lun_texts_add(ch, &ch->result.warnings, "setting %s: what it was set to does not fit any more (%s); its default holds", rule->name, problem);
    }
}

/* Other gateways are to know. */
static void tell_back(struct lun_changes *c, const struct lun_taken_back *b) { if (c->options.taken_back) c->options.taken_back(c->options.self, b); }

static void take_back(change *ch, lun_us wall)
{
    struct lun_changes *c = ch->of;
    struct lun_version *bad = lun_versions_current(&c->versions);
    bool heard = ch->heard.version != NULL;
    lun_version_mark_bad(bad, heard ? ch->heard.at : wall, ch->by, ch->why, ch->blame);
    if (!heard) tell_back(c, &(struct lun_taken_back){ bad->name, bad->bad, bad->bad_by, bad->bad_why, bad->bad_files });
}

/* What was taken back is no longer: its files have changed since, or somebody insists. */
static void forgive(change *ch, lun_us wall)
{
    struct lun_changes *c = ch->of;
    for (int i = 0; i < c->versions.n; i++) {
        const struct lun_version *v = c->versions.items[i];
        if (v->bad) tell_back(c, &(struct lun_taken_back){ v->name, wall, ch->by, NULL, NULL });
    }
    lun_versions_forgive(&c->versions, NULL);
}

/* Every worker has it. What is known of versions follows. */
static void adopted(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    struct lun_changes *c = ch->of;
    lun_us wall = lun_clock_wall();
    ch->result.changed = true;
    ch->result.from = lun_arena_strdup(&ch->arena, c->current->version);
    if (ch->kind == LUN_CHANGE_ROLLBACK) take_back(ch, wall);
    else if (!ch->refreshed) forgive(ch, wall);
    lun_versions_take(&c->versions, lun_snapshot_ref(ch->snapshot), wall, ch->by, ch->why);
    lun_snapshot_unref(c->current);
    c->current = lun_snapshot_ref(ch->snapshot);
    lun_tuning_unref(c->tuning);
    c->tuning = lun_tuning_ref(ch->tuning);
    lun_change_shadow_replaced(ch);
    lun_troubles_watch(&c->troubles, c->current);
    if (c->options.adopted) c->options.adopted(c->options.self, c->current);
    lun_change_keep(ch);
}

static void adopt(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)e, (void)index;
    lun_worker_adopt(w);
}

static void discarded(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    lun_registry_apply(ch->of->options.registry, ch->of->current);
    lun_change_fail(ch, 503, "a worker could not take it over: %s", ch->prepare_error);
}

static void discard(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)e, (void)index;
    lun_worker_discard(w);
}

/* All workers are ready: from here on nothing can go wrong but the disk. */
static void prepared(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    struct lun_changes *c = ch->of;
    ch->n_kits = 0;
    if (ch->prepare_error) { lun_change_everywhere(ch, discard, discarded); return; }
    lun_registry_apply(c->options.registry, ch->snapshot);
    lun_registry_apply_keys(c->options.registry, ch->snapshot, c->keyring);
    atomic_store(&c->options.shared->buffered_max, ch->snapshot->limits.buffered);
    atomic_store(&c->options.shared->connections_max, ch->snapshot->limits.connections);
    lun_change_everywhere(ch, adopt, adopted);
}

static void prepare(struct lun_errand *e, struct lun_worker *w, int index)
{
    change *ch = lun_change_on(e);
    char *error = NULL;
    if (lun_worker_prepare(w, ch->kits[index], ch->tuning, &error)) return;
    pthread_mutex_lock(&ch->lock);
    if (!ch->prepare_error) ch->prepare_error = error;
    else free(error);
    pthread_mutex_unlock(&ch->lock);
}

static void no_room(struct lun_timer *t)
{
    change *ch = (change *)(void *)((char *)t - offsetof(change, limit));
    bool of_files = ch->kind == LUN_CHANGE_RELOAD && !ch->tried;
    ch->of->waits_for_room = false;
    ch->of->again |= of_files;
    lun_change_fail(ch, 503, "%d versions still have requests under way: %s", LUN_VERSIONS_MOST,
         of_files ? "the files are read again when the last request of one of them has ended" : "the last request of one of them must end first");
}

/* At most so many versions are in use at once. A further one waits for the last request of one of them, where somebody waits for an answer; so that
 * others are not held up, one that came by itself gives way, and comes again when there is room. */
void lun_change_take_over(change *ch)
{
    struct lun_changes *c = ch->of;
    struct lun_loop *loop = &c->options.reactor->loop;
    c->waits_for_room = !atomic_load(&ch->snapshot->desks) && lun_versions_live(&c->versions) >= LUN_VERSIONS_MOST;
    if (!c->waits_for_room) {
        lun_timer_set(loop, &ch->limit, LUN_NEVER);
        if (ch->unbound) lun_registry_bind(c->options.registry, ch->snapshot);      /* here: it takes locks that workers take */
        ch->unbound = false;
        lun_tuning_unref(ch->tuning);
        ch->tuning = lun_change_fitting(c->settings, ch->snapshot);
        warn_unfit(c, ch, ch->snapshot);
        lun_change_homeless(ch, ch->snapshot);
        lun_change_everywhere(ch, prepare, prepared);
    } else if (!ch->limit.at) {
        ch->limit.fire = no_room;
        lun_timer_set(loop, &ch->limit, loop->now + (ch->waiters ? ROOM_LIMIT : 0));
    }
}

void lun_change_room(struct lun_changes *c)
{
    if (c->now && c->waits_for_room) lun_change_take_over(c->now);
    if (!c->again || c->stopping || lun_versions_live(&c->versions) >= LUN_VERSIONS_MOST) return;
    c->again = false;
    lun_changes_reload(c, LUN_CHANGE_BY_FILES, false, NULL, NULL);
}

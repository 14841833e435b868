#include "gateway/changes.h"
#include "base/alloc.h"
#include "gateway/change.h"
#include "state/registry.h"
#include "wire/watch.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_LIMIT (10 * LUN_SECOND)    /* how long a version waits for an older one's last request */
#define FILES "files"                   /* who asks for a reload when one of them has changed */
#define FORMAT 1                        /* of state.json */

typedef struct lun_change change;

struct lun_changes {
    struct lun_changes_options options;
    struct lun_change_means means;
    struct lun_snapshot *first, *current;       /* with references */
    struct lun_versions versions;
    struct lun_tuning *settings, *tuning;       /* all that was ever set; what of it the current version takes */
    struct lun_keep *keep;
    struct lun_builder *builder;
    struct lun_writer *audit;
    struct lun_watch *watch;
    char *read; lun_us read_at; struct lun_paths looked_at;     /* the version that the files held at the start, and the files */
    struct lun_worker *const *workers; int n_workers;
    struct lun_troubles troubles;
    change *now, *first_change, **last_change;
    bool waits_for_room, stopping;
    bool again;                         /* the files hold a version that found no room: as soon as there is some they are read again */
    struct lun_post released, sick;
};

#define CHANGES_OF(member, at) ((struct lun_changes *)(void *)((char *)(at) - offsetof(struct lun_changes, member)))
static change *change_of(struct lun_job *j)       { return (change *)(void *)((char *)j - offsetof(change, job)); }
static change *change_on(struct lun_errand *e)    { return (change *)(void *)((char *)e - offsetof(change, errand)); }
static void go(struct lun_changes *);

const struct lun_change_means *lun_changes_means(const struct lun_changes *c)       { return &c->means; }
struct lun_snapshot *lun_changes_first(const struct lun_changes *c)                 { return c->first; }
struct lun_snapshot *lun_changes_current(const struct lun_changes *c)               { return c->current; }
struct lun_tuning *lun_changes_tuning(const struct lun_changes *c)                  { return c->tuning; }
const struct lun_versions *lun_changes_versions(const struct lun_changes *c)        { return &c->versions; }
const char *lun_changes_state(const struct lun_changes *c)                          { return c->keep ? c->first->state : NULL; }

/* ---- the end of a change ---- */

static void change_free(change *ch)
{
    while (ch->n_kits) lun_kit_free(ch->kits[--ch->n_kits]);
    lun_snapshot_unref(ch->snapshot);
    lun_tuning_unref(ch->tuning);
    lun_paths_free(&ch->looked_at);
    lun_errand_drop(&ch->errand);
    pthread_mutex_destroy(&ch->lock);
    free(ch->text), free(ch->prepare_error);
    lun_arena_free(&ch->arena);
    free(ch);
}

static const char *kind_name(const change *ch)
{
    static const char *const names[] = { "start", "reload", "rollback", "set" };
    return names[ch->kind];
}

static void put_audit(struct lun_changes *c, const change *ch, const char *what, const char *name, const char *before, const char *after)
{
    struct lun_buf line = {0};
    char at[25];
    lun_clock_text(lun_clock_wall(), at);
    lun_buf_putc(&line, '{');
    const char *const pairs[][2] = { { "time", at }, { "by", ch->by }, { "what", what }, { "name", name }, { "why", ch->why } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][1] && *pairs[i][1]) lun_json_put_key(&line, pairs[i][0]), lun_json_put_text(&line, pairs[i][1]);
    lun_json_put_key(&line, "before"), lun_buf_puts(&line, before);
    lun_json_put_key(&line, "after"), lun_buf_puts(&line, after);
    lun_buf_putc(&line, '}');
    lun_log(c->options.log, LUN_LOG_INFO, "audit %s", lun_buf_text(&line));
    if (c->audit) lun_writer_put(c->audit, line.at, line.n);
    lun_buf_free(&line);
}

static void audit_settings(struct lun_changes *c, const change *ch)
{
    for (int i = 0; i < ch->result.n_settings; i++) {
        const struct lun_setting_change *s = &ch->result.settings[i];
        struct lun_buf before = {0}, after = {0};
        lun_plain_put(&before, &s->before);
        lun_plain_put(&after, &s->after);
        put_audit(c, ch, "set", s->name, lun_buf_text(&before), lun_buf_text(&after));
        lun_buf_free(&before), lun_buf_free(&after);
    }
}

static void audit(struct lun_changes *c, const change *ch)
{
    struct lun_buf before = {0}, after = {0};
    if (ch->kind == LUN_CHANGE_SET) { audit_settings(c, ch); return; }
    lun_json_put_text(&before, ch->result.from);
    lun_json_put_text(&after, ch->result.version);
    put_audit(c, ch, kind_name(ch), NULL, lun_buf_text(&before), lun_buf_text(&after));
    lun_buf_free(&before), lun_buf_free(&after);
}

static const char *outcome(const change *ch)
{
    return ch->result.status != 200 ? "refused" : ch->result.changed ? "changed" : "unchanged";
}

static void log_texts(struct lun_changes *c, enum lun_log_level level, const change *ch, const char *what, const struct lun_texts *texts)
{
    for (int i = 0; i < texts->n; i++) lun_log(c->options.log, level, "%s (%s): %s%s", kind_name(ch), ch->by, what, texts->at[i]);
}

static void log_end(struct lun_changes *c, const change *ch)
{
    struct lun_metrics *m = c->options.registry->metrics;
    log_texts(c, LUN_LOG_ERROR, ch, "", &ch->result.errors);
    log_texts(c, LUN_LOG_WARN, ch, "", &ch->result.warnings);
    log_texts(c, LUN_LOG_WARN, ch, "counts from the next start: ", &ch->result.restart);
    if (ch->kind == LUN_CHANGE_SET || ch->kind == LUN_CHANGE_START) return;
    lun_metrics_add(m, LUN_METRIC_RELOADS, (const char *[]){ kind_name(ch), outcome(ch) }, 1);
    if (ch->result.status == 200) lun_metrics_set(m, LUN_METRIC_RELOADED, NULL, (double)lun_clock_wall() / 1e6);
    if (ch->result.status == 200 && !ch->result.changed && strcmp(ch->by, FILES)) lun_log(c->options.log, LUN_LOG_INFO, "%s (%s): %s, nothing has changed", kind_name(ch), ch->by, c->current->version);
    if (ch->result.status != 200) lun_log(c->options.log, LUN_LOG_ERROR, "%s (%s) refused: %s goes on", kind_name(ch), ch->by, c->current->version);
}

static void watch(struct lun_changes *c, const struct lun_paths *files, lun_us since)
{
    if (!c->watch || !files->n) return;
    lun_watch_since(c->watch, since);
    lun_watch_files(c->watch, (const char *const *)files->at, files->n);
    lun_watch_since(c->watch, 0);
    if (lun_watch_problem(c->watch)) lun_log(c->options.log, LUN_LOG_WARN, "changes of files are not noticed: %s", lun_watch_problem(c->watch));
}

static void tell(change *ch)
{
    for (struct lun_change_waiter *w = ch->waiters; w; w = w->next) if (w->told) w->told(w->self, &ch->result);
    ch->waiters = NULL;
}

static void finish(change *ch)
{
    struct lun_changes *c = ch->of;
    lun_timer_set(&c->options.reactor->loop, &ch->limit, LUN_NEVER);
    ch->result.version = c->current->version;
    ch->result.generation = c->versions.generation;
    if (ch->result.changed && ch->kind != LUN_CHANGE_START) audit(c, ch);
    log_end(c, ch);
    watch(c, &ch->looked_at, ch->clock);
    tell(ch);
    c->now = NULL;
    change_free(ch);
    go(c);
}

static void fail(change *ch, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(change *ch, int status, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ch->result.status = status;
    lun_texts_add(ch, &ch->result.errors, "%s", text);
    finish(ch);
}

static void aside(change *ch, void (*run)(struct lun_job *), void (*done)(struct lun_job *))
{
    ch->job = (struct lun_job){ .run = run, .done = done };
    if (!lun_builder_do(ch->of->builder, &ch->job)) fail(ch, 503, "the system gives no thread");
}

static void everywhere(change *ch, void (*visit)(struct lun_errand *, struct lun_worker *, int), void (*done)(struct lun_errand *))
{
    struct lun_changes *c = ch->of;
    ch->errand = (struct lun_errand){ .visit = visit, .done = done };
    lun_errand_send(&ch->errand, c->options.reactor, c->workers, c->n_workers);
}

/* ---- what is written down ---- */

static void write_state(struct lun_changes *c, change *ch)
{
    struct lun_buf out = {0};
    lun_buf_printf(&out, "{\"format\":%d,\"settings\":%s", FORMAT, c->settings->json ? c->settings->json : "{}");
    lun_versions_write(&c->versions, &out);
    lun_buf_puts(&out, "}\n");
    free(ch->text);
    ch->text = out.at;
    ch->n_text = out.n;
}

/* ---- settings of a version ---- */

static struct lun_tuning *fitting(const struct lun_tuning *all, const struct lun_snapshot *s)
{
    struct lun_tuned *items = lun_alloc((size_t)(all->n + 1) * sizeof *items);
    char problem[200];
    int n = 0;
    for (int i = 0; i < all->n; i++) {
        const struct lun_policy_setting *rule = lun_snapshot_setting(s, all->items[i].name);
        if (rule && lun_policy_setting_takes(rule, &all->items[i].value, problem)) items[n++] = all->items[i];
    }
    struct lun_tuning *t = lun_tuning_new(items, n);
    free(items);
    return t;
}

static void warn_unfit(struct lun_changes *c, change *ch, const struct lun_snapshot *s)
{
    char problem[200];
    for (int i = 0; i < c->settings->n; i++) {
        const struct lun_policy_setting *rule = lun_snapshot_setting(s, c->settings->items[i].name);
        if (rule && !lun_policy_setting_takes(rule, &c->settings->items[i].value, problem))
            lun_texts_add(ch, &ch->result.warnings, "setting %s: what it was set to does not fit any more (%s); its default holds", rule->name, problem);
    }
}

/* ---- taking a version over ---- */

static void written(struct lun_job *j) { finish(change_of(j)); }

/* Every worker has it. What is known of versions follows. */
static void adopted(struct lun_errand *e)
{
    change *ch = change_on(e);
    struct lun_changes *c = ch->of;
    lun_us wall = lun_clock_wall();
    ch->result.changed = true;
    ch->result.from = lun_arena_strdup(&ch->arena, c->current->version);
    if (ch->kind == LUN_CHANGE_ROLLBACK) lun_version_mark_bad(lun_versions_current(&c->versions), wall, ch->by, ch->why);
    else if (!ch->refreshed) lun_versions_forgive(&c->versions, NULL);
    lun_versions_take(&c->versions, lun_snapshot_ref(ch->snapshot), wall, ch->by, ch->why);
    lun_snapshot_unref(c->current);
    c->current = lun_snapshot_ref(ch->snapshot);
    lun_tuning_unref(c->tuning);
    c->tuning = lun_tuning_ref(ch->tuning);
    lun_troubles_watch(&c->troubles, c->current);
    write_state(c, ch);
    aside(ch, lun_change_write, written);
}

static void adopt(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)e, (void)index;
    lun_worker_adopt(w);
}

static void discarded(struct lun_errand *e)
{
    change *ch = change_on(e);
    lun_registry_apply(ch->of->options.registry, ch->of->current);
    fail(ch, 503, "a worker could not take it over: %s", ch->prepare_error);
}

static void discard(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)e, (void)index;
    lun_worker_discard(w);
}

/* All workers are ready: from here on nothing can go wrong but the disk. */
static void prepared(struct lun_errand *e)
{
    change *ch = change_on(e);
    struct lun_changes *c = ch->of;
    ch->n_kits = 0;
    if (ch->prepare_error) { everywhere(ch, discard, discarded); return; }
    lun_registry_apply(c->options.registry, ch->snapshot);
    atomic_store(&c->options.shared->buffered_max, ch->snapshot->limits.buffered);
    atomic_store(&c->options.shared->connections_max, ch->snapshot->limits.connections);
    everywhere(ch, adopt, adopted);
}

static void prepare(struct lun_errand *e, struct lun_worker *w, int index)
{
    change *ch = change_on(e);
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
    ch->of->waits_for_room = false;
    ch->of->again |= ch->kind == LUN_CHANGE_RELOAD;
    fail(ch, 503, "%d versions still have requests under way: %s", LUN_VERSIONS_MOST,
         ch->kind == LUN_CHANGE_RELOAD ? "the files are read again when the last request of one of them has ended" : "the last request of one of them must end first");
}

/* At most so many versions are in use at once. A further one waits for the last request of one of them, where somebody waits for an answer; so that
 * others are not held up, one that came by itself gives way, and comes again when there is room. */
static void take_over(change *ch)
{
    struct lun_changes *c = ch->of;
    struct lun_loop *loop = &c->options.reactor->loop;
    c->waits_for_room = !atomic_load(&ch->snapshot->desks) && lun_versions_live(&c->versions) >= LUN_VERSIONS_MOST;
    if (!c->waits_for_room) {
        lun_timer_set(loop, &ch->limit, LUN_NEVER);
        lun_tuning_unref(ch->tuning);
        ch->tuning = fitting(c->settings, ch->snapshot);
        warn_unfit(c, ch, ch->snapshot);
        everywhere(ch, prepare, prepared);
    } else if (!ch->limit.at) {
        ch->limit.fire = no_room;
        lun_timer_set(loop, &ch->limit, loop->now + (ch->waiters ? ROOM_LIMIT : 0));
    }
}

static void look_for_room(struct lun_post *p)
{
    struct lun_changes *c = CHANGES_OF(released, p);
    if (c->now && c->waits_for_room) take_over(c->now);
    if (!c->again || c->stopping || lun_versions_live(&c->versions) >= LUN_VERSIONS_MOST) return;
    c->again = false;
    lun_changes_reload(c, FILES, false, NULL, NULL);
}

static void built(struct lun_job *j)
{
    change *ch = change_of(j);
    if (ch->of->stopping) fail(ch, 503, "the gateway is stopping");
    else if (ch->snapshot) take_over(ch);
    else finish(ch);
}

/* ---- settings ---- */

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
    change *ch = change_on(e);
    struct lun_changes *c = ch->of;
    struct lun_tuning *all = with_changes(c->settings, &ch->result);
    lun_tuning_unref(c->settings);
    c->settings = all;
    lun_tuning_unref(c->tuning);
    c->tuning = lun_tuning_ref(ch->tuning);
    ch->result.changed = true;
    write_state(c, ch);
    aside(ch, lun_change_write, written);
}

static void tune(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)index;
    lun_worker_tune(w, change_on(e)->tuning);
}

static bool check_setting(change *ch, struct lun_setting_change *s)
{
    const struct lun_policy_setting *rule = lun_snapshot_setting(ch->of->current, s->name);
    const struct lun_plain *before = lun_tuning_get(ch->of->tuning, s->name);
    char problem[200] = "the policy has no such setting";
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

static void set(change *ch)
{
    struct lun_changes *c = ch->of;
    for (int i = 0; i < ch->result.n_settings; i++) check_setting(ch, (struct lun_setting_change *)&ch->result.settings[i]);
    if (ch->result.status != 200) { finish(ch); return; }
    struct lun_tuning *all = with_changes(c->settings, &ch->result);
    ch->tuning = fitting(all, c->current);
    lun_tuning_unref(all);
    everywhere(ch, tune, tuned);
}

/* ---- beginning ---- */

static void know(change *ch)
{
    const struct lun_versions *vs = &ch->of->versions;
    ch->known = lun_arena_alloc(&ch->arena, (size_t)(vs->n + 1) * sizeof *ch->known);
    for (int i = 0; i < vs->n; i++) {
        const struct lun_version *v = vs->items[i];
        struct lun_known *k = &ch->known[ch->n_known++];
        char at[25];
        *k = (struct lun_known){ .name = lun_arena_strdup(&ch->arena, v->name), .snapshot = v->snapshot };
        if (!v->bad) continue;
        lun_clock_text(v->bad, at);
        k->taken_back = lun_arena_printf(&ch->arena, "at %s by %s (%s)", at, v->bad_by, v->bad_why);
    }
}

static void roll_back(change *ch)
{
    const struct lun_version *to = lun_versions_previous(&ch->of->versions);
    for (int i = 0; to && i < ch->n_known; i++) if (!strcmp(ch->known[i].name, to->name)) ch->back_to = &ch->known[i];
    if (ch->back_to) aside(ch, lun_change_build_rollback, built);
    else fail(ch, 409, "there is no earlier version");
}

static void file_changed(void *self)
{
    struct lun_changes *c = self;
    if (c->current->watch) lun_changes_reload(c, FILES, false, NULL, NULL);
}

static void started(struct lun_job *j)
{
    change *ch = change_of(j);
    struct lun_changes *c = ch->of;
    bool again = ch->outdated && c->watch && !c->stopping;
    if (c->watch && !c->stopping) lun_watch_any_lua(c->watch, true);
    finish(ch);
    if (again) file_changed(c);
}

static void begin(change *ch)
{
    struct lun_changes *c = ch->of;
    know(ch);
    ch->clock = lun_watch_clock();
    switch (ch->kind) {
    case LUN_CHANGE_START:
        write_state(c, ch);
        aside(ch, lun_change_build_start, started);
        break;
    case LUN_CHANGE_RELOAD:   aside(ch, lun_change_build_reload, built); break;
    case LUN_CHANGE_ROLLBACK: roll_back(ch); break;
    case LUN_CHANGE_SET:      set(ch); break;
    }
}

static void go(struct lun_changes *c)
{
    change *ch = c->first_change;
    if (c->now || !ch) return;
    if (!(c->first_change = ch->next)) c->last_change = &c->first_change;
    c->now = ch;
    if (c->stopping) fail(ch, 503, "the gateway is stopping");
    else begin(ch);
}

static change *change_new(struct lun_changes *c, enum lun_change_kind kind, const char *by, const char *why)
{
    change *ch = lun_zalloc(sizeof *ch);
    ch->of = c;
    ch->kind = kind;
    ch->by = lun_arena_strdup(&ch->arena, by);
    ch->why = lun_arena_strdup(&ch->arena, why);
    ch->result.status = 200;
    ch->result.kept = false;
    pthread_mutex_init(&ch->lock, NULL);
    return ch;
}

static void wait_for(change *ch, lun_change_told *told, void *self)
{
    struct lun_change_waiter *w = lun_arena_alloc(&ch->arena, sizeof *w);
    *w = (struct lun_change_waiter){ ch->waiters, told, self };
    if (told) ch->waiters = w;
}

static void enqueue(change *ch)
{
    struct lun_changes *c = ch->of;
    ch->next = NULL;
    *c->last_change = ch;
    c->last_change = &ch->next;
    go(c);
}

void lun_changes_reload(struct lun_changes *c, const char *by, bool force, lun_change_told *told, void *self)
{
    for (change *ch = c->first_change; ch; ch = ch->next)
        if (ch->kind == LUN_CHANGE_RELOAD && ch->force == force) { wait_for(ch, told, self); return; }
    change *ch = change_new(c, LUN_CHANGE_RELOAD, by, "");
    ch->force = force;
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_rollback(struct lun_changes *c, const char *by, const char *why, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_ROLLBACK, by, why);
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_set(struct lun_changes *c, const char *by, const struct lun_wanted *wanted, int n, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_SET, by, "");
    struct lun_setting_change *s = lun_arena_zalloc(&ch->arena, (size_t)(n + 1) * sizeof *s);
    for (int i = 0; i < n; i++) {
        s[i].name = lun_arena_strdup(&ch->arena, wanted[i].name);
        if (!(s[i].is_set = wanted[i].value != NULL)) continue;
        s[i].after = *wanted[i].value;
        s[i].after.text = lun_arena_strdup(&ch->arena, s[i].after.text);
    }
    ch->result.settings = s;
    ch->result.n_settings = n;
    wait_for(ch, told, self);
    enqueue(ch);
}

/* ---- from workers ---- */

struct retired { struct lun_job job; struct lun_kit *kit; };

static void free_retired(struct lun_job *j)
{
    struct retired *r = (struct retired *)(void *)j;
    lun_kit_free(r->kit);
    free(r);
}

void lun_changes_retire(void *self, struct lun_kit *kit)
{
    struct lun_changes *c = self;
    struct retired *r = lun_alloc(sizeof *r);
    *r = (struct retired){ .job.run = free_retired, .kit = kit };
    if (!lun_builder_do(c->builder, &r->job)) free_retired(&r->job);
}

void lun_changes_released(void *self)
{
    struct lun_changes *c = self;
    lun_reactor_post(c->options.reactor, &c->released);
}

void lun_changes_trouble(void *self, const struct lun_trouble *t)
{
    struct lun_changes *c = self;
    atomic_fetch_add_explicit(&t->snapshot->hook_failures, 1, memory_order_relaxed);
    if (lun_troubles_add(&c->troubles, t, lun_clock_now())) lun_reactor_post(c->options.reactor, &c->sick);
}

/* The version in use fails again and again. */
static void take_out(struct lun_post *p)
{
    struct lun_changes *c = CHANGES_OF(sick, p);
    char why[sizeof c->troubles.why];
    pthread_mutex_lock(&c->troubles.lock);
    bool sick = c->troubles.told && c->troubles.of == c->current;
    memcpy(why, c->troubles.why, sizeof why);
    pthread_mutex_unlock(&c->troubles.lock);
    if (!sick || c->stopping) return;
    if (lun_versions_earlier_served(&c->versions)) lun_changes_rollback(c, "lunette", why, NULL, NULL);
    else lun_log(c->options.log, LUN_LOG_WARN, "policy %s: %s. No earlier version has answered requests, so it goes on", c->current->version, why);
}

/* ---- life ---- */

static void read_settings(struct lun_changes *c, struct lun_json object)
{
    struct lun_arena arena = {0};
    struct lun_json_each e = lun_json_each(object);
    struct lun_tuned *items = lun_arena_alloc(&arena, (lun_json_count(object) + 1) * sizeof *items);
    int n = 0;
    while (lun_json_next(&e)) {
        items[n].name = lun_json_string_in(e.key, true, &arena, NULL);
        n += items[n].name && lun_plain_of_json(e.value, &arena, &items[n].value);
    }
    lun_tuning_unref(c->settings);
    c->settings = lun_tuning_new(items, n);
    lun_arena_free(&arena);
}

/* What an earlier run has left. One that nobody understands is put aside, never overwritten. */
static void recall(struct lun_changes *c, const char *folder)
{
    size_t n;
    int64_t format = 0;
    struct lun_json all;
    char *text = lun_keep_read(c->keep, &n);
    if (!text) return;
    bool good = lun_json_check(text, n, &all, NULL) && lun_json_int(lun_json_get(all, "format"), &format) && format == FORMAT && lun_versions_read(&c->versions, all);
    if (good) read_settings(c, lun_json_get(all, "settings"));
    else {
        char *from = lun_printf("%s/state.json", folder), *to = lun_printf("%s/state.json.unreadable", folder);
        lun_log(c->options.log, LUN_LOG_ERROR, "%s cannot be understood: settings, versions and what was taken back begin anew (it is kept as %s)", from, to);
        if (rename(from, to)) lun_log(c->options.log, LUN_LOG_ERROR, "%s: %m", to);
        free(from), free(to);
        lun_versions_free(&c->versions);
    }
    free(text);
}

static bool open_keep(struct lun_changes *c, const struct lun_snapshot *s, char **error)
{
    char *why = NULL;
    if (!s->state) return true;
    if ((c->keep = lun_keep_open(s->state, &why))) {
        recall(c, s->state);
        return true;
    }
    if (s->state_said) *error = why;
    else {
        lun_log(c->options.log, LUN_LOG_WARN, "%s: settings and rollbacks will not survive a restart", why);
        free(why);
    }
    return !s->state_said;
}

/* The newest version that was kept and not taken back. */
static struct lun_snapshot *kept_version(struct lun_changes *c, const char *but)
{
    for (int i = 0; i < c->versions.n; i++) {
        const struct lun_version *v = c->versions.items[i];
        struct lun_mistakes mistakes = {0};
        struct lun_kept kept;
        if (v->bad || !strcmp(v->name, but) || !lun_kept_read(c->keep, v->name, &kept)) continue;
        struct lun_snapshot *s = lun_config_source_load_kept(c->options.source, &kept, &mistakes);
        lun_kept_free(&kept);
        lun_mistakes_free(&mistakes);
        if (s && !strcmp(s->version, v->name)) return s;
        lun_snapshot_unref(s);
    }
    return NULL;
}

static struct lun_snapshot *choose(struct lun_changes *c, struct lun_snapshot *s)
{
    const struct lun_version *v = lun_versions_find(&c->versions, s->version);
    struct lun_snapshot *earlier = v && v->bad ? kept_version(c, s->version) : NULL;
    if (!v || !v->bad) return s;
    if (!earlier) {
        lun_log(c->options.log, LUN_LOG_ERROR, "%s was taken back by %s (%s), but no earlier version was kept: it is used all the same", s->version, v->bad_by, v->bad_why);
        return s;
    }
    lun_log(c->options.log, LUN_LOG_WARN, "%s was taken back by %s (%s) and its files are as they were: %s goes on", s->version, v->bad_by, v->bad_why, earlier->version);
    lun_snapshot_unref(s);
    return earlier;
}

static bool open_audit(struct lun_changes *c, char **error)
{
    return !c->first->audit_log || (c->audit = lun_writer_new(c->first->audit_log, error));
}

struct lun_changes *lun_changes_new(const struct lun_changes_options *options, struct lun_mistakes *mistakes, char **error)
{
    lun_us before = lun_watch_clock();
    struct lun_paths looked_at = {0};
    struct lun_snapshot *s = lun_config_source_load(options->source, mistakes, &looked_at);
    *error = NULL;
    if (!s) {
        lun_paths_free(&looked_at);
        return NULL;
    }
    struct lun_changes *c = lun_zalloc(sizeof *c);
    *c = (struct lun_changes){ .options = *options, .released.run = look_for_room, .sick.run = take_out, .settings = lun_tuning_new(NULL, 0),
                                .read = lun_strdup(s->version), .read_at = before, .looked_at = looked_at };
    c->last_change = &c->first_change;
    lun_troubles_init(&c->troubles);
    c->builder = lun_builder_new(options->reactor, options->aside);
    bool good = open_keep(c, s, error);
    c->first = choose(c, s);
    if (!good || !open_audit(c, error)) {
        lun_changes_free(c);
        return NULL;
    }
    c->current = lun_snapshot_ref(c->first);
    c->tuning = fitting(c->settings, c->first);
    lun_registry_bind(options->registry, c->first);
    const struct lun_version *last = lun_versions_current(&c->versions);
    bool same = last && !strcmp(last->name, c->first->version);
    lun_versions_take(&c->versions, lun_snapshot_ref(c->first), lun_clock_wall(), "start", same ? "the program was started again" : "");
    if (s == c->first) lun_versions_forgive(&c->versions, NULL);
    lun_troubles_watch(&c->troubles, c->current);
    c->means = (struct lun_change_means){ .options = &c->options, .running = c->first, .read = c->read, .keep = c->keep };
    return c;
}

void lun_changes_begin(struct lun_changes *c, struct lun_worker *const *workers, int n)
{
    c->workers = workers;
    c->n_workers = c->means.n_workers = n;
    if (c->options.watch) c->watch = lun_watch_new(c->options.reactor, LUN_WATCH_QUIET, file_changed, c);
    watch(c, &c->looked_at, c->read_at);        /* before they are looked at again: what was removed has no time of it */
    enqueue(change_new(c, LUN_CHANGE_START, "start", ""));
}

void lun_changes_stop(struct lun_changes *c)
{
    c->stopping = true;
    lun_watch_free(c->watch);
    c->watch = NULL;
    go(c);
}

void lun_changes_reopen_log(struct lun_changes *c)
{
    if (c->audit) lun_writer_reopen(c->audit);
}

static void drop(change *ch)
{
    ch->result.status = 503;
    lun_texts_add(ch, &ch->result.errors, "the gateway has stopped");
    tell(ch);
    change_free(ch);
}

void lun_changes_free(struct lun_changes *c)
{
    if (!c) return;
    lun_watch_free(c->watch);
    lun_builder_free(c->builder);
    if (c->now) lun_timer_set(&c->options.reactor->loop, &c->now->limit, LUN_NEVER), drop(c->now);
    for (change *ch; (ch = c->first_change); drop(ch)) c->first_change = ch->next;
    lun_versions_free(&c->versions);
    lun_tuning_unref(c->settings);
    lun_tuning_unref(c->tuning);
    lun_snapshot_unref(c->current);
    lun_snapshot_unref(c->first);
    lun_writer_free(c->audit);
    lun_keep_close(c->keep);
    lun_troubles_destroy(&c->troubles);
    free(c->read);
    lun_paths_free(&c->looked_at);
    free(c);
}

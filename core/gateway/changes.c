#include "gateway/changes.h"
#include "base/alloc.h"
#include "gateway/change.h"
#include "gateway/shadow.h"
#include "state/registry.h"
#include "wire/watch.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct lun_change change;

#define CHANGES_OF(member, at) ((struct lun_changes *)(void *)((char *)(at) - offsetof(struct lun_changes, member)))
static void go(struct lun_changes *);

const struct lun_change_means *lun_changes_means(const struct lun_changes *c)       { return &c->means; }
struct lun_snapshot *lun_changes_first(const struct lun_changes *c)                 { return c->first; }
struct lun_snapshot *lun_changes_current(const struct lun_changes *c)               { return c->current; }
struct lun_tuning *lun_changes_tuning(const struct lun_changes *c)                  { return c->tuning; }
const struct lun_versions *lun_changes_versions(const struct lun_changes *c)        { return &c->versions; }
struct lun_keyring *lun_changes_keyring(const struct lun_changes *c)                { return c->keyring; }
const char *lun_changes_state(const struct lun_changes *c)                          { return c->keep ? c->first->state : NULL; }

/* ---- the end of a change ---- */

static void change_free(change *ch)
{
    while (ch->n_kits) lun_kit_free(ch->kits[--ch->n_kits]);
    lun_snapshot_unref(ch->snapshot);
    lun_tuning_unref(ch->tuning);
    lun_tuning_unref(ch->shadow_tuning);
    lun_shadow_unref(ch->shadow);
    lun_snapshot_unref(ch->tried);
    lun_paths_free(&ch->looked_at);
    lun_errand_drop(&ch->errand);
    pthread_mutex_destroy(&ch->lock);
    free(ch->text), free(ch->prepare_error), free(ch->write_error);
    lun_key_unref(ch->key_before), lun_key_unref(ch->key);
    while (ch->n_learned) lun_key_unref(ch->learned[--ch->n_learned]);
    lun_keyring_unref(ch->keyring), lun_keyring_unref(ch->keyring_before);
    lun_buf_free(&ch->keys_file), lun_buf_free(&ch->audit);
    explicit_bzero(ch->key_text, sizeof ch->key_text);
    lun_arena_free(&ch->arena);
    free(ch);
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

/* A full disk or a want of descriptors passes: what could not be written is tried again, less and less often. */
static void keep_again(struct lun_changes *c, const change *ch)
{
    if (!ch->wrote || c->stopping) return;
    if (ch->result.kept && c->pause && ch->kind != LUN_CHANGE_KEEP) return;          /* its part; what was missing before is not known */
    if (ch->result.kept && c->pause) lun_log(c->options.log, LUN_LOG_INFO, "what could not be kept over a restart is kept now");
    if (ch->result.kept) c->pause = 0;
    else c->pause = !c->pause ? LUN_SECOND : c->pause < LUN_SECOND * 30 ? c->pause * 2 : LUN_SECOND * 60;
    lun_timer_set(&c->options.reactor->loop, &c->keeper, c->pause ? c->options.reactor->loop.now + c->pause : LUN_NEVER);
}

/* A rollback that no person has asked for, nor another gateway. */
static bool by_itself(const change *ch) { return ch->kind == LUN_CHANGE_ROLLBACK && ch->meant && !ch->waiters; }

/* Nothing could be done about a version that fails: if it goes on failing, that is tried again. */
static void pause_troubles(struct lun_changes *c) { lun_troubles_pause(&c->troubles, c->options.reactor->loop.now + LUN_TROUBLES_PAUSE); }

void lun_change_finish(change *ch)
{
    struct lun_changes *c = ch->of;
    lun_timer_set(&c->options.reactor->loop, &ch->limit, LUN_NEVER);
    ch->result.version = c->current->version;
    ch->result.generation = c->versions.generation;
    lun_change_shadow_settled(ch);
    if (by_itself(ch) && ch->result.status != 200) pause_troubles(c);
    lun_change_report(ch);
    keep_again(c, ch);
    watch(c, &ch->looked_at, ch->clock);
    tell(ch);
    c->now = NULL;
    change_free(ch);
    go(c);
}

static void note(change *ch, int status, const char *format, va_list args)
{
    char text[600];
    vsnprintf(text, sizeof text, format, args);
    ch->result.status = status;
    lun_texts_add(ch, &ch->result.errors, "%s", text);
}

bool lun_change_refuse(change *ch, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(ch, status, format, args);
    va_end(args);
    return false;
}

void lun_change_fail(change *ch, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(ch, status, format, args);
    va_end(args);
    lun_change_finish(ch);
}

void lun_change_aside(change *ch, void (*run)(struct lun_job *), void (*done)(struct lun_job *))
{
    ch->job = (struct lun_job){ .run = run, .done = done, .disk = run == lun_change_write || run == lun_change_write_keys, .soon = run == lun_change_write_keys };
    if (!lun_builder_do(ch->of->builder, &ch->job)) lun_change_fail(ch, 503, "the system gives no thread");
}

void lun_change_everywhere(change *ch, void (*visit)(struct lun_errand *, struct lun_worker *, int), void (*done)(struct lun_errand *))
{
    struct lun_changes *c = ch->of;
    ch->errand = (struct lun_errand){ .visit = visit, .done = done };
    lun_errand_send(&ch->errand, c->options.reactor, c->workers, c->n_workers);
}

void lun_change_state(change *ch)
{
    const struct lun_changes *c = ch->of;
    struct lun_buf out = {0};
    lun_buf_printf(&out, "{\"format\":%d,\"settings\":%s", LUN_STATE_FORMAT, c->settings->json ? c->settings->json : "{}");
    if (ch->keyring || (c->keyring && c->keyring->n)) lun_buf_puts(&out, ",\"keys\":true");
    lun_versions_write(&c->versions, &out);
    lun_change_write_canaries(c, &out);
    lun_buf_puts(&out, "}\n");
    free(ch->text);
    ch->text = out.at;
    ch->n_text = out.n;
}

static void written(struct lun_job *j) { lun_change_finish(lun_change_of(j)); }

void lun_change_keep(change *ch)
{
    lun_change_state(ch);
    if (ch->result.changed) lun_change_audit(ch);
    lun_change_aside(ch, lun_change_write, written);
}

static void built(struct lun_job *j)
{
    change *ch = lun_change_of(j);
    if (ch->of->stopping) lun_change_fail(ch, 503, "the gateway is stopping");
    else if (ch->snapshot) lun_change_take_over(ch);
    else lun_change_finish(ch);
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
        k->files = lun_arena_strdup(&ch->arena, v->bad_files);
        k->taken_back = lun_arena_printf(&ch->arena, "at %s by %s (%s)", at, v->bad_by, v->bad_why);
    }
}

/* Another version has come since that was asked for: that one nobody has meant. */
static void left_already(change *ch)
{
    if (by_itself(ch)) lun_change_finish(ch);
    else lun_change_fail(ch, 409, "%s has come meanwhile, and is not taken back by that: ask again", ch->of->current->version);
}

static void roll_back(change *ch)
{
    if (ch->meant && ch->meant != ch->of->versions.generation) { left_already(ch); return; }
    if (by_itself(ch)) lun_log(ch->of->options.log, LUN_LOG_ERROR, "policy %s is taken back: %s", ch->of->current->version, ch->why);
    const struct lun_version *to = lun_versions_previous(&ch->of->versions);
    for (int i = 0; to && i < ch->n_known; i++) if (!strcmp(ch->known[i].name, to->name)) ch->back_to = &ch->known[i];
    if (ch->back_to) lun_change_aside(ch, lun_change_build_rollback, built);
    else lun_change_fail(ch, 409, "there is no earlier version");
}

static bool is_start(const struct lun_version *v) { return !strcmp(v->by, LUN_CHANGE_BY_START); }

/* What another gateway tells of a version: in use here, it is left; otherwise it is remembered. */
static void heed(change *ch)
{
    struct lun_changes *c = ch->of;
    const struct lun_taken_back *h = &ch->heard;
    struct lun_version *v = lun_versions_find(&c->versions, h->version), *current = lun_versions_current(&c->versions);
    bool since = v && (v->bad >= h->at || (v->taken > h->at && !is_start(v)));
    if (v && v == current && since && c->options.taken_back) c->options.taken_back(c->options.self, &(struct lun_taken_back){ v->name, v->taken, v->by, NULL, NULL });
    if (since || (!h->why && (!v || !v->bad))) lun_change_finish(ch);
    else if (v && v == current) roll_back(ch);
    else {
        if (h->why) lun_versions_learn_bad(&c->versions, h->version, h->at, h->by, h->why, h->files);
        else v->bad = 0;
        lun_change_keep(ch);
    }
}

static void file_changed(void *self)
{
    struct lun_changes *c = self;
    if (c->current->watch) lun_changes_reload(c, LUN_CHANGE_BY_FILES, false, NULL, NULL);
}

static void started(struct lun_job *j)
{
    change *ch = lun_change_of(j);
    struct lun_changes *c = ch->of;
    bool again = ch->outdated && c->watch && !c->stopping;
    if (c->watch && !c->stopping) lun_watch_any_lua(c->watch, true);
    lun_change_finish(ch);
    if (again) file_changed(c);
}

static void begin(change *ch)
{
    know(ch);
    ch->clock = lun_watch_clock();
    switch (ch->kind) {
    case LUN_CHANGE_START:
        lun_change_state(ch);
        lun_change_homeless(ch, ch->of->current);
        lun_change_aside(ch, lun_change_build_start, started);
        break;
    case LUN_CHANGE_RELOAD:   lun_change_aside(ch, lun_change_build_reload, built); break;
    case LUN_CHANGE_ROLLBACK: ch->heard.version ? heed(ch) : roll_back(ch); break;
    case LUN_CHANGE_SET:      lun_change_settings(ch); break;
    case LUN_CHANGE_CANARY:   lun_change_canary(ch); break;
    case LUN_CHANGE_KEY:      lun_change_key(ch); break;
    case LUN_CHANGE_KEEP:     lun_change_keep(ch); break;
    case LUN_CHANGE_SHADOW:   lun_change_shadow(ch); break;
    case LUN_CHANGE_UNSHADOW: lun_change_unshadow(ch); break;
    case LUN_CHANGE_SHADOW_DUE: lun_change_shadow_due(ch); break;
    }
}

/* Who is told may let go at once, and then the first change is another one. */
static void tell_held(struct lun_changes *c)
{
    void (*held)(void *self) = c->held;
    c->held = NULL;
    held(c->held_self);
}

static void go(struct lun_changes *c)
{
    if (!c->now && c->held) tell_held(c);
    change *ch = c->first_change;
    if (c->now || !ch || (c->holds && !c->stopping)) return;
    if (!(c->first_change = ch->next)) c->last_change = &c->first_change;
    c->now = ch;
    bool by_itself = ch->kind == LUN_CHANGE_CANARY && !ch->canary;      /* is kept to the last */
    if (c->stopping && (!by_itself || c->holds)) lun_change_fail(ch, 503, "the gateway is stopping");
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

static void keep_now(struct lun_timer *t)
{
    struct lun_changes *c = CHANGES_OF(keeper, t);
    if (!c->stopping) enqueue(change_new(c, LUN_CHANGE_KEEP, "lunette", ""));
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
    ch->meant = c->versions.generation;
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_learn_back(struct lun_changes *c, const struct lun_taken_back *b, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_ROLLBACK, b->by, b->why ? b->why : "");
    ch->heard = (struct lun_taken_back){ lun_arena_strdup(&ch->arena, b->version), b->at, ch->by, b->why ? ch->why : NULL, lun_arena_strdup(&ch->arena, b->files) };
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

void lun_changes_shadow(struct lun_changes *c, const char *by, const struct lun_shadow_terms *terms, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_SHADOW, by, "");
    ch->terms = lun_arena_alloc(&ch->arena, sizeof *ch->terms);
    *ch->terms = *terms;
    ch->force = terms->force;
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_unshadow(struct lun_changes *c, const char *by, const char *why, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_UNSHADOW, by, why);
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_shadow_due(struct lun_changes *c, const char *by, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_SHADOW_DUE, by, "");
    ch->shadow_number = c->shadow.number;
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_canary(struct lun_changes *c, const char *by, const char *name, enum lun_canary_verb verb, const char *why, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_CANARY, by, why);
    ch->canary = lun_arena_strdup(&ch->arena, name);
    ch->verb = verb;
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_key(struct lun_changes *c, const char *by, enum lun_key_verb verb, const char *name, struct lun_json said, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_KEY, by, "");
    ch->verb_of_key = verb;
    ch->key_name = lun_arena_strdup(&ch->arena, name);
    if (said.n) ch->said = (struct lun_json){ lun_arena_strndup(&ch->arena, said.at, said.n), said.n };
    wait_for(ch, told, self);
    enqueue(ch);
}

void lun_changes_learn_keys(struct lun_changes *c, const char *by, struct lun_key *const *keys, int n, lun_change_told *told, void *self)
{
    change *ch = change_new(c, LUN_CHANGE_KEY, by, "");
    ch->verb_of_key = LUN_KEY_LEARN;
    ch->learned = lun_arena_alloc(&ch->arena, (size_t)(n + 1) * sizeof *ch->learned);
    for (; ch->n_learned < n; ch->n_learned++) ch->learned[ch->n_learned] = lun_key_ref(keys[ch->n_learned]);
    wait_for(ch, told, self);
    enqueue(ch);
}

/* Before all others: what waits longer may be forgotten by a crash. */
static void canary_moved(struct lun_post *p)
{
    struct lun_changes *c = CHANGES_OF(canary, p);
    change *first = c->first_change;
    if (first && first->kind == LUN_CHANGE_CANARY && !first->canary) return;
    change *ch = change_new(c, LUN_CHANGE_CANARY, "lunette", "");
    if (!(ch->next = first)) c->last_change = &ch->next;
    c->first_change = ch;
    go(c);
}

/* ---- from workers ---- */

void lun_changes_canary_moved(void *self)
{
    struct lun_changes *c = self;
    lun_reactor_post(c->options.reactor, &c->canary);
}

struct lun_renewal *lun_changes_renew(void *self, struct lun_snapshot *snapshot)
{
    struct lun_changes *c = self;
    return lun_renewal_new(c->builder, snapshot, c->options.registry, c->options.limits, c->options.log);
}

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

static void released(struct lun_post *p) { lun_change_room(CHANGES_OF(released, p)); }

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
    if (lun_versions_earlier_served(&c->versions)) { lun_changes_rollback(c, "lunette", why, NULL, NULL); return; }
    if (c->alone != c->versions.generation) lun_log(c->options.log, LUN_LOG_WARN, "policy %s: %s. No earlier version has answered requests, so it goes on", c->current->version, why);
    c->alone = c->versions.generation;
    pause_troubles(c);                  /* one may have, by then: a request counts when it is over */
}

/* ---- life ---- */

static bool open_audit(struct lun_changes *c, char **error)
{
    return !c->first->audit_log || (c->audit = lun_writer_new(c->first->audit_log, error));
}

/* Who starts it has said something wrong, and is there to hear it. */
static bool wrong_from_outside(const struct lun_mistakes *mistakes)
{
    for (int i = 0; i < mistakes->n; i++)
        if (!strncmp(mistakes->items[i].file, "LUNETTE_", 8) || !strncmp(mistakes->items[i].file, "--", 2)) return true;
    return false;
}

/* Whether its `clients` and the keys that were made have no name or text in common. The files are read again to say where. */
static bool agrees(struct lun_changes *c, const struct lun_snapshot *s, struct lun_mistakes *mistakes)
{
    if (!c->keyring || !s->n_clients) return true;
    struct lun_snapshot *again = lun_config_source_load(c->options.source, mistakes, NULL, NULL);
    bool good = again != NULL;
    lun_snapshot_unref(again);
    return good;
}

/* The files, or where these cannot be used what served last: as a reload of them would have changed nothing. */
static bool begin_with(struct lun_changes *c, struct lun_snapshot **s, struct lun_mistakes *mistakes, char **error)
{
    if (*s && (!lun_change_recall(c, *s, error) || agrees(c, *s, mistakes))) {
        c->first = lun_change_choose(c, *s);
        return !*error;
    }
    lun_snapshot_unref(*s), *s = NULL;
    if (wrong_from_outside(mistakes)) return false;
    c->first = lun_change_last_good(c, error);
    if (*error) lun_log(c->options.log, LUN_LOG_ERROR, "%s", *error);      /* who is told of mistakes is not told of it */
    if (!c->first) return false;
    for (int i = 0; i < mistakes->n; i++) {
        const struct lun_mistake *m = &mistakes->items[i];
        if (m->line) lun_log(c->options.log, LUN_LOG_ERROR, "%s:%d: %s", m->file, m->line, m->what);
        else lun_log(c->options.log, LUN_LOG_ERROR, "%s: %s", m->file, m->what);
    }
    lun_log(c->options.log, LUN_LOG_ERROR, "THE FILES CANNOT BE USED: %s, which served last, goes on until they are mended", c->first->version);
    lun_mistakes_free(mistakes);
    return true;
}

struct lun_changes *lun_changes_new(const struct lun_changes_options *options, struct lun_mistakes *mistakes, char **error)
{
    lun_us before = lun_watch_clock();
    struct lun_paths looked_at = {0};
    struct lun_snapshot *s = lun_config_source_load(options->source, mistakes, NULL, &looked_at);
    *error = NULL;
    struct lun_changes *c = lun_zalloc(sizeof *c);
    *c = (struct lun_changes){ .options = *options, .released.run = released, .sick.run = take_out, .canary.run = canary_moved, .settings = lun_tuning_new(NULL, 0),
                                .read = lun_strdup(s ? s->version : ""), .read_at = before, .looked_at = looked_at };
    c->source = *options->source;
    c->options.source = &c->source;
    c->last_change = &c->first_change;
    lun_troubles_init(&c->troubles);
    lun_change_shadow_init(c);
    c->builder = lun_builder_new(options->reactor, options->aside);
    if (!begin_with(c, &s, mistakes, error) || !open_audit(c, error)) {
        lun_changes_free(c);
        return NULL;
    }
    c->current = lun_snapshot_ref(c->first);
    c->tuning = lun_change_fitting(c->settings, c->first);
    lun_registry_bind(options->registry, c->first);
    lun_registry_apply(options->registry, c->first);
    for (int i = 0; c->keyring && i < c->keyring->n; i++) if (!c->keyring->keys[i]->revoked) lun_registry_bind_key(options->registry, c->keyring->keys[i]);
    const struct lun_version *last = lun_versions_current(&c->versions);
    bool same = last && !strcmp(last->name, c->first->version);
    lun_versions_take(&c->versions, lun_snapshot_ref(c->first), lun_clock_wall(), LUN_CHANGE_BY_START,
                      !s ? "the files cannot be used" : same ? "the program was started again" : "");
    if (s == c->first) lun_versions_forgive(&c->versions, NULL);
    lun_troubles_watch(&c->troubles, c->current);
    c->keeper.fire = keep_now;
    c->means = (struct lun_change_means){ .options = &c->options, .running = c->first, .read = c->read, .keep = c->keep, .audit = c->audit };
    return c;
}

void lun_changes_reached(struct lun_changes *c, const char *clients, const char *admin)
{
    snprintf(c->means.reached, sizeof c->means.reached, "%s", clients);
    snprintf(c->means.admin_reached, sizeof c->means.admin_reached, "%s", admin);
}

void lun_changes_begin(struct lun_changes *c, struct lun_worker *const *workers, int n)
{
    c->workers = workers;
    c->n_workers = c->means.n_workers = n;
    if (c->options.watch) c->watch = lun_watch_new(c->options.reactor, LUN_WATCH_QUIET, file_changed, c);
    watch(c, &c->looked_at, c->read_at);        /* before they are looked at again: what was removed has no time of it */
    enqueue(change_new(c, LUN_CHANGE_START, LUN_CHANGE_BY_START, ""));
}

void lun_changes_hold(struct lun_changes *c, void (*held)(void *self), void *self)
{
    c->holds = true;
    c->held = held;
    c->held_self = self;
    go(c);
}

void lun_changes_go_on(struct lun_changes *c)
{
    c->holds = false;
    c->held = NULL;
    go(c);
}

int lun_changes_state_lock(const struct lun_changes *c) { return c->keep ? lun_keep_lock(c->keep) : -1; }

void lun_changes_stop(struct lun_changes *c)
{
    c->stopping = true;
    if (c->held) c->holds = false, c->held = NULL;
    lun_watch_free(c->watch);
    c->watch = NULL;
    lun_change_shadow_cut(c);
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
    lun_timer_set(&c->options.reactor->loop, &c->keeper, LUN_NEVER);
    lun_builder_free(c->builder);
    if (c->now) lun_timer_set(&c->options.reactor->loop, &c->now->limit, LUN_NEVER), drop(c->now);
    for (change *ch; (ch = c->first_change); drop(ch)) c->first_change = ch->next;
    lun_change_shadow_free(c);
    lun_versions_free(&c->versions);
    lun_tuning_unref(c->settings);
    lun_tuning_unref(c->tuning);
    lun_snapshot_unref(c->current);
    lun_snapshot_unref(c->first);
    lun_keyring_unref(c->keyring);
    lun_writer_free(c->audit);
    lun_keep_close(c->keep);
    lun_troubles_destroy(&c->troubles);
    free(c->read);
    lun_paths_free(&c->looked_at);
    free(c);
}

/* The half of a change that takes its time: files are read, a version is loaded and tried, its machines are made, the state folder is written. On
 * the builder's thread. */
#include "base/alloc.h"
#include "gateway/blame.h"
#include "gateway/change.h"
#include "gateway/key_file.h"
#include "gateway/shadow.h"
#include "script/convert.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


void lun_texts_add(struct lun_change *ch, struct lun_texts *to, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) abort();
    va_end(args);
    if (to->n == to->room) {
        const char **more = lun_arena_alloc(&ch->arena, (size_t)(to->room = to->room ? 2 * to->room : 8) * sizeof *more);
        if (to->n) memcpy(more, to->at, (size_t)to->n * sizeof *more);
        to->at = more;
    }
    to->at[to->n++] = lun_arena_strdup(&ch->arena, text);
    free(text);
}

static void refuse(struct lun_change *ch, int status) { if (ch->result.status == 200) ch->result.status = status; }

static void add_all(struct lun_change *ch, struct lun_texts *to, const struct lun_mistakes *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->items[i].line) lun_texts_add(ch, to, "%s:%d: %s", m->items[i].file, m->items[i].line, m->items[i].what);
        else lun_texts_add(ch, to, "%s: %s", m->items[i].file, m->items[i].what);
    if (m->more) lun_texts_add(ch, to, "and %d more", m->more);
}

static void take_mistakes(struct lun_change *ch, const struct lun_mistakes *m)
{
    add_all(ch, &ch->result.errors, m);
    refuse(ch, 422);
}

/* The files as they are now, with what `lunette check` would remark on; NULL, with the mistakes. */
static struct lun_snapshot *load_files(struct lun_change *ch, struct lun_mistakes *mistakes)
{
    struct lun_mistakes notes = {0};
    struct lun_snapshot *s = lun_config_source_load(lun_changes_means(ch->of)->options->source, mistakes, &notes, &ch->looked_at);
    add_all(ch, &ch->result.warnings, &notes);
    lun_mistakes_free(&notes);
    return s;
}

/* ---- what was changed and does not count yet ---- */

static bool differs(const char *a, const char *b) { return (a || b) && (!a || !b || strcmp(a, b)); }

static void tell_restart(struct lun_change *ch, const struct lun_snapshot *s)
{
    const struct lun_snapshot *now = lun_changes_means(ch->of)->running;
    const struct { const char *name; bool other; } fixed[] = {
        { "listen", differs(s->listen, now->listen) }, { "admin", differs(s->admin, now->admin) }, { "workers", s->workers != now->workers },
        { "state", differs(s->state, now->state) }, { "ledger", differs(s->ledger, now->ledger) }, { "log.requests", differs(s->request_log, now->request_log) },
        { "log.audit", differs(s->audit_log, now->audit_log) }, { "redis", differs(s->redis, now->redis) }, { "redis_prefix", differs(s->redis_prefix, now->redis_prefix) },
        { "redis_ca", differs(s->redis_ca, now->redis_ca) }, { "cache.redis", s->cache.redis && !now->cache.redis } };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (fixed[i].other) lun_texts_add(ch, &ch->result.restart, "%s", fixed[i].name);
}

static bool keep_closed(struct lun_change *ch, const char *setting, const char *address)
{
    lun_texts_add(ch, &ch->result.errors, "%s must stay until a restart: what listens on %s can be reached from other machines still", setting, address);
    refuse(ch, 422);
    return false;
}

/* The loader looks at the addresses that a version names; those that are listened on until a restart may be others. */
static bool may_open(struct lun_change *ch, const struct lun_snapshot *s)
{
    const struct lun_change_means *m = lun_changes_means(ch->of);
    const struct lun_snapshot *now = ch->known[0].snapshot;
    if (!s->admin_token && *m->admin_reached) return keep_closed(ch, "admin_token", m->admin_reached);
    if (!s->clients_said && *m->reached) return keep_closed(ch, "clients", m->reached);
    if (m->running->admin && now && now->admin_token && !s->admin_token) lun_texts_add(ch, &ch->result.warnings, "the admin interface asks for no token any more");
    return true;
}

/* ---- one version ---- */

static void hook_is_wrong(void *self, const char *what)
{
    struct lun_change *ch = self;
    lun_texts_add(ch, ch->force || ch->kind == LUN_CHANGE_START ? &ch->result.warnings : &ch->result.errors, "%s", what);
}

static bool equal(const struct lun_snapshot *a, const struct lun_snapshot *b)
{
    return b && !strcmp(a->version, b->version) && !memcmp(a->outside, b->outside, sizeof a->outside);
}

static const struct lun_known *known(const struct lun_change *ch, const char *name)
{
    for (int i = 0; i < ch->n_known; i++) if (!strcmp(ch->known[i].name, name)) return &ch->known[i];
    return NULL;
}

static bool make_kits(struct lun_change *ch, struct lun_snapshot *s)
{
    const struct lun_change_means *m = lun_changes_means(ch->of);
    char *error = NULL;
    ch->kits = lun_arena_zalloc(&ch->arena, (size_t)m->n_workers * sizeof *ch->kits);
    for (; ch->n_kits < m->n_workers; ch->n_kits++) {
        struct lun_kit *kit = lun_kit_new(s, m->options->registry, m->options->limits, m->options->log, &error);
        if (!kit) {
            lun_texts_add(ch, &ch->result.errors, "%s", error);
            refuse(ch, 422);
            free(error);
            return false;
        }
        ch->kits[ch->n_kits] = kit;
    }
    return true;
}

/* Tried, unless it served before. */
static bool fit_in(struct lun_change *ch, struct lun_snapshot *s, bool served)
{
    ch->unbound = served || lun_rehearse(s, lun_changes_means(ch->of)->options->source->path, hook_is_wrong, ch) || ch->force;
    if (!ch->unbound) refuse(ch, 422);
    return ch->unbound;
}

/* A version that was loaded, which is taken: the one there is already, one of those that are still known, or a new one. */
static void consider(struct lun_change *ch, struct lun_snapshot *s, bool served)
{
    const struct lun_known *before = known(ch, s->version);
    tell_restart(ch, s);
    if (!may_open(ch, s)) { lun_snapshot_unref(s); return; }
    if (equal(s, ch->known[0].snapshot)) { lun_snapshot_unref(s); return; }
    if (before && equal(s, before->snapshot)) {
        lun_snapshot_unref(s);
        s = lun_snapshot_ref(before->snapshot);
    } else if (!fit_in(ch, s, served || before == &ch->known[0])) { lun_snapshot_unref(s); return; }
    if (make_kits(ch, s)) ch->snapshot = s;
    else lun_snapshot_unref(s);
}

/* ---- as it was ---- */

static struct lun_snapshot *load_known(struct lun_change *ch, const struct lun_known *k, struct lun_mistakes *mistakes)
{
    const struct lun_change_means *m = lun_changes_means(ch->of);
    struct lun_kept kept;
    if (k->snapshot) lun_kept_copy(k->snapshot, &kept);
    else if (!m->keep || !lun_kept_read(m->keep, k->name, &kept)) {
        lun_mistakes_add(mistakes, k->name, 0, "its files were not kept");
        return NULL;
    }
    struct lun_snapshot *s = lun_config_source_load_kept(m->options->source, &kept, mistakes);
    lun_kept_free(&kept);
    if (!s || !strcmp(s->version, k->name)) return s;
    lun_mistakes_add(mistakes, k->name, 0, "what was kept of it is not what it was: one of its files, or a variable of the environment (LUNETTE_POLICY?) that chooses among policies");
    lun_snapshot_unref(s);
    return NULL;
}

void lun_change_build_rollback(struct lun_job *j)
{
    struct lun_change *ch = lun_change_of(j);
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = load_known(ch, ch->back_to, &mistakes);
    if (s) {
        char *blame = ch->known[0].snapshot ? lun_blame(ch->known[0].snapshot, s) : NULL;
        ch->blame = lun_arena_strdup(&ch->arena, blame);
        free(blame);
        consider(ch, s, true);
    } else take_mistakes(ch, &mistakes);
    lun_mistakes_free(&mistakes);
}

/* What was taken back and is in the files still, though others of them may have changed. */
static const struct lun_known *taken_back(const struct lun_change *ch, const struct lun_snapshot *s)
{
    for (int i = 0; i < ch->n_known; i++)
        if (ch->known[i].taken_back && (!strcmp(ch->known[i].name, s->version) || lun_blame_holds(ch->known[i].files, s))) return &ch->known[i];
    return NULL;
}

static void tell_taken_back(struct lun_change *ch, const struct lun_known *bad)
{
    char names[200];
    if (bad->files && *bad->files)
        lun_texts_add(ch, &ch->result.errors, "%s was taken back %s, and %s is as it was then: it stays so until that changes (`lunette reload --force` takes it all the same)",
                      bad->name, bad->taken_back, lun_blame_names(bad->files, names));
    else lun_texts_add(ch, &ch->result.errors, "%s was taken back %s: it stays so until a file of it changes (`lunette reload --force` takes it all the same)", bad->name, bad->taken_back);
}

/* The file holds what was taken back; what runs in its place may have other secrets by now. */
static void refresh(struct lun_change *ch, const struct lun_known *bad)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = load_known(ch, &ch->known[0], &mistakes);
    tell_taken_back(ch, bad);
    ch->refreshed = true;
    if (s) consider(ch, s, true);
    lun_mistakes_free(&mistakes);
    refuse(ch, 422);
}

void lun_change_build_reload(struct lun_job *j)
{
    struct lun_change *ch = lun_change_of(j);
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = load_files(ch, &mistakes);
    const struct lun_known *bad = s && !ch->force ? taken_back(ch, s) : NULL;
    if (!s) take_mistakes(ch, &mistakes);
    else if (bad) {
        lun_snapshot_unref(s);
        refresh(ch, bad);
    } else consider(ch, s, false);
    lun_mistakes_free(&mistakes);
}

/* ---- a shadow ---- */

static bool make_shadow_kits(struct lun_change *ch)
{
    const struct lun_change_means *m = lun_changes_means(ch->of);
    char *error = NULL;
    ch->kits = lun_arena_zalloc(&ch->arena, (size_t)m->n_workers * sizeof *ch->kits);
    while (ch->n_kits < m->n_workers && (ch->kits[ch->n_kits] = lun_shadow_kit(ch->shadow, m->options->limits, &error))) ch->n_kits++;
    if (!error) return true;
    lun_texts_add(ch, &ch->result.errors, "%s", error);
    free(error);
    return false;
}

/* Whether it may be tried; it is not known yet whether it may be taken over. */
static bool may_stand_beside(struct lun_change *ch, struct lun_snapshot *s)
{
    tell_restart(ch, s);
    if (equal(s, ch->known[0].snapshot)) {
        lun_texts_add(ch, &ch->result.errors, "the files hold the version that is in force: there is nothing to try%s",
                      s->watch ? " (with `watch = true` a change is taken over when it is saved: say `watch = false` to try one first)" : "");
        refuse(ch, 409);
        return false;
    }
    return may_open(ch, s) && fit_in(ch, s, false);
}

void lun_change_build_shadow(struct lun_job *j)
{
    struct lun_change *ch = lun_change_of(j);
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = load_files(ch, &mistakes);
    const struct lun_known *bad = s && !ch->force ? taken_back(ch, s) : NULL;
    if (!s) take_mistakes(ch, &mistakes);
    else if (bad) tell_taken_back(ch, bad), refuse(ch, 422);
    else if (may_stand_beside(ch, s)) {
        ch->shadow = lun_shadow_new(lun_changes_means(ch->of)->options->registry, s);
        s = NULL;
        if (!make_shadow_kits(ch)) refuse(ch, 422), lun_shadow_unref(ch->shadow), ch->shadow = NULL;
    }
    lun_snapshot_unref(s);
    lun_mistakes_free(&mistakes);
}

/* The files may hold something else by now. */
static void tell_if_outdated(struct lun_change *ch)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = load_files(ch, &mistakes);
    ch->result.warnings.n = 0;              /* they are of what is not taken over */
    if (!s || strcmp(s->version, ch->tried->version))
        lun_texts_add(ch, &ch->result.warnings, "the files have changed since the shadow began: what was tried is taken over, not what they hold now");
    lun_snapshot_unref(s);
    lun_mistakes_free(&mistakes);
}

void lun_change_build_tried(struct lun_job *j)
{
    struct lun_change *ch = lun_change_of(j);
    struct lun_mistakes mistakes = {0};
    struct lun_known tried = { .name = ch->tried->version, .snapshot = ch->tried };
    struct lun_snapshot *s = load_known(ch, &tried, &mistakes);
    tell_if_outdated(ch);
    if (s) consider(ch, s, true);
    else take_mistakes(ch, &mistakes);
    lun_mistakes_free(&mistakes);
}

/* ---- keeping ---- */

/* Somebody has removed the folder: it is written anew with all that is in it. Or what could not be written is. False: it cannot be. */
static bool keys_again(struct lun_change *ch, struct lun_keep *keep)
{
    const struct lun_keyring *ring = ch->of->keyring;
    struct lun_buf text = {0};
    char *error = NULL;
    if (!ring || !ring->n || (lun_keep_has_keys(keep) && ch->kind != LUN_CHANGE_KEEP)) return true;
    lun_key_file_put(&text, ring);
    bool good = lun_keep_write_keys(keep, text.at, text.n, &error);
    if (!good && ch->kind != LUN_CHANGE_KEEP) lun_texts_add(ch, &ch->result.warnings, "%s", error);
    lun_buf_free(&text);
    free(error);
    return good;
}

bool lun_change_write_audit(struct lun_change *ch, char **error)
{
    const struct lun_change_means *m = lun_changes_means(ch->of);
    if (!m->audit || !ch->audit.n) return true;
    uint64_t before = lun_writer_dropped(m->audit);
    const char *end, *last = ch->audit.at + ch->audit.n;
    for (const char *line = ch->audit.at; line < last; line = end + 1) {
        end = memchr(line, '\n', (size_t)(last - line));
        lun_writer_put(m->audit, line, (size_t)(end - line));
    }
    lun_writer_flush(m->audit);
    ch->audited = true;
    if (lun_writer_dropped(m->audit) == before) return true;
    *error = lun_printf("the audit log %s cannot be written: %s", m->running->audit_log, strerror(lun_writer_error(m->audit)));
    return false;
}

/* It has happened, and is in the process log. */
static void audit_late(struct lun_change *ch)
{
    char *error = NULL;
    if (!lun_change_write_audit(ch, &error)) lun_texts_add(ch, &ch->result.warnings, "%s: this change is not in it", error);
    free(error);
}

void lun_change_write(struct lun_job *j)
{
    struct lun_change *ch = lun_change_of(j);
    struct lun_keep *keep = lun_changes_means(ch->of)->keep;
    struct lun_snapshot *s = ch->snapshot ? ch->snapshot : ch->known[0].snapshot;
    const char *names[2 * LUN_VERSIONS_MOST + 1];
    char *error = NULL;
    int n = 0;
    audit_late(ch);
    if (!keep) return;
    ch->wrote = true;
    bool keys = keys_again(ch, keep);
    for (; n < ch->n_known; n++) names[n] = ch->known[n].name;
    names[n++] = s->version;
    bool state = (ch->kind == LUN_CHANGE_SET || ch->kind == LUN_CHANGE_CANARY || lun_keep_version(keep, s, &error)) && lun_keep_write(keep, ch->text, ch->n_text, &error);
    ch->result.kept = keys && state;
    lun_keep_only(keep, names, n);
    if (error && ch->kind != LUN_CHANGE_KEEP) lun_texts_add(ch, &ch->result.warnings, "not kept over a restart: %s", error);
    free(error);
}

/* The first version works already: what its hooks cannot do is told all the same. */
void lun_change_build_start(struct lun_job *j)
{
    struct lun_change *ch = lun_change_of(j);
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = load_files(ch, &mistakes);
    if (s) lun_rehearse(s, lun_changes_means(ch->of)->options->source->path, hook_is_wrong, ch);
    ch->outdated = !s || strcmp(s->version, lun_changes_means(ch->of)->read);
    lun_snapshot_unref(s);
    lun_mistakes_free(&mistakes);
    lun_change_write(j);
}

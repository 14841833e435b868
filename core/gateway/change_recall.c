/* What an earlier run of the program has left in the state folder: settings, versions, what was taken back, keys. */
#include "base/alloc.h"
#include "gateway/change.h"
#include "gateway/key_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Keys are never begun anew: without them a gateway might be open, and those that were revoked valid. `promised`: there were some. */
static bool recall_keys(struct lun_changes *c, const char *folder, bool promised, char **error)
{
    size_t n;
    char *why = NULL, *text = lun_keep_read_keys(c->keep, &n, error);
    struct lun_keyring *ring = text ? lun_key_file_read(text, n, &why) : NULL;
    if (text && !ring) *error = lun_printf("%s/keys.json, the keys made with `lunette key`, is damaged (%s): put back a copy of it; or, to make all keys anew, "
                                           "take it and state.json away", folder, why);
    else if (!text && !*error && promised)
        *error = lun_printf("%s/keys.json is missing, though keys were made with `lunette key`: put it back; or, to make all keys anew, take state.json away too", folder);
    if (ring) lun_change_keyring(c, ring);
    lun_keyring_unref(ring);
    free(text), free(why);
    return !*error;
}

/* What an earlier run has left. One that nobody understands is put aside, never overwritten. */
static bool recall(struct lun_changes *c, const char *folder, char **error)
{
    size_t n;
    int64_t format = 0;
    struct lun_json all;
    char *text = lun_keep_read(c->keep, &n);
    if (!text) return recall_keys(c, folder, false, error);
    bool promised = false;
    bool good = lun_json_check(text, n, &all, NULL) && lun_json_int(lun_json_get(all, "format"), &format) && format == LUN_STATE_FORMAT && lun_versions_read(&c->versions, all);
    if (good) {
        read_settings(c, lun_json_get(all, "settings"));
        lun_change_read_canaries(c, lun_json_get(all, "canaries"));
        promised = lun_json_true(lun_json_get(all, "keys"));
    } else {
        char *from = lun_printf("%s/state.json", folder), *to = lun_printf("%s/state.json.unreadable", folder);
        lun_log(c->options.log, LUN_LOG_ERROR, "%s cannot be understood: settings, versions and what was taken back begin anew (it is kept as %s)", from, to);
        if (rename(from, to)) lun_log(c->options.log, LUN_LOG_ERROR, "%s: %m", to);
        free(from), free(to);
        lun_versions_free(&c->versions);
    }
    free(text);
    return recall_keys(c, folder, promised, error);
}

bool lun_change_recall(struct lun_changes *c, const struct lun_snapshot *s, char **error)
{
    char *why = NULL;
    *error = NULL;
    if (!s->state) return true;
    if ((c->keep = lun_keep_open(s->state, c->options.state_lock, &why))) return recall(c, s->state, error);
    bool refused = s->state_said || lun_keep_may_have_keys(s->state);
    if (refused) *error = why;
    else {
        lun_log(c->options.log, LUN_LOG_WARN, "%s: settings and rollbacks will not survive a restart, nor will what was spent", why);
        free(why);
    }
    return !refused;
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

/* Where the state folder is, though the policy may be what cannot be used, or all of gateway.lua: then where it is by default. Yours to free; NULL:
 * nowhere. */
static char *state_folder(const struct lun_config_source *source)
{
    struct lun_config_source plain = *source;
    struct lun_mistakes mistakes = {0};
    plain.options.no_policy_check = plain.options.no_secrets = true;
    plain.options.origins = NULL;
    struct lun_snapshot *s = lun_config_source_load(&plain, &mistakes, NULL, NULL);
    const char *slash = source->path ? strrchr(source->path, '/') : NULL;
    char *folder = s ? lun_strdup(s->state) : source->path ? lun_printf("%.*s.lunette", slash ? (int)(slash + 1 - source->path) : 0, source->path) : NULL;
    lun_mistakes_free(&mistakes);
    lun_snapshot_unref(s);
    return folder;
}

static bool has_state(const char *folder)
{
    char *path = lun_printf("%s/state.json", folder);
    bool there = !access(path, R_OK);
    free(path);
    return there;
}

struct lun_snapshot *lun_change_last_good(struct lun_changes *c, char **error)
{
    if (c->keep) return *error ? NULL : kept_version(c, "");
    char *folder = state_folder(c->options.source), *why = NULL;
    struct lun_snapshot *s = NULL;
    if (folder && has_state(folder) && (c->keep = lun_keep_open(folder, c->options.state_lock, &why)) && recall(c, folder, error)) s = kept_version(c, "");
    free(folder), free(why);
    return s;
}

struct lun_snapshot *lun_change_choose(struct lun_changes *c, struct lun_snapshot *s)
{
    const struct lun_version *v = lun_versions_taken_back(&c->versions, s);
    struct lun_snapshot *earlier = v ? kept_version(c, s->version) : NULL;
    if (!v) return s;
    if (!earlier) {
        lun_log(c->options.log, LUN_LOG_ERROR, "%s was taken back by %s (%s), but no earlier version was kept: its files are used all the same", v->name, v->bad_by, v->bad_why);
        return s;
    }
    lun_log(c->options.log, LUN_LOG_WARN, "%s was taken back by %s (%s) and its files are as they were: %s goes on", v->name, v->bad_by, v->bad_why, earlier->version);
    lun_snapshot_unref(s);
    return earlier;
}

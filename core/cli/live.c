#include "cli/live.h"
#include "base/alloc.h"
#include "cli/remote.h"
#include <stdlib.h>
#include <string.h>

#define FOREVER 86400                   /* seconds, of what rests until somebody acts */
#define BUDGETS "/admin/budgets?n=1000"      /* as many as there are to be had, those nearest to their limits */

static void add(struct lun_live_list *l, const char *name, const char *value)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->pair = lun_realloc(l->pair, (size_t)l->room * sizeof *l->pair);
    }
    l->pair[l->n++] = (struct lun_pair){ name, value };
}

static double number(struct lun_json object, const char *name)
{
    double x;
    return lun_json_double(lun_json_get(object, name), &x) ? x : 0;
}

static const char *text_of(struct lun_live *l, struct lun_json object, const char *name) { return lun_json_string_in(lun_json_get(object, name), false, &l->arena, NULL); }

static void read_target(struct lun_live *l, const struct lun_snapshot *s, struct lun_json target)
{
    const char *name = text_of(l, target, "name");
    double seconds = lun_json_get(target, "rests").n ? FOREVER : number(target, "rests_ms") / 1000;
    if (name && seconds > 0 && lun_snapshot_target(s, name)) add(&l->resting, name, lun_arena_printf(&l->arena, "%.3f", seconds));
}

static void read_providers(struct lun_live *l, const struct lun_snapshot *s, struct lun_json answer)
{
    for (struct lun_json_each p = lun_json_each(lun_json_get(answer, "providers")); lun_json_next(&p); )
        for (struct lun_json_each t = lun_json_each(lun_json_get(p.value, "targets")); lun_json_next(&t); ) read_target(l, s, t.value);
}

static bool has_team(const struct lun_snapshot *s, const char *name)
{
    for (int i = 0; i < s->n_teams; i++) if (!strcmp(s->teams[i].name, name)) return true;
    return false;
}

static bool has_tag(const struct lun_snapshot *s, const char *name)
{
    size_t n = strcspn(name, "=");
    for (int i = 0; i < s->n_tags; i++) if (strlen(s->tags[i].name) == n && !memcmp(s->tags[i].name, name, n)) return true;
    return false;
}

static bool has_budget(const struct lun_snapshot *s, const char *name)
{
    if (!strncmp(name, "key ", 4)) return lun_snapshot_client_named(s, name + 4);
    if (!strncmp(name, "team ", 5)) return has_team(s, name + 5);
    if (!strncmp(name, "tag ", 4)) return has_tag(s, name + 4) && !strstr(name, "=(");          /* "(other)" is no value */
    return !strcmp(name, "total");
}

/* What is held may yet be spent. */
static void read_budgets(struct lun_live *l, const struct lun_snapshot *s, struct lun_json answer)
{
    for (struct lun_json_each e = lun_json_each(lun_json_get(answer, "budgets")); lun_json_next(&e); ) {
        const char *name = text_of(l, e.value, "name");
        double usd = number(e.value, "used") + number(e.value, "held");
        if (name && usd > 0 && has_budget(s, name)) add(&l->spent, name, lun_arena_printf(&l->arena, "%.9f", usd));
    }
}

static void read_settings(struct lun_live *l, const struct lun_snapshot *s, struct lun_json answer)
{
    for (struct lun_json_each e = lun_json_each(lun_json_get(answer, "settings")); lun_json_next(&e); ) {
        struct lun_json value = lun_json_get(e.value, "value");
        bool text = lun_json_type(value) == LUN_JSON_STRING;
        const char *name = text_of(l, e.value, "name");
        if (name && lun_snapshot_setting(s, name)) add(&l->settings, name, text ? text_of(l, e.value, "value") : lun_arena_strndup(&l->arena, value.at, value.n));
    }
}

int lun_live_read(struct lun_live *l, const struct lun_snapshot *s, const char *admin)
{
    static const struct { const char *path; void (*read)(struct lun_live *, const struct lun_snapshot *, struct lun_json); } parts[] = {
        { "/admin/providers", read_providers }, { BUDGETS, read_budgets }, { "/admin/settings", read_settings } };
    struct lun_remote remote;
    int status = lun_remote_open(&remote, "explain", admin);
    for (size_t i = 0; !status && i < sizeof parts / sizeof *parts; i++) {
        struct lun_remote_answer answer;
        status = lun_remote_get(&remote, parts[i].path, false, &answer);
        if (!status) parts[i].read(l, s, answer.json);
        lun_remote_answer_free(&answer);
    }
    lun_remote_free(&remote);
    return status;
}

void lun_live_free(struct lun_live *l)
{
    free(l->resting.pair), free(l->spent.pair), free(l->settings.pair);
    lun_arena_free(&l->arena);
}

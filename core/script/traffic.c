#include "script/traffic.h"
#include "base/alloc.h"
#include "base/file.h"
#include "script/value.h"
#include "script/vm.h"
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P99      2.326348           /* of a normal distribution, 99 % lie below so many deviations */
#define LONGEST  (366.0 * 86400)    /* seconds */
#define DEFAULT_START ((lun_us)1767571200 * LUN_SECOND)     /* 2026-01-05, a Monday */

struct reading { const char *file; struct lun_mistakes *mistakes; struct lun_arena *arena; };
typedef const struct lun_value value;

/* ---- values ---- */

static void wrong(const struct reading *r, value *table, const char *name, const char *what)
{
    lun_mistakes_add(r->mistakes, r->file, 0, "%s: %s", lun_value_path_of(table, name, r->arena), what);
}

static double number(const struct reading *r, value *table, const char *name, double otherwise, double least, double most)
{
    value *v = lun_value_get(table, name);
    if (!v) return otherwise;
    if (v->type == LUN_VALUE_NUMBER && v->number >= least && v->number <= most) return v->number;
    wrong(r, table, name, lun_arena_printf(r->arena, "has to be a number from %g to %g", least, most));
    return otherwise;
}

static const char *text(const struct reading *r, value *table, const char *name, const char *otherwise)
{
    value *v = lun_value_get(table, name);
    if (!v) return otherwise;
    if (v->type == LUN_VALUE_TEXT) return v->text;
    wrong(r, table, name, "has to be a text");
    return otherwise;
}

static bool yes(const struct reading *r, value *table, const char *name)
{
    value *v = lun_value_get(table, name);
    if (v && v->type != LUN_VALUE_BOOL) wrong(r, table, name, "has to be true or false");
    return v && v->type == LUN_VALUE_BOOL && v->yes;
}

/* A table that has no other names than these; NULL: it is not there, or none. */
static value *table_of(const struct reading *r, value *in, const char *name, const char *const *names)
{
    value *v = name ? lun_value_get(in, name) : in;
    if (v && v->type != LUN_VALUE_TABLE) {
        if (name) wrong(r, in, name, "has to be a table");
        return NULL;
    }
    for (int i = 0; v && names && i < v->n_items; i++) {
        const char *key = v->items[i]->key;
        const char *const *known = names;
        while (key && *known && strcmp(*known, key)) known++;
        if (!key || !*known) lun_mistakes_add(r->mistakes, r->file, 0, "%s: there is no such setting", lun_value_path(v->items[i], r->arena));
    }
    return v;
}

static struct lun_spread spread(const struct reading *r, value *table, const char *name, double median)
{
    static const char *const names[] = { "median", "p99", NULL };
    value *v = table_of(r, table, name, names);
    struct lun_spread s = { .median = number(r, v, "median", median, 1e-6, 1e9) };
    double p99 = number(r, v, "p99", s.median, 1e-6, 1e9);
    if (p99 < s.median) wrong(r, v, "p99", "has to be at least the median");
    else s.sigma = log(p99 / s.median) / P99;
    return s;
}

/* ---- its parts ---- */

static void read_rates(const struct reading *r, value *root, struct lun_traffic *t)
{
    static const char *const names[] = { "per_second", "per_hour", NULL };
    value *arrivals = table_of(r, root, "arrivals", names), *hours = lun_value_get(arrivals, "per_hour");
    double rate = number(r, arrivals, "per_second", 1, 1e-6, 1e6), most = 0;
    for (int h = 0; h < LUN_TRAFFIC_HOURS; h++) t->rate[h] = rate;
    if (!hours) return;
    if (hours->type != LUN_VALUE_TABLE || hours->n_list != LUN_TRAFFIC_HOURS || hours->n_items != LUN_TRAFFIC_HOURS) {
        wrong(r, arrivals, "per_hour", "has to be a list of 24 numbers, for the hours of a day in UTC");
        return;
    }
    for (int h = 0; h < LUN_TRAFFIC_HOURS; h++) {
        value *n = hours->items[h];
        if (n->type != LUN_VALUE_NUMBER || !(n->number >= 0 && n->number <= 1e9)) wrong(r, arrivals, "per_hour", "has to be a list of numbers of requests, 0 or more");
        else t->rate[h] = n->number / 3600;
        if (t->rate[h] > most) most = t->rate[h];
    }
    if (!(most > 0)) wrong(r, arrivals, "per_hour", "has to have an hour in which a request comes");
}

static void read_tags(const struct reading *r, value *entry, struct lun_traffic_kind *k)
{
    value *tags = table_of(r, entry, "tags", NULL);
    k->tags = lun_arena_alloc(r->arena, (size_t)(tags ? tags->n_items + 1 : 1) * sizeof *k->tags);
    for (int i = 0; tags && i < tags->n_items; i++) {
        value *v = tags->items[i];
        if (!v->key || v->type != LUN_VALUE_TEXT) wrong(r, entry, "tags", "has to be a table of names and texts");
        else k->tags[k->n_tags++] = (struct lun_pair){ v->key, v->text };
    }
}

static struct lun_traffic_kind read_kind(const struct reading *r, value *entry)
{
    static const char *const names[] = { "weight", "model", "text", "key", "user", "session", "task", "class", "tags", "stream", "input", "output", NULL };
    value *v = table_of(r, entry, NULL, names);
    struct lun_traffic_kind k = { .weight = number(r, v, "weight", 1, 0, 1e9), .model = text(r, v, "model", "auto"), .text = text(r, v, "text", NULL),
        .key = text(r, v, "key", NULL), .user = text(r, v, "user", NULL), .session = text(r, v, "session", NULL), .task = text(r, v, "task", NULL),
        .class = text(r, v, "class", NULL), .stream = yes(r, v, "stream"), .input = spread(r, v, "input", 500), .output = spread(r, v, "output", 200) };
    if (!v) lun_mistakes_add(r->mistakes, r->file, 0, "%s: has to be a table", lun_value_path(entry, r->arena));
    read_tags(r, v, &k);
    return k;
}

static void read_mix(const struct reading *r, value *root, struct lun_traffic *t)
{
    value *mix = table_of(r, root, "mix", NULL);
    double all = 0;
    t->n_mix = mix ? mix->n_list : 0;
    t->mix = lun_arena_zalloc(r->arena, (size_t)(t->n_mix + 1) * sizeof *t->mix);
    for (int i = 0; i < t->n_mix; i++) all += (t->mix[i] = read_kind(r, mix->items[i])).weight;
    if (!(all > 0)) wrong(r, root, "mix", "has to be a list of kinds of requests, of which one has a weight");
}

static void read_episodes(const struct reading *r, value *entry, struct lun_traffic_target *t)
{
    static const char *const names[] = { "from", "to", NULL };
    value *list = table_of(r, entry, "episodes", NULL);
    t->episodes = lun_arena_alloc(r->arena, (size_t)(list ? list->n_list + 1 : 1) * sizeof *t->episodes);
    for (int i = 0; list && i < list->n_list; i++) {
        value *v = table_of(r, list->items[i], NULL, names);
        struct lun_traffic_episode e = { number(r, v, "from", 0, 0, LONGEST), number(r, v, "to", 0, 0, LONGEST) };
        if (e.to <= e.from) wrong(r, entry, "episodes", "has to be a list of { from =, to = }, in seconds from the start");
        else t->episodes[t->n_episodes++] = e;
    }
}

static enum lun_kind read_failure(const struct reading *r, value *v)
{
    const char *name = text(r, v, "kind", "server_error");
    for (int k = LUN_KIND_OK + 1; k < LUN_KIND_CANCELLED; k++) if (!strcmp(name, lun_kind_name((enum lun_kind)k))) return (enum lun_kind)k;
    wrong(r, v, "kind", "has to be a way in which an attempt can fail, such as \"server_error\"");
    return LUN_KIND_SERVER_ERROR;
}

static struct lun_traffic_target read_target(const struct reading *r, value *entry)
{
    static const char *const names[] = { "latency", "first_byte", "failures", "kind", "episodes", "requests_per_minute", NULL };
    value *v = table_of(r, entry, NULL, names);
    struct lun_traffic_target t = { .name = entry->key, .latency = spread(r, v, "latency", 1), .first_byte = number(r, v, "first_byte", 0.3, 0, 1),
        .failures = number(r, v, "failures", 0, 0, 1), .kind = read_failure(r, v), .requests_per_minute = number(r, v, "requests_per_minute", 0, 0, 1e9) };
    if (!v || !entry->key) lun_mistakes_add(r->mistakes, r->file, 0, "%s: has to be a target's name and a table", lun_value_path(entry, r->arena));
    read_episodes(r, v, &t);
    return t;
}

static void read_targets(const struct reading *r, value *root, struct lun_traffic *t)
{
    value *targets = table_of(r, root, "targets", NULL);
    t->n_targets = targets ? targets->n_items : 0;
    t->targets = lun_arena_zalloc(r->arena, (size_t)(t->n_targets + 1) * sizeof *t->targets);
    for (int i = 0; i < t->n_targets; i++) t->targets[i] = read_target(r, targets->items[i]);
    if (!t->n_targets) wrong(r, root, "targets", "has to be a table that says of targets, by their names, how they answer");
}

static void read_root(const struct reading *r, value *v, struct lun_traffic *t)
{
    static const char *const names[] = { "seed", "requests", "start", "arrivals", "mix", "targets", NULL };
    value *root = table_of(r, v, NULL, names);
    const char *start = text(r, root, "start", NULL);
    t->start = DEFAULT_START;
    if (start && !lun_clock_read(start, &t->start)) wrong(r, root, "start", "has to be a moment such as \"2026-01-05T00:00:00Z\"");
    t->seed = (uint64_t)number(r, root, "seed", 1, 0, 9e15);
    t->requests = (int64_t)number(r, root, "requests", 10000, 1, 1e9);
    read_rates(r, root, t);
    read_mix(r, root, t);
    read_targets(r, root, t);
}

/* ---- the file ---- */

/* "FILE:LINE: what", as machines tell it. */
static void wrong_lua(const struct reading *r, const char *told)
{
    size_t n = strlen(r->file);
    char *end;
    long line = !strncmp(told, r->file, n) && told[n] == ':' ? strtol(told + n + 1, &end, 10) : 0;
    if (line > 0 && !strncmp(end, ": ", 2)) lun_mistakes_add(r->mistakes, r->file, (int)line, "%s", end + 2);
    else lun_mistakes_add(r->mistakes, r->file, 0, "%s", told);
}

static value *run_lua(const struct reading *r, const char *bytes, size_t n)
{
    struct lun_vm_error error;
    struct lun_vm *vm = lun_vm_new(&(struct lun_vm_options){ .cpu = LUN_CPU_STEPS });
    int ref = lun_vm_load(vm, r->file, bytes, n, 0, &error);
    value *v = NULL;
    if (ref == LUA_NOREF) wrong_lua(r, error.text);
    else {
        lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
        v = lun_value_read(vm->L, -1, r->arena, NULL, NULL);
        lua_pop(vm->L, 1);
    }
    lun_vm_free(vm);
    return v;
}

static value *parse(const struct reading *r, const char *bytes, size_t n)
{
    struct lun_json json;
    struct lun_json_error error;
    size_t name = strlen(r->file);
    if (name < 5 || strcmp(r->file + name - 5, ".json")) return run_lua(r, bytes, n);
    if (lun_json_check(bytes, n, &json, &error)) return lun_value_of_json(json, r->arena);
    lun_mistakes_add(r->mistakes, r->file, 0, "at byte %zu: %s", error.at, error.what);
    return NULL;
}

struct lun_traffic *lun_traffic_load(const char *path, struct lun_mistakes *mistakes)
{
    struct lun_traffic *t = lun_zalloc(sizeof *t);
    struct reading r = { path, mistakes, &t->arena };
    int before = mistakes->told;
    size_t n;
    const char *why;
    char *bytes = lun_file_slurp(path, &n, &why);
    value *v = bytes ? parse(&r, bytes, n) : NULL;
    if (!bytes) lun_mistakes_add(mistakes, path, 0, "%s", why);
    else if (v && v->type != LUN_VALUE_TABLE) lun_mistakes_add(mistakes, path, 0, "it has to return a table");
    else if (v) read_root(&r, v, t);
    free(bytes);
    if (v && mistakes->told == before) return t;
    lun_traffic_free(t);
    return NULL;
}

void lun_traffic_free(struct lun_traffic *t)
{
    if (!t) return;
    lun_arena_free(&t->arena);
    free(t);
}

const struct lun_traffic_target *lun_traffic_target(const struct lun_traffic *t, const char *name)
{
    for (int i = 0; i < t->n_targets; i++) if (!strcmp(t->targets[i].name, name)) return &t->targets[i];
    return NULL;
}

#include "gateway/versions.h"
#include "base/alloc.h"
#include "base/json.h"
#include "gateway/blame.h"
#include <stdlib.h>
#include <string.h>

static void version_free(struct lun_version *v)
{
    lun_snapshot_unref(v->snapshot);
    free(v->name), free(v->by), free(v->why), free(v->bad_by), free(v->bad_why), free(v->bad_files);
    free(v);
}

static void set(char **to, const char *text)
{
    char *copy = lun_strdup(text);
    free(*to);
    *to = copy;
}

struct lun_version *lun_versions_find(const struct lun_versions *vs, const char *name)
{
    for (int i = 0; i < vs->n; i++) if (!strcmp(vs->items[i]->name, name)) return vs->items[i];
    return NULL;
}

struct lun_version *lun_versions_taken_back(const struct lun_versions *vs, const struct lun_snapshot *s)
{
    for (int i = 0; i < vs->n; i++)
        if (vs->items[i]->bad && (!strcmp(vs->items[i]->name, s->version) || lun_blame_holds(vs->items[i]->bad_files, s))) return vs->items[i];
    return NULL;
}

struct lun_version *lun_versions_current(const struct lun_versions *vs) { return vs->n ? vs->items[0] : NULL; }

struct lun_version *lun_versions_previous(const struct lun_versions *vs)
{
    for (int i = 1; i < vs->n; i++) if (!vs->items[i]->bad) return vs->items[i];
    return NULL;
}

bool lun_versions_earlier_served(const struct lun_versions *vs)
{
    for (int i = 1; i < vs->n; i++) if (!vs->items[i]->bad && lun_version_requests(vs->items[i]) > 0) return true;
    return false;
}

uint64_t lun_version_requests(const struct lun_version *v) { return v->requests + (v->snapshot ? atomic_load(&v->snapshot->requests) : 0); }
uint64_t lun_version_failures(const struct lun_version *v) { return v->failures + (v->snapshot ? atomic_load(&v->snapshot->hook_failures) : 0); }

bool lun_version_live(const struct lun_version *v) { return v->snapshot && atomic_load(&v->snapshot->desks) > 0; }

int lun_versions_live(const struct lun_versions *vs)
{
    int n = 0;
    for (int i = 0; i < vs->n; i++) n += lun_version_live(vs->items[i]);
    return n;
}

static void remove_at(struct lun_versions *vs, int i)
{
    memmove(vs->items + i, vs->items + i + 1, (size_t)(--vs->n - i) * sizeof *vs->items);
}

/* What was taken back is remembered longest. */
static void trim(struct lun_versions *vs)
{
    for (int bad = 0; bad < 2; bad++)
        for (int i = vs->n; --i > 0 && vs->n > LUN_VERSIONS_MOST; ) {
            struct lun_version *v = vs->items[i];
            if (lun_version_live(v) || (!bad && v->bad)) continue;
            remove_at(vs, i);
            version_free(v);
        }
}

static void put_first(struct lun_versions *vs, struct lun_version *v)
{
    for (int i = 0; i < vs->n; i++)
        if (vs->items[i] == v) { remove_at(vs, i); break; }
    memmove(vs->items + 1, vs->items, (size_t)vs->n++ * sizeof *vs->items);
    vs->items[0] = v;
}

struct lun_version *lun_versions_take(struct lun_versions *vs, struct lun_snapshot *snapshot, lun_us wall, const char *by, const char *why)
{
    struct lun_version *v = lun_versions_find(vs, snapshot->version);
    if (!v) {
        v = lun_zalloc(sizeof *v);
        v->name = lun_strdup(snapshot->version);
    }
    if (v->snapshot != snapshot) {
        v->requests = lun_version_requests(v);
        v->failures = lun_version_failures(v);
    }
    lun_snapshot_unref(v->snapshot);
    v->snapshot = snapshot;
    v->generation = ++vs->generation;
    if (!snapshot->generation) snapshot->generation = v->generation;
    v->taken = wall;
    v->bad = 0;
    set(&v->by, by);
    set(&v->why, why);
    put_first(vs, v);
    trim(vs);
    return v;
}

void lun_version_mark_bad(struct lun_version *v, lun_us wall, const char *by, const char *why, const char *files)
{
    v->bad = wall;
    set(&v->bad_files, files);
    set(&v->bad_by, by);
    set(&v->bad_why, why);
}

void lun_versions_learn_bad(struct lun_versions *vs, const char *name, lun_us wall, const char *by, const char *why, const char *files)
{
    struct lun_version *v = lun_versions_find(vs, name);
    if (!v) {
        trim(vs);
        v = lun_zalloc(sizeof *v);
        v->name = lun_strdup(name);
        set(&v->by, ""), set(&v->why, "");
        if (vs->n == 2 * LUN_VERSIONS_MOST) version_free(vs->items[--vs->n]);
        vs->items[vs->n++] = v;
    }
    lun_version_mark_bad(v, wall, by, why, files);
}

void lun_versions_forgive(struct lun_versions *vs, const char *but)
{
    for (int i = 0; i < vs->n; i++) if (!but || strcmp(vs->items[i]->name, but)) vs->items[i]->bad = 0;
}

void lun_versions_free(struct lun_versions *vs)
{
    while (vs->n) version_free(vs->items[--vs->n]);
}

/* ---- as JSON ---- */

static void put_text(struct lun_buf *out, const char *key, const char *text)
{
    lun_json_member_text(out, key, text ? text : "");
}

static void show_one(const struct lun_versions *vs, int i, struct lun_buf *out)
{
    const struct lun_version *v = vs->items[i];
    lun_buf_puts(out, i ? ",{" : "{");
    put_text(out, "version", v->name);
    put_text(out, "state", !i ? "current" : v->bad ? "taken_back" : lun_version_live(v) ? "finishing" : "kept");
    lun_json_member_int(out, "generation", v->generation);
    lun_json_member_time(out, "taken", v->taken);
    put_text(out, "by", v->by);
    put_text(out, "why", v->why);
    lun_json_member_int(out, "requests", (int64_t)lun_version_requests(v));
    lun_json_member_int(out, "hook_failures", (int64_t)lun_version_failures(v));
    if (v->bad) {
        lun_json_member_time(out, "taken_back", v->bad);
        put_text(out, "taken_back_by", v->bad_by);
        put_text(out, "taken_back_why", v->bad_why);
    }
    lun_buf_putc(out, '}');
}

void lun_versions_show(const struct lun_versions *vs, struct lun_buf *out)
{
    lun_buf_putc(out, '{');
    put_text(out, "current", vs->n ? vs->items[0]->name : "");
    lun_json_member_int(out, "generation", vs->generation);
    lun_json_member_int(out, "live", lun_versions_live(vs));
    lun_json_put_key(out, "versions");
    lun_buf_putc(out, '[');
    for (int i = 0; i < vs->n; i++) show_one(vs, i, out);
    lun_buf_puts(out, "]}");
}

void lun_versions_write(const struct lun_versions *vs, struct lun_buf *out)
{
    lun_json_member_int(out, "generation", vs->generation);
    lun_json_put_key(out, "versions");
    lun_buf_putc(out, '[');
    for (int i = 0; i < vs->n; i++) {
        const struct lun_version *v = vs->items[i];
        lun_buf_puts(out, i ? ",\n {" : "\n {");
        put_text(out, "version", v->name);
        lun_json_member_int(out, "generation", v->generation);
        lun_json_member_int(out, "taken", v->taken);
        put_text(out, "by", v->by);
        put_text(out, "why", v->why);
        lun_json_member_int(out, "requests", (int64_t)lun_version_requests(v));
        lun_json_member_int(out, "failures", (int64_t)lun_version_failures(v));
        lun_json_member_int(out, "bad", v->bad);
        put_text(out, "bad_by", v->bad_by);
        put_text(out, "bad_why", v->bad_why);
        put_text(out, "bad_files", v->bad ? v->bad_files : "");
        lun_buf_putc(out, '}');
    }
    lun_buf_puts(out, "\n]");
}

static char *text_of(struct lun_json object, const char *key)
{
    struct lun_buf text = {0};
    lun_json_string(lun_json_get(object, key), true, &text);
    char *copy = lun_strndup(text.n ? text.at : "", text.n);
    lun_buf_free(&text);
    return copy;
}

static int64_t int_of(struct lun_json object, const char *key)
{
    int64_t n = 0;
    return lun_json_int(lun_json_get(object, key), &n) && n > 0 ? n : 0;
}

bool lun_versions_read(struct lun_versions *vs, struct lun_json object)
{
    struct lun_json_each e = lun_json_each(lun_json_get(object, "versions"));
    if (lun_json_type(lun_json_get(object, "versions")) != LUN_JSON_ARRAY) return false;
    vs->generation = (int)int_of(object, "generation");
    while (vs->n < LUN_VERSIONS_MOST && lun_json_next(&e)) {
        struct lun_version *v = lun_zalloc(sizeof *v);
        *v = (struct lun_version){ .name = text_of(e.value, "version"), .generation = (int)int_of(e.value, "generation"), .taken = int_of(e.value, "taken"),
            .by = text_of(e.value, "by"), .why = text_of(e.value, "why"), .requests = (uint64_t)int_of(e.value, "requests"),
            .failures = (uint64_t)int_of(e.value, "failures"), .bad = int_of(e.value, "bad"), .bad_by = text_of(e.value, "bad_by"), .bad_why = text_of(e.value, "bad_why"),
            .bad_files = text_of(e.value, "bad_files") };
        if (*v->name) vs->items[vs->n++] = v;
        else version_free(v);
    }
    return true;
}

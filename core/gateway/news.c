#include "gateway/news.h"
#include "base/alloc.h"
#include "base/json.h"
#include "gateway/cooling.h"
#include "gateway/key_file.h"
#include <stdlib.h>
#include <string.h>

#define KEY  "key "
#define BACK "back "
#define BY   "another gateway"
#define CHANGES ((int64_t)1 << 52)

struct lun_news {
    const struct lun_log *log;
    struct lun_changes *changes;
    struct lun_fleet *fleet;
    struct lun_shelf *shelf;            /* NULL: answers are not shared */
    int learning;                       /* changes under way of what was heard */
    bool caught_up;                     /* everything is to be told once these are done */
};

struct lun_news *lun_news_new(const struct lun_log *log)
{
    struct lun_news *n = lun_zalloc(sizeof *n);
    n->log = log;
    return n;
}

void lun_news_tie(struct lun_news *n, struct lun_changes *changes, struct lun_fleet *fleet)
{
    n->changes = changes;
    n->fleet = fleet;
}

void lun_news_shelf(struct lun_news *n, struct lun_shelf *shelf) { n->shelf = shelf; }

void lun_news_free(struct lun_news *n) { free(n); }

/* ---- told ---- */

static void tell(struct lun_news *n, const char *kind, const char *name, struct lun_buf *text)
{
    char *full = lun_printf("%s%s", kind, name);
    if (n->fleet) lun_fleet_tell(n->fleet, full, lun_buf_text(text));
    free(full);
    lun_buf_free(text);
}

void lun_news_key(void *self, const struct lun_key *k)
{
    struct lun_buf text = {0};
    lun_key_put(&text, k);
    tell(self, KEY, k->name, &text);
}

void lun_news_back(void *self, const struct lun_taken_back *b)
{
    struct lun_buf text = {0};
    lun_buf_putc(&text, '{');
    lun_json_member_int(&text, "at", b->at);
    lun_json_member_bool(&text, "back", b->why);
    lun_json_member_text(&text, "by", b->by);
    lun_json_member_text(&text, "why", b->why ? b->why : "");
    lun_json_member_text(&text, "files", b->files ? b->files : "");
    lun_buf_putc(&text, '}');
    tell(self, BACK, b->version, &text);
}

static void tell_all(struct lun_news *n)
{
    const struct lun_keyring *keys = lun_changes_keyring(n->changes);
    const struct lun_versions *vs = lun_changes_versions(n->changes);
    n->caught_up = false;
    for (int i = 0; keys && i < keys->n; i++) lun_news_key(n, keys->keys[i]);
    for (int i = 0; i < vs->n; i++) {
        const struct lun_version *v = vs->items[i];
        if (v->bad) lun_news_back(n, &(struct lun_taken_back){ v->name, v->bad, v->bad_by, v->bad_why, v->bad_files });
    }
}

/* ---- heard ---- */

static void learned(void *self, const struct lun_change_result *result)
{
    struct lun_news *n = self;
    if (result->status != 200) for (int i = 0; i < result->errors.n; i++) lun_log(n->log, LUN_LOG_WARN, "from another gateway: %s", result->errors.at[i]);
    if (!--n->learning && n->caught_up && n->changes) tell_all(n);
}

static const char *problem(const struct lun_key *k, const char *name)
{
    if (k->life > CHANGES || k->version > CHANGES) return "it has a version that no key comes to";      /* what is changed here later is to be readable there */
    return strcmp(k->name, name) ? "it is of a key of another name" : NULL;
}

/* NULL: it is none, and that is logged. */
static struct lun_key *read_key(struct lun_news *n, const struct lun_fleet_news *news)
{
    struct lun_json text;
    char *unread = NULL;
    struct lun_key *k = lun_json_check(news->text, strlen(news->text), &text, NULL) ? lun_key_read(text, &unread) : NULL;
    const char *why = k ? problem(k, news->name + strlen(KEY)) : unread ? unread : "it is not whole";
    if (why) {
        lun_log(n->log, LUN_LOG_WARN, "from another gateway: what it tells of %s cannot be used: %s", news->name, why);
        lun_key_unref(k), k = NULL;
    }
    free(unread);
    return k;
}

/* NULL: it is none, or older than what is known here, which is told again then. */
static struct lun_key *hear_key(struct lun_news *n, const struct lun_fleet_news *news)
{
    struct lun_key *k = read_key(n, news);
    const struct lun_key *own = k ? lun_keyring_named(lun_changes_keyring(n->changes), k->name) : NULL;
    if (!own || lun_key_is_newer(k, own)) return k;
    if (lun_key_is_newer(own, k)) lun_news_key(n, own);
    lun_key_unref(k);
    return NULL;
}

static const char *text_of(struct lun_json object, const char *name, struct lun_arena *arena)
{
    return lun_json_string_in(lun_json_get(object, name), true, arena, NULL);
}

static void hear_back(struct lun_news *n, const struct lun_fleet_news *news)
{
    struct lun_arena arena = {0};
    struct lun_json all;
    struct lun_taken_back b = { .version = news->name + strlen(BACK) };
    bool good = lun_json_check(news->text, strlen(news->text), &all, NULL) && lun_json_int(lun_json_get(all, "at"), &b.at)
             && (b.by = text_of(all, "by", &arena)) && (b.why = text_of(all, "why", &arena)) && (b.files = text_of(all, "files", &arena));
    if (!good) lun_log(n->log, LUN_LOG_WARN, "from another gateway: what it tells of %s cannot be understood", news->name);
    else {
        if (!lun_json_true(lun_json_get(all, "back"))) b.why = NULL;
        b.by = lun_arena_printf(&arena, BY ": %.100s", b.by);
        n->learning++;
        lun_changes_learn_back(n->changes, &b, learned, n);
    }
    lun_arena_free(&arena);
}

static void hear_rest(struct lun_news *n, const struct lun_fleet_news *news)
{
    if (!lun_cooling_hear(lun_changes_current(n->changes), news->text, lun_clock_now(), lun_clock_wall()))
        lun_log(n->log, LUN_LOG_WARN, "from another gateway: what it tells of %s cannot be understood", news->name);
}

static void hear_emptied(struct lun_news *n, const struct lun_fleet_news *news) { if (n->shelf) lun_shelf_heard(n->shelf, news->text); }

void lun_news_heard(void *self, const struct lun_fleet_news *news, size_t count)
{
    struct lun_news *n = self;
    struct lun_key **keys = lun_alloc((count + 1) * sizeof *keys);
    int n_keys = 0;
    for (size_t i = 0; n->changes && i < count; i++)
        if (!strncmp(news[i].name, BACK, strlen(BACK))) hear_back(n, &news[i]);
        else if (!strncmp(news[i].name, LUN_COOLING_NEWS, strlen(LUN_COOLING_NEWS))) hear_rest(n, &news[i]);
        else if (!strcmp(news[i].name, LUN_SHELF_NEWS)) hear_emptied(n, &news[i]);
        else if (strncmp(news[i].name, KEY, strlen(KEY))) continue;         /* of a later version of this program */
        else if ((keys[n_keys] = hear_key(n, &news[i]))) n_keys++;
    if (n_keys) {
        n->learning++;
        lun_changes_learn_keys(n->changes, BY, keys, n_keys, learned, n);
    }
    while (n_keys) lun_key_unref(keys[--n_keys]);
    free(keys);
}

void lun_news_caught_up(void *self)
{
    struct lun_news *n = self;
    n->caught_up = true;
    if (n->shelf) lun_shelf_caught_up(n->shelf);
    if (!n->learning && n->changes) tell_all(n);
}

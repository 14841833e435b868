#define OPENSSL_SUPPRESS_DEPRECATED     /* of SHA256_Init and its like: see lun_key_hash */
#include "state/snapshot.h"
#include "base/alloc.h"
#include "base/hex.h"
#include "state/certificate.h"
#include "state/metrics.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 4096      /* a presented key longer than that is nobody's */

const struct lun_timeouts lun_timeouts_default = {
    LUN_DEFAULT_CONNECT, LUN_DEFAULT_FIRST_BYTE, LUN_DEFAULT_IDLE, LUN_DEFAULT_TOTAL
};
const struct lun_health_rules lun_health_rules_default = {
    .failures = LUN_DEFAULT_FAILURES, .rest = LUN_DEFAULT_REST, .half_open = LUN_DEFAULT_HALF_OPEN
};
const struct lun_limits lun_limits_default = {
    .body = LUN_DEFAULT_BODY, .answer = LUN_DEFAULT_ANSWER, .buffered = LUN_DEFAULT_BUFFERED, .deadline = LUN_DEFAULT_DEADLINE,
    .connections = LUN_DEFAULT_CONNECTIONS, .attempts = LUN_DEFAULT_ATTEMPTS, .retries = LUN_DEFAULT_RETRIES,
    .hedges = LUN_DEFAULT_HEDGES, .output = LUN_DEFAULT_OUTPUT, .lag = LUN_DEFAULT_LAG, .stall = LUN_DEFAULT_STALL, .stop = LUN_DEFAULT_STOP,
};

struct lun_snapshot *lun_snapshot_new(void)
{
    struct lun_snapshot *s = lun_zalloc(sizeof *s);
    atomic_init(&s->references, 1);
    s->version = "default";
    s->folder = "";
    s->listen = LUN_DEFAULT_LISTEN;
    s->redis_prefix = LUN_DEFAULT_PREFIX;
    s->admin = LUN_DEFAULT_ADMIN;
    s->watch = true;
    s->premium = LUN_DEFAULT_PREMIUM;
    s->premium_price = lun_price_unknown;
    s->total = (struct lun_budget_rule){ .limit = -1 };
    s->limits = lun_limits_default;
    s->keepalive = LUN_DEFAULT_KEEPALIVE;
    return s;
}

struct lun_snapshot *lun_snapshot_ref(struct lun_snapshot *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

static void wipe(const struct lun_secret *secret)
{
    if (secret->value) explicit_bzero((char *)secret->value, strlen(secret->value));
}

void lun_snapshot_unref(struct lun_snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1) return;
    for (int i = 0; i < s->n_secrets; i++) wipe(&s->secrets[i]);
    lun_metrics_kept_free(s->counted);
    lun_certificate_free(s->listen_tls.shown);
    lun_certificate_free(s->admin_tls.shown);
    lun_arena_free(&s->arena);
    free(s);
}

bool lun_target_is_premium(const struct lun_snapshot *s, const struct lun_target *t)
{
    return lun_price_known(&t->price) && t->price.input > s->premium;
}

void lun_snapshot_average(struct lun_snapshot *s)
{
    struct lun_price_sum sum = {0};
    for (int i = 0; i < s->n_targets; i++)
        if (lun_target_is_premium(s, &s->targets[i])) lun_price_sum_add(&sum, &s->targets[i].price);
    s->premium_price = lun_price_sum_mean(&sum);
}

/* Where in `name` that begins which the * stands for, and how long it is. */
static bool fit(const char *pattern, const char *name, const char **rest, size_t *n)
{
    const char *star = strchr(pattern, '*');
    if (!star) return !strcmp(pattern, name) && (*rest = "", *n = 0, true);
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1), all = strlen(name);
    if (all < head + tail || memcmp(pattern, name, head) || memcmp(star + 1, name + all - tail, tail)) return false;
    *rest = name + head;
    *n = all - head - tail;
    return true;
}

bool lun_pattern_fits(const char *pattern, const char *name)
{
    const char *rest;
    size_t n;
    return fit(pattern, name, &rest, &n);
}

static int in_order(const void *a, const void *b)
{
    const struct lun_model *x = *(const struct lun_model *const *)a, *y = *(const struct lun_model *const *)b;
    return strcmp(x->name, y->name);
}

void lun_snapshot_sort_models(struct lun_snapshot *s)
{
    const struct lun_model **sorted = lun_arena_alloc(&s->arena, (size_t)s->n_models * sizeof *sorted + 1);
    for (int i = 0; i < s->n_models; i++) sorted[i] = &s->models[i];
    qsort(sorted, (size_t)s->n_models, sizeof *sorted, in_order);
    s->by_name = sorted, s->n_by_name = s->n_models;
}

const struct lun_model *lun_snapshot_entry(const struct lun_snapshot *s, const char *name)
{
    int low = 0, high = s->n_by_name;
    for (int i = 0; !s->by_name && i < s->n_models; i++) if (!strcmp(s->models[i].name, name)) return &s->models[i];
    while (low < high) {
        int middle = low + (high - low) / 2, way = strcmp(s->by_name[middle]->name, name);
        if (!way) return s->by_name[middle];
        if (way < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

const struct lun_model *lun_snapshot_model(const struct lun_snapshot *s, const char *name, const char **rest)
{
    const struct lun_model *named = lun_snapshot_entry(s, name);
    size_t n;
    int first = s->n_models;
    *rest = "";
    if (named && !named->pattern) return named;
    while (first > 0 && s->models[first - 1].pattern) first--;
    for (int i = first; i < s->n_models; i++) if (fit(s->models[i].name, name, rest, &n)) return &s->models[i];
    return NULL;
}

const struct lun_target *lun_snapshot_target(const struct lun_snapshot *s, const char *name)
{
    for (int i = 0; i < s->n_targets; i++)
        if (!strcmp(s->targets[i].name, name)) return &s->targets[i];
    return NULL;
}

const struct lun_policy_setting *lun_snapshot_setting(const struct lun_snapshot *s, const char *name)
{
    for (int i = 0; i < s->n_settings; i++)
        if (!strcmp(s->settings[i].name, name)) return &s->settings[i];
    return NULL;
}

const struct lun_canary_rule *lun_snapshot_canary(const struct lun_snapshot *s, const char *name)
{
    for (int i = 0; i < s->n_canaries; i++)
        if (!strcmp(s->canaries[i].name, name)) return &s->canaries[i];
    return NULL;
}

static bool same(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

const struct lun_provider *lun_snapshot_heir(const struct lun_snapshot *newest, const struct lun_provider *p)
{
    for (int i = 0; newest && i < newest->n_providers; i++) {
        const struct lun_provider *heir = &newest->providers[i];
        if (!strcmp(heir->name, p->name)) return same(heir->base_url, p->base_url) && same(heir->proxy, p->proxy) ? heir : NULL;
    }
    return NULL;
}

const char *lun_snapshot_key(const struct lun_snapshot *newest, const struct lun_provider *p, int key)
{
    const struct lun_provider *heir = lun_snapshot_heir(newest, p);
    for (int i = 0; heir && i < heir->n_keys; i++)
        if (!strcmp(heir->keys[i].name, p->keys[key].name)) return heir->keys[i].value;
    return p->keys[key].value;
}

/* Not EVP_Digest: looking up which SHA-256 is meant, and memory for it, takes more than twice what the hash itself does, for each request. */
bool lun_key_hash(const char *key, size_t n, unsigned char hash[LUN_KEY_HASH])
{
    SHA256_CTX sum;
    if (!n || n > KEY_BYTES) return false;
    bool good = SHA256_Init(&sum) && SHA256_Update(&sum, key, n) && SHA256_Final(hash, &sum);
    OPENSSL_cleanse(&sum, sizeof sum);
    return good;
}

void lun_key_hash_text(const unsigned char hash[LUN_KEY_HASH], char out[LUN_KEY_HASH_TEXT]) { lun_hex_write(stpcpy(out, "sha256:"), hash, LUN_KEY_HASH); }

bool lun_key_hash_read(const char *text, unsigned char hash[LUN_KEY_HASH])
{
    return !strncmp(text, "sha256:", 7) && strlen(text) == LUN_KEY_HASH_TEXT - 1 && lun_hex_read(text + 7, hash, LUN_KEY_HASH);
}

static int by_hash(const void *a, const void *b)
{
    const struct lun_client_rule *x = *(const struct lun_client_rule *const *)a, *y = *(const struct lun_client_rule *const *)b;
    int order = memcmp(x->hash, y->hash, LUN_KEY_HASH);
    return order ? order : (x > y) - (x < y);
}

void lun_snapshot_sort_clients(struct lun_snapshot *s)
{
    const struct lun_client_rule **sorted = lun_arena_alloc(&s->arena, (size_t)s->n_clients * sizeof *sorted + 1);
    for (int i = 0; i < s->n_clients; i++) sorted[i] = &s->clients[i];
    qsort(sorted, (size_t)s->n_clients, sizeof *sorted, by_hash);
    s->by_hash = sorted, s->n_by_hash = s->n_clients;
}

/* How long this takes tells of hashes at most, and nobody makes a key from what its hash begins with. */
const struct lun_client_rule *lun_snapshot_client(const struct lun_snapshot *s, const unsigned char hash[LUN_KEY_HASH])
{
    int low = 0, high = s->n_by_hash;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (memcmp(s->by_hash[middle]->hash, hash, LUN_KEY_HASH) < 0) low = middle + 1;
        else high = middle;
    }
    return low < s->n_by_hash && !CRYPTO_memcmp(s->by_hash[low]->hash, hash, LUN_KEY_HASH) ? s->by_hash[low] : NULL;
}

const struct lun_client_rule *lun_snapshot_client_named(const struct lun_snapshot *s, const char *name)
{
    for (int i = 0; i < s->n_clients; i++)
        if (!strcmp(s->clients[i].name, name)) return &s->clients[i];
    return NULL;
}

const struct lun_team *lun_snapshot_team(const struct lun_snapshot *s, const char *name)
{
    for (int i = 0; i < s->n_teams; i++)
        if (!strcmp(s->teams[i].name, name)) return &s->teams[i];
    return NULL;
}

#include "script/convert.h"
#include "script/loading.h"
#include "state/certificate.h"
#include "state/redis_address.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_LEAST 16

/* A listener that is said by a table. */
static struct lun_value *load_table(struct lun_loading *l, enum lun_scope scope, const char *name)
{
    struct lun_value *v = lun_value_get(l->root, name);
    if (!v || v->type != LUN_VALUE_TABLE) return NULL;
    lun_check_rename(l, v, (const char *const[]){ "address" }, 1);
    lun_check(l, scope, v, l->snapshot, 0, lun_arena_printf(&l->scratch, "%s.", name));
    return v;
}

#define IN_NAMES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* What could never be the Host of a request. */
static const char *host_problem(const char *text)
{
    struct in6_addr six;
    return text[strspn(text, IN_NAMES)] && inet_pton(AF_INET6, text, &six) != 1 ? "must be a name or an address without a port, as in \"gateway.internal\"" : NULL;
}

/* What could never fit the host of a URL. */
static const char *allow_problem(const char *text)
{
    size_t n = *text == '[' ? strcspn(text, "]") : strspn(text, IN_NAMES "*"), digits;
    if (*text == '[' && text[n]) n++;
    if (strchr(text, '*') != strrchr(text, '*')) return "must have one * at most";
    if (n && !text[n]) return NULL;
    digits = n && text[n] == ':' ? strspn(text + n + 1, "0123456789*") : 0;
    if (digits && !text[n + 1 + digits] && (strchr(text + n, '*') || (digits < 6 && atoi(text + n + 1) <= 65535))) return NULL;
    return "must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path";
}

/* A list of texts, into the snapshot. */
static const char *const *load_texts(struct lun_loading *l, struct lun_value *list, const char *(*problem)(const char *), int *n)
{
    const char **texts = lun_arena_alloc(&l->snapshot->arena, (size_t)(list->n_list + 1) * sizeof *texts), *why;
    *n = 0;
    for (int i = 0; i < list->n_items; i++) {
        struct lun_value *v = list->items[i];
        if (!lun_check_line(l, v, 256)) continue;
        if ((why = problem(v->text))) lun_wrong(l, v, "%s, not %s", why, lun_value_quote(v->text, &l->scratch));
        else texts[(*n)++] = lun_arena_strdup(&l->snapshot->arena, v->text);
    }
    return texts;
}

/* ---- TLS ---- */

#define SOON (14 * 86400 * LUN_SECOND)      /* before its end a certificate is remarked on */

static void remark_on_end(struct lun_loading *l, const struct lun_value *v, lun_us left)
{
    if (!l->options->notes || left > SOON) return;
    lun_mistakes_add(l->options->notes, v->place.file ? v->place.file : "configuration", v->place.line, "note: %s: expires in less than %d days",
                     lun_value_path(v, &l->scratch), (int)(left / (86400 * LUN_SECOND)) + 1);
}

static void read_pair(struct lun_loading *l, const struct lun_value *table, struct lun_tls_files *f)
{
    struct lun_certificate_problem problem = {0};
    const struct lun_value *certificate = lun_value_get(table, "certificate"), *key = lun_value_get(table, "key");
    lun_us wall = lun_clock_wall();
    lun_file_looked_at(l, f->certificate);
    lun_file_looked_at(l, f->key);
    if (l->options->no_secrets) return;
    f->shown = lun_certificate_read(f->certificate, f->key, wall, &problem);
    const struct lun_value *wrong = problem.key ? key : certificate;
    if (f->shown) remark_on_end(l, certificate, f->shown->expires - wall);
    else lun_wrong(l, wrong, "%s %s", lun_value_quote(wrong->text, &l->scratch), problem.what);
}

static void load_tls(struct lun_loading *l, const struct lun_value *listener, struct lun_tls_files *f)
{
    struct lun_value *table = lun_value_get(listener, "tls");
    if (!table || table->type != LUN_VALUE_TABLE || !f->certificate || !f->key) return;
    f->certificate = lun_file_path(l, f->certificate, &l->snapshot->arena);
    f->key = lun_file_path(l, f->key, &l->snapshot->arena);
    read_pair(l, table, f);
}

static void load_listeners(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    struct lun_value *listen = load_table(l, LUN_SCOPE_LISTEN, "listen"), *admin = load_table(l, LUN_SCOPE_ADMIN, "admin"), *hosts;
    if (listen) load_tls(l, listen, &s->listen_tls);
    if (admin) load_tls(l, admin, &s->admin_tls);
    if (admin && (hosts = lun_check_get(l, LUN_SCOPE_ADMIN, admin, "hosts"))) s->admin_hosts = load_texts(l, hosts, host_problem, &s->n_admin_hosts);
}

static void load_http(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "http"), *allow;
    lun_check(l, LUN_SCOPE_HTTP, v, s, 0, "http.");
    if (!v || !(allow = lun_check_get(l, LUN_SCOPE_HTTP, v, "allow"))) return;
    s->http_allow = load_texts(l, allow, allow_problem, &s->n_http_allow);
    s->http_said = true;
}

/* The value that says so, or the whole table where nobody does. */
static const struct lun_value *said(struct lun_loading *l, const char *name)
{
    const struct lun_value *v = lun_value_get(l->root, name);
    return v ? v : l->root;
}

static void check_reach(struct lun_loading *l)
{
    const struct lun_snapshot *s = l->snapshot;
    const struct lun_value *clients = lun_value_get(l->root, "clients");
    bool local;
    if (!s->listen || !lun_address_valid(s->listen, &local) || local) return;
    if (s->clients_said || (clients && clients->type != LUN_VALUE_TABLE)) return;
    lun_wrong(l, said(l, "listen"), "%s can be reached from other machines, and without clients anyone there could spend on your keys: "
              "say who may ask in clients = { { name = …, hash = \"sha256:…\" } } ({}: who has a key made with `lunette key`), or listen on 127.0.0.1", s->listen);
}

static void check_admin(struct lun_loading *l)
{
    const struct lun_snapshot *s = l->snapshot;
    bool local;
    if (!s->admin || !lun_address_valid(s->admin, &local)) return;
    size_t n = strlen(s->admin);
    if (!local && !s->admin_token) lun_wrong(l, said(l, "admin"), "%s can be reached from other machines, and without a token anyone there could change the gateway: "
                                             "say admin_token = secret \"NAME\" (or set " LUN_ADMIN_TOKEN "), or listen on loopback (127.0.0.1, [::1] or unix:)", s->admin);
    else if (s->listen && !strcmp(s->admin, s->listen) && (n < 2 || strcmp(s->admin + n - 2, ":0"))) lun_wrong(l, said(l, "admin"), "is the address of listen too");
}

static void check_token(struct lun_loading *l, const struct lun_value *v, const char *token)
{
    if (strlen(token) >= TOKEN_LEAST) return;
    if (v) lun_wrong(l, v, "must have at least %d characters", TOKEN_LEAST);
    else lun_mistakes_add(l->mistakes, LUN_ADMIN_TOKEN, 0, "must have at least %d characters", TOKEN_LEAST);
}

static void load_token(struct lun_loading *l)
{
    struct lun_value *v = lun_value_get(l->root, "admin_token");
    if (v) l->snapshot->admin_token = lun_check_secret(l, v, "must not stand here as text: write secret \"NAME\" and put the token into that environment variable");
    else if (lun_secrets_variable(l->secrets, LUN_ADMIN_TOKEN)) {
        const struct lun_found *found = lun_secrets_find(l->secrets, LUN_ADMIN_TOKEN);
        const struct lun_value from = { .type = LUN_VALUE_SECRET, .secret = found, .from = LUN_ADMIN_TOKEN };
        l->snapshot->admin_token = lun_check_secret(l, &from, NULL);
    }
    if (!l->snapshot->admin_token) return;
    check_token(l, v, l->snapshot->admin_token);
    lun_origin(l, v, "admin_token", v ? lun_arena_printf(&l->scratch, "secret \"%s\"", ((const struct lun_found *)v->secret)->name) : "secret \"" LUN_ADMIN_TOKEN "\"");
}

static void load_state(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    s->state_said = lun_value_get(l->root, "state") != NULL;
    bool whole = s->state_said && s->state && *s->state == '/';       /* a host program's, for a configuration without a folder */
    if (!l->disk && !whole) s->state = NULL;
    else if (s->state) s->state = lun_file_path(l, s->state, &s->arena);
}

static void load_ledger(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    struct lun_value *v = lun_value_get(l->root, "ledger");
    s->ledger_said = v && s->ledger;
    if (!v && s->state) s->ledger = lun_arena_printf(&s->arena, "%s/ledger.db", s->state);
    else if (s->ledger && !l->disk && *s->ledger != '/') s->ledger = NULL;
    else if (s->ledger) s->ledger = lun_file_path(l, s->ledger, &s->arena);
}

/* Only where it is: a password may be in it. */
static void show_redis(struct lun_loading *l, const struct lun_value *v, const struct lun_redis_address *a)
{
    char place[LUN_REDIS_SHOWN];
    lun_redis_address_show(a, place, sizeof place);
    bool secret = v->type == LUN_VALUE_SECRET;
    lun_origin(l, v, "redis", lun_arena_printf(&l->scratch, secret ? "secret \"%s\"" : "\"%s\"", secret ? ((const struct lun_found *)v->secret)->name : place));
}

/* One with a password may come from outside: then it is a secret like others, to be wiped. */
static const char *redis_url(struct lun_loading *l, const struct lun_value *v, const struct lun_redis_address *a)
{
    const struct lun_found found = { .name = "LUNETTE_REDIS", .value = v->text };
    const struct lun_value outside = { .type = LUN_VALUE_SECRET, .secret = &found, .from = v->from };
    if (v->type == LUN_VALUE_SECRET || !a->password) return lun_check_secret(l, v, NULL);
    if (v->from) return lun_check_secret(l, &outside, NULL);
    lun_wrong(l, v, "must not hold a password as text: write secret \"NAME\" and put the whole URL into that environment variable, or into LUNETTE_REDIS");
    return NULL;
}

static void read_redis(struct lun_loading *l, const struct lun_value *v, struct lun_redis_address *a)
{
    const struct lun_found *found = v->type == LUN_VALUE_SECRET ? v->secret : NULL;
    const char *text = found ? found->value : v->text, *why = text ? lun_redis_address_read(a, text) : NULL;
    if (why && found) lun_wrong(l, v, "%s %s", found->name, why);
    else if (why) lun_wrong(l, v, "%s", why);
    else l->snapshot->redis = redis_url(l, v, a);
    if (l->snapshot->redis) show_redis(l, v, a);
}

static void load_redis(struct lun_loading *l)
{
    struct lun_value *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "redis");
    struct lun_snapshot *s = l->snapshot;
    struct lun_redis_address a = { 0 };
    if (!v) lun_origin(l, lun_value_get(l->root, "redis"), "redis", "false");
    else if (v->type == LUN_VALUE_TEXT || v->type == LUN_VALUE_SECRET) read_redis(l, v, &a);
    if (s->redis_ca && l->options->no_secrets) s->redis_ca = lun_file_path(l, s->redis_ca, &s->arena);
    else if (s->redis_ca) s->redis_ca = lun_file_authorities(l, lun_value_get(l->root, "redis_ca"), s->redis_ca);
    explicit_bzero(&a, sizeof a);
}

static void load_log(struct lun_loading *l)
{
    struct lun_snapshot *s = l->snapshot;
    lun_check(l, LUN_SCOPE_LOG, lun_check_get(l, LUN_SCOPE_TOP, l->root, "log"), s, 0, "log.");
    if (s->request_log && strcmp(s->request_log, "-")) s->request_log = lun_file_path(l, s->request_log, &s->arena);
    if (s->audit_log) s->audit_log = lun_file_path(l, s->audit_log, &s->arena);
}

static bool says_redis(struct lun_loading *l)
{
    const struct lun_value *v = lun_value_get(l->root, "redis");
    return v && (v->type == LUN_VALUE_TEXT || v->type == LUN_VALUE_SECRET);
}

static void load_cache(struct lun_loading *l)
{
    struct lun_cache_rules *rules = &l->snapshot->cache;
    struct lun_value *said_top = lun_value_get(l->root, "cache"), *v = lun_check_get(l, LUN_SCOPE_TOP, l->root, "cache");
    if (!v) {
        lun_origin(l, said_top, "cache", "false");
        return;
    }
    lun_check(l, LUN_SCOPE_CACHE, v, rules, 0, "cache.");
    if (rules->answer > rules->size && lun_value_get(v, "answer")) lun_wrong(l, lun_value_get(v, "answer"), "is more than cache.size");
    if (rules->answer > rules->size) rules->answer = rules->size;
    if (rules->redis && !says_redis(l)) lun_wrong(l, lun_value_get(v, "redis"), "needs a Redis: say which in `redis`, as in redis = \"redis://10.0.0.5:6379\"");
}

static void load_report(struct lun_loading *l)
{
    lun_check(l, LUN_SCOPE_REPORT, lun_check_get(l, LUN_SCOPE_TOP, l->root, "report"), l->snapshot, 0, "report.");
    lun_snapshot_average(l->snapshot);
}

void lun_load_top(struct lun_loading *l)
{
    struct lun_value *limits = lun_value_get(l->root, "limits");
    l->snapshot->limits.attempts_given = lun_value_get(limits, "attempts") != NULL;
    l->snapshot->limits.retries_given = lun_value_get(limits, "retries") != NULL;
    load_listeners(l);
    load_http(l);
    load_token(l);
    load_state(l);
    load_ledger(l);
    load_redis(l);
    load_log(l);
    load_report(l);
    load_cache(l);
    check_reach(l);
    check_admin(l);
}

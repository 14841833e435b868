#include "gateway/guard.h"
#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

enum { HASH = 32 };

static struct lun_slice slice(const char *at, size_t n) { return (struct lun_slice){ at, n }; }

/* The only field of that name; NULL: there is none, or more than one. */
static const struct lun_slice *only(const struct lun_http_request *q, const char *name, int *count)
{
    const struct lun_slice *found = NULL;
    *count = 0;
    for (int i = 0; i < q->n_headers; i++)
        if (lun_slice_is_like(q->headers[i].name, name)) found = &q->headers[i].value, ++*count;
    return *count == 1 ? found : NULL;
}

static bool starts_like(struct lun_slice s, const char *text, struct lun_slice *rest)
{
    size_t n = strlen(text);
    if (s.n < n || strncasecmp(s.at, text, n)) return false;
    *rest = slice(s.at + n, s.n - n);
    return true;
}

/* ---- token ---- */

static bool hash(const char *at, size_t n, unsigned char out[HASH])
{
    unsigned got;
    return EVP_Digest(at, n, out, &got, EVP_sha256(), NULL) == 1 && got == HASH;
}

static bool is_equal(struct lun_slice given, const char *token)
{
    unsigned char a[HASH], b[HASH];
    return hash(given.at, given.n, a) && hash(token, strlen(token), b) && !CRYPTO_memcmp(a, b, HASH);
}

static bool has_token(const struct lun_http_request *q, const char *token)
{
    int count;
    struct lun_slice given;
    const struct lun_slice *field = only(q, "authorization", &count);
    if (!field || !*token || !starts_like(*field, "bearer ", &given)) return false;
    while (given.n && *given.at == ' ') given = slice(given.at + 1, given.n - 1);
    return is_equal(given, token);
}

/* ---- host ---- */

/* "host:port" or "[host]:port" cut in two; the brackets go, an absent port is empty. */
static void cut_host(struct lun_slice all, struct lun_slice *host, struct lun_slice *port)
{
    const char *end = all.n ? all.at + all.n : all.at, *close = all.n && *all.at == '[' ? memchr(all.at, ']', all.n) : NULL;
    const char *colon = all.n ? memchr(close ? close : all.at, ':', (size_t)(end - (close ? close : all.at))) : NULL;
    const char *stop = colon ? colon : end;
    *host = close ? slice(all.at + 1, (size_t)(close - all.at - 1)) : slice(all.at, (size_t)(stop - all.at));
    *port = colon ? slice(colon + 1, (size_t)(end - colon - 1)) : slice(end, 0);
}

/* The same address, however it is written; `family` 0: none. */
struct address { int family; union { struct in_addr v4; struct in6_addr v6; } at; };

static struct address address_of(const char *text)
{
    struct address a = {0};
    if (inet_pton(AF_INET, text, &a.at.v4) == 1) a.family = AF_INET;
    else if (inet_pton(AF_INET6, text, &a.at.v6) == 1) a.family = AF_INET6;
    return a;
}

static bool is_loopback(const struct address *a)
{
    return a->family == AF_INET ? ntohl(a->at.v4.s_addr) >> 24 == 127 : a->family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->at.v6);
}

static bool is_here(const struct address *a, const char *here)
{
    struct address b = here ? address_of(here) : (struct address){0};
    return a->family && a->family == b.family && !memcmp(&a->at, &b.at, a->family == AF_INET ? sizeof a->at.v4 : sizeof a->at.v6);
}

static bool is_ours(const struct lun_guard *g, struct lun_slice all)
{
    struct lun_slice host, port;
    char text[INET6_ADDRSTRLEN];
    if (!all.n) return g->is_unix;
    cut_host(all, &host, &port);
    if (lun_slice_is_like(host, "localhost")) return true;
    for (int i = 0; i < g->n_hosts; i++) if (lun_slice_is_like(host, g->hosts[i])) return true;
    if (!host.n || host.n >= sizeof text) return false;
    memcpy(text, host.at, host.n);
    text[host.n] = '\0';
    struct address a = address_of(text);
    if ((a.family == AF_INET6) != (*all.at == '[')) return false;
    return is_loopback(&a) || is_here(&a, g->here);
}

/* ---- origin ---- */

static bool is_same_text(struct lun_slice a, struct lun_slice b) { return a.n == b.n && !strncasecmp(a.at, b.at, a.n); }

static bool is_same_port(struct lun_slice a, struct lun_slice b, const char *usual)
{
    return is_same_text(a.n ? a : slice(usual, strlen(usual)), b.n ? b : slice(usual, strlen(usual)));
}

static bool is_same_origin(struct lun_slice origin, struct lun_slice host)
{
    struct lun_slice rest, a, a_port, b, b_port;
    bool plain = starts_like(origin, "http://", &rest);
    if (!plain && !starts_like(origin, "https://", &rest)) return false;
    cut_host(rest, &a, &a_port);
    cut_host(host, &b, &b_port);
    return a.n && is_same_text(a, b) && is_same_port(a_port, b_port, plain ? "80" : "443");
}

static bool is_of_another_page(const struct lun_http_request *q)
{
    int count;
    const struct lun_slice *origin = only(q, "origin", &count);
    if (count && (!origin || !is_same_origin(*origin, q->host))) return true;
    for (int i = 0; i < q->n_headers; i++)
        if (lun_slice_is_like(q->headers[i].name, "sec-fetch-site")
            && (lun_slice_is_like(q->headers[i].value, "cross-site") || lun_slice_is_like(q->headers[i].value, "same-site"))) return true;
    return false;
}

/* ---- body ---- */

static bool is_json(const struct lun_http_request *q)
{
    int count;
    struct lun_slice rest;
    const struct lun_slice *type = only(q, "content-type", &count);
    return type && starts_like(*type, "application/json", &rest) && (!rest.n || strchr("; \t", *rest.at));
}

/* The page is the same for everyone: what it shows it asks for, with the token that it was told. */
static bool is_for_all(struct lun_slice path) { return lun_slice_is(path, "/health") || lun_slice_is(path, "/"); }

int lun_guard_check(const struct lun_guard *g, const struct lun_http_request *q, const char **why)
{
    if (g->token && !is_for_all(q->path) && !has_token(q, g->token)) {
        *why = "The admin interface asks for its token: authorization: Bearer TOKEN (admin_token of the configuration; LUNETTE_ADMIN_TOKEN for the commands).";
        return 401;
    }
    if (!is_ours(g, q->host)) {
        *why = "The admin interface answers only for localhost and its own address as Host. Say other names that it is reached by in admin = { …, hosts = { \"NAME\" } }.";
        return 403;
    }
    if (is_of_another_page(q)) {
        *why = "This request comes from a page of another origin, which may not use the admin interface.";
        return 403;
    }
    if (q->framing != LUN_HTTP_NO_BODY && q->length && !is_json(q)) {
        *why = "The body must be JSON, and say so: content-type: application/json.";
        return 415;
    }
    *why = NULL;
    return 0;
}

#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* A server may close a connection that was idle for as long as it likes; many do after a minute, and it is seen when they do. */
static const lun_us idle_most = 118 * LUN_SECOND;

static lun_us now(const struct pool *p) { return p->upstream->reactor->loop.now; }

static void destroy(struct pool *p)
{
    struct pool **at = &p->upstream->pools;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    while (p->idle) link_close(p->idle);
    if (p->lookup) lun_lookup_drop(p->lookup);
    lun_timer_set(&p->upstream->reactor->loop, &p->sweep, LUN_NEVER);
    if (p->trust) trust_drop(p->upstream, p->trust);
    pool_forget_session(p);
    free(p->addresses), free(p->host), free(p->port);
    free(p);
}

static void on_sweep(struct lun_timer *t)
{
    struct pool *p = (struct pool *)((char *)t - offsetof(struct pool, sweep));
    struct link *oldest = NULL;
    for (struct link *l = p->idle, *next; l; l = next) {
        next = l->next;
        if (l->since + idle_most <= now(p)) link_close(l);
        else oldest = l;
    }
    if (oldest) lun_timer_set(&p->upstream->reactor->loop, t, oldest->since + idle_most);
    else if (!p->users) destroy(p);
}

static bool leads_to(const struct pool *p, const char *host, const char *port, const struct trust *trust)
{
    return p->trust == trust && !strcmp(p->host, host) && !strcmp(p->port, port);
}

struct pool *pool_get(struct lun_upstream *u, const char *host, const char *port, struct trust *trust)
{
    struct pool *p = u->pools;
    while (p && !leads_to(p, host, port, trust)) p = p->next;
    if (p) { p->users++; return p; }
    p = lun_zalloc(sizeof *p);
    *p = (struct pool){ .next = u->pools, .upstream = u, .trust = trust, .host = lun_strdup(host), .port = lun_strdup(port), .users = 1, .sweep.fire = on_sweep };
    p->addresses = lun_resolver_numeric(host, port);
    if (p->addresses) p->fresh_until = LUN_NEVER;
    if (trust) trust->users++;
    return u->pools = p;
}

/* What is idle stays for a while: a site made anew finds it. */
void pool_drop(struct pool *p)
{
    if (!--p->users && !p->sweep.at) lun_timer_set(&p->upstream->reactor->loop, &p->sweep, now(p) + idle_most);
}

void pool_forget_session(struct pool *p)
{
    SSL_SESSION_free(p->session);
    p->session = NULL;
}

void pools_free(struct lun_upstream *u) { while (u->pools) destroy(u->pools); }

/* Most servers close what was idle for some seconds: then it is worth a look whether that has just happened, before the loop could hear of it. */
static bool is_good(const struct pool *p, struct link *l)
{
    lun_us idle = now(p) - l->since;
    return idle < idle_most && (idle < LUN_SECOND || !link_disturbed(l));
}

/* The one used last: the others may grow old and go. */
struct link *pool_take(struct pool *p)
{
    struct link *l = p->idle;
    while (l && !is_good(p, l)) { link_close(l); l = p->idle; }
    return l;
}

void pool_keep(struct link *l)
{
    struct pool *p = l->pool;
    if (p->idle_n >= IDLE_LINKS) { link_close(l); return; }
    l->since = now(p);
    l->next = p->idle;
    l->at = &p->idle;
    if (l->next) l->next->at = &l->next;
    p->idle = l;
    p->idle_n++;
    if (!p->sweep.at) lun_timer_set(&p->upstream->reactor->loop, &p->sweep, l->since + idle_most);
}

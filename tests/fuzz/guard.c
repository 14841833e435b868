/* Who may use the admin interface, decided from a head: nobody gets in without the token, and where none is asked for only who says an address of this
 * machine; a page of another origin never does. */
#include "fuzz.h"
#include "gateway/guard.h"
#include <strings.h>

#define TOKEN "a-token-of-the-admin"

static int check(const struct lun_http_request *q, const char *token, bool is_unix)
{
    const char *why = NULL;
    int status = lun_guard_check(&(struct lun_guard){ .token = token, .is_unix = is_unix }, q, &why);
    PROMISE(status ? why && *why && !strstr(why, TOKEN) : true);
    PROMISE(!status || status == 401 || status == 403 || status == 415);
    return status;
}

/* Exactly the token, in one field of that name. */
static bool shows_token(const struct lun_http_request *q)
{
    int fields = 0, right = 0;
    for (int i = 0; i < q->n_headers; i++) {
        struct lun_slice v = q->headers[i].value;
        if (!lun_slice_is_like(q->headers[i].name, "authorization")) continue;
        fields++;
        if (v.n < 7 || strncasecmp(v.at, "bearer ", 7)) continue;
        for (v.at += 6, v.n -= 6; v.n && *v.at == ' '; v.at++) v.n--;
        right += lun_slice_is(v, TOKEN);
    }
    return fields == 1 && right == 1;
}

static bool says_loopback(struct lun_slice host)
{
    if (host.n && *host.at == '[') return true;         /* which of them, inet_pton says */
    return (host.n >= 9 && !strncasecmp(host.at, "localhost", 9) && (host.n == 9 || host.at[9] == ':')) || (host.n > 4 && !memcmp(host.at, "127.", 4));
}

/* The origin's host is the one asked for. */
static bool is_own_page(const struct lun_http_request *q)
{
    const struct lun_slice *origin = lun_http_find(q, "origin"), *host = lun_http_find(q, "host");
    size_t n = host ? host->n : 0;
    while (n && host->at[n - 1] >= '0' && host->at[n - 1] <= '9') n--;      /* without its port */
    if (n && host->at[n - 1] == ':') n--;
    else n = host ? host->n : 0;
    for (size_t i = 0; origin && i + n <= origin->n; i++) if (!strncasecmp(origin->at + i, host->at, n)) return true;
    return !origin;
}

void fuzz_guard(struct input in)
{
    struct lun_http_reader r = {0};
    size_t used;
    char *copy = copy_of(in.at, in.n);
    if (lun_http_read(&r, copy, in.n, NULL, &used) == LUN_HTTP_DONE) {
        bool token = !check(&r.request, TOKEN, false), open = !check(&r.request, NULL, false), local = !check(&r.request, NULL, true);
        bool health = lun_slice_is(r.request.path, "/health") || lun_slice_is(r.request.path, "/");
        PROMISE(!token || health || shows_token(&r.request));
        PROMISE(!open || says_loopback(r.request.host));
        PROMISE((!token && !open && !local) || is_own_page(&r.request));
        PROMISE(health || check(&r.request, "", false));
    }
    lun_http_free(&r);
    free(copy);
}

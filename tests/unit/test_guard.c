/* Who may use the admin interface. Each case is a head as it comes over the wire. */
#include "gateway/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define TOKEN "a-token-of-some-length"

/*  what is said, request line, its other lines, the token, a unix socket?, status */
struct guarded { const char *name, *line, *lines, *token; bool is_unix; int status; };

#define GET     "GET /metrics HTTP/1.1"
#define POST    "POST /admin/reload HTTP/1.1"
#define OLD     "GET /metrics HTTP/1.0"
#define HERE    "Host: 127.0.0.1:4001\r\n"
#define FOR(h)  "Host: " h "\r\n"
#define WITH(t) "Authorization: " t "\r\n"
#define GOOD    WITH("Bearer " TOKEN)
#define FROM(o) "Origin: " o "\r\n"
#define BODY    "Content-Length: 2\r\n"
#define JSON    "Content-Type: application/json\r\n"

static const struct guarded cases[] = {
    /* ---- token ---- */
    { "the token lets in", GET, HERE GOOD, TOKEN, false, 0 },
    { "the scheme may be in capitals, with more blanks", GET, HERE WITH("BEARER   " TOKEN), TOKEN, false, 0 },
    { "no token", GET, HERE, TOKEN, false, 401 },
    { "another token", GET, HERE WITH("Bearer a-token-of-some-lengtH"), TOKEN, false, 401 },
    { "half of it", GET, HERE WITH("Bearer a-token"), TOKEN, false, 401 },
    { "more than it", GET, HERE WITH("Bearer " TOKEN "x"), TOKEN, false, 401 },
    { "an empty one", GET, HERE WITH("Bearer "), TOKEN, false, 401 },
    { "an empty field", GET, HERE WITH(""), TOKEN, false, 401 },
    { "the token without its scheme", GET, HERE WITH(TOKEN), TOKEN, false, 401 },
    { "another scheme", GET, HERE WITH("Basic " TOKEN), TOKEN, false, 401 },
    { "two of them, one right", GET, HERE GOOD WITH("Bearer x"), TOKEN, false, 401 },
    { "the key's header of clients is not it", GET, HERE "X-Api-Key: " TOKEN "\r\n", TOKEN, false, 401 },
    { "a unix socket does not do without", GET, HERE, TOKEN, true, 401 },
    { "an empty token lets nobody in", GET, HERE WITH("Bearer "), "", false, 401 },
    { "/health needs none", "GET /health HTTP/1.1", HERE, TOKEN, false, 0 },
    { "/health?x needs none", "GET /health?x HTTP/1.1", FOR("gateway.example"), TOKEN, false, 0 },
    { "the dashboard needs none: it asks for the token itself", "GET / HTTP/1.1", HERE, TOKEN, false, 0 },
    { "// is another path", "GET // HTTP/1.1", HERE, TOKEN, false, 401 },
    { "/health/ is another path", "GET /health/ HTTP/1.1", HERE, TOKEN, false, 401 },
    { "/healthy is another path", "GET /healthy HTTP/1.1", HERE, TOKEN, false, 401 },
    { "nor is one that leads there by dots", "GET /admin/../health HTTP/1.1", HERE, TOKEN, false, 401 },
    { "a token where none is asked for changes nothing", GET, HERE GOOD, NULL, false, 0 },

    /* ---- host ---- */
    { "loopback", GET, FOR("127.0.0.1"), NULL, false, 0 },
    { "loopback, any port", GET, FOR("127.0.0.1:9"), NULL, false, 0 },
    { "all of 127/8", GET, FOR("127.9.8.7:9"), NULL, false, 0 },
    { "loopback of IPv6", GET, FOR("[::1]:4001"), NULL, false, 0 },
    { "the same, written out", GET, FOR("[0:0:0:0:0:0:0:1]"), NULL, false, 0 },
    { "localhost", GET, FOR("localhost"), NULL, false, 0 },
    { "localhost, any port, any letters", GET, FOR("LocalHost:4001"), NULL, false, 0 },
    { "a name that may resolve to loopback", GET, FOR("evil.example:4001"), NULL, false, 403 },
    { "one that begins like loopback", GET, FOR("127.0.0.1.evil.example"), NULL, false, 403 },
    { "one that ends like localhost", GET, FOR("evil.localhost"), NULL, false, 403 },
    { "one that begins like localhost", GET, FOR("localhost.evil.example"), NULL, false, 403 },
    { "a short form of an address", GET, FOR("127.1"), NULL, false, 403 },
    { "all addresses", GET, FOR("0.0.0.0:4001"), NULL, false, 403 },
    { "another address", GET, FOR("10.0.0.2"), NULL, false, 403 },
    { "another address of IPv6", GET, FOR("[::2]"), NULL, false, 403 },
    { "the address it came in at", GET, FOR("10.0.0.1:4001"), NULL, false, 0 },
    { "the same in brackets, as no address of IPv4 is", GET, FOR("[10.0.0.1]"), NULL, false, 403 },
    { "a name that begins like it", GET, FOR("10.0.0.1.evil.example"), NULL, false, 403 },
    { "a name that was said", GET, FOR("gateway.example:4001"), NULL, false, 0 },
    { "the same in capitals", GET, FOR("Gateway.Example"), NULL, false, 0 },
    { "a name below it", GET, FOR("evil.gateway.example"), NULL, false, 403 },
    { "an absolute target that names it", "GET http://evil.example/metrics HTTP/1.1", FOR("evil.example"), NULL, false, 403 },
    { "no host over TCP", OLD, "", NULL, false, 403 },
    { "no host over a unix socket", OLD, "", NULL, true, 0 },
    { "localhost over a unix socket", GET, FOR("localhost"), NULL, true, 0 },
    { "another name over a unix socket", GET, FOR("evil.example"), NULL, true, 403 },
    { "/health is for these hosts too", "GET /health HTTP/1.1", FOR("evil.example"), NULL, false, 403 },
    { "so is the dashboard", "GET / HTTP/1.1", FOR("evil.example"), NULL, false, 403 },
    { "with the token too", GET, FOR("evil.example") GOOD, TOKEN, false, 403 },
    { "with the token, the address it came in at", GET, FOR("10.0.0.1") GOOD, TOKEN, false, 0 },

    /* ---- origin ---- */
    { "its own page", POST, HERE FROM("http://127.0.0.1:4001"), NULL, false, 0 },
    { "its own page behind TLS", POST, FOR("gateway.example") GOOD FROM("https://gateway.example"), TOKEN, false, 0 },
    { "the usual port may be said or not: http", POST, FOR("localhost:80") FROM("http://LOCALHOST"), NULL, false, 0 },
    { "the usual port may be said or not: https", POST, FOR("localhost") FROM("https://localhost:443"), NULL, false, 0 },
    { "the usual port of the other scheme", POST, FOR("localhost") FROM("https://localhost:80"), NULL, false, 403 },
    { "IPv6", POST, FOR("[::1]:4001") FROM("http://[::1]:4001"), NULL, false, 0 },
    { "another host", POST, HERE FROM("http://evil.example"), NULL, false, 403 },
    { "another port", POST, HERE FROM("http://127.0.0.1:4000"), NULL, false, 403 },
    { "no port", POST, HERE FROM("http://127.0.0.1"), NULL, false, 403 },
    { "another name of the same machine", POST, HERE FROM("http://localhost:4001"), NULL, false, 403 },
    { "null", POST, HERE FROM("null"), NULL, false, 403 },
    { "an empty one", POST, HERE FROM(""), NULL, false, 403 },
    { "a scheme alone", POST, HERE FROM("http://"), NULL, false, 403 },
    { "another scheme", POST, HERE FROM("ftp://127.0.0.1:4001"), NULL, false, 403 },
    { "two of them", POST, HERE FROM("http://127.0.0.1:4001") FROM("http://127.0.0.1:4001"), NULL, false, 403 },
    { "one that begins like the host", POST, FOR("127.0.0.1") FROM("http://127.0.0.1.evil.example"), NULL, false, 403 },
    { "any origin without a host", "POST /x HTTP/1.0", FROM("http://localhost"), NULL, true, 403 },
    { "the token does not help another page", POST, HERE GOOD FROM("http://evil.example"), TOKEN, false, 403 },
    { "nor does a GET", GET, HERE FROM("http://evil.example"), NULL, false, 403 },
    { "fetched by another site", GET, HERE "Sec-Fetch-Site: cross-site\r\n", NULL, false, 403 },
    { "fetched by another host of the site", GET, HERE "Sec-Fetch-Site: Same-Site\r\n", NULL, false, 403 },
    { "with the token too", GET, HERE GOOD "Sec-Fetch-Site: cross-site\r\n", TOKEN, false, 403 },
    { "fetched by its own page", GET, HERE "Sec-Fetch-Site: same-origin\r\n", NULL, false, 0 },
    { "typed by a person", GET, HERE "Sec-Fetch-Site: none\r\n", NULL, false, 0 },

    /* ---- body ---- */
    { "no body needs no type", POST, HERE, NULL, false, 0 },
    { "an empty body needs none", POST, HERE "Content-Length: 0\r\n", NULL, false, 0 },
    { "JSON", POST, HERE BODY JSON, NULL, false, 0 },
    { "JSON with a charset, in any letters", POST, HERE BODY "Content-Type: Application/JSON; charset=utf-8\r\n", NULL, false, 0 },
    { "a body without a type", POST, HERE BODY, NULL, false, 415 },
    { "a form", POST, HERE BODY "Content-Type: text/plain\r\n", NULL, false, 415 },
    { "something like JSON", POST, HERE BODY "Content-Type: application/jsonp\r\n", NULL, false, 415 },
    { "two types", POST, HERE BODY JSON "Content-Type: text/plain\r\n", NULL, false, 415 },
    { "a chunked form", POST, HERE "Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\n", NULL, false, 415 },
    { "who he is comes first", POST, HERE BODY, TOKEN, false, 401 },
};

static void every_case_is_decided_as_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct guarded *c = &cases[i];
        struct lun_http_reader reader = {0};
        char bytes[1024];
        size_t used, n = (size_t)snprintf(bytes, sizeof bytes, "%s\r\n%s\r\n", c->line, c->lines);
        const char *why = "unset";
        if (lun_http_read(&reader, bytes, n, NULL, &used) != LUN_HTTP_DONE) fail_msg("%s: not a head: %s", c->name, reader.why ? reader.why : "more");
        static const char *const hosts[] = { "internal", "gateway.example" };
        const struct lun_guard guard = { .token = c->token, .is_unix = c->is_unix, .here = c->is_unix ? "unix" : "10.0.0.1", .hosts = hosts, .n_hosts = 2 };
        int status = lun_guard_check(&guard, &reader.request, &why);
        if (status != c->status) fail_msg("%s: %d, not %d", c->name, status, c->status);
        if (status ? !why || strstr(why, "evil") || strstr(why, TOKEN) : why != NULL) fail_msg("%s: why is %s", c->name, why ? why : "NULL");
        lun_http_free(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_is_decided_as_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

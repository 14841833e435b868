#include "wire/upstream_parts.h"
#include <stdlib.h>

static void set_rules(CURL *e)
{
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);        /* or closing a call blocks until its name look-up is over */
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);     /* the key is not the proxy's to see */
    curl_easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
}

static void set_callbacks(struct lun_upstream_call *c)
{
    CURL *e = c->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, c);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, socket_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, socket_close);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, c->upstream);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, curl_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, curl_bytes);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, curl_leaves);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, c);
    /* No SEEKFUNCTION: libcurl then cannot begin a body anew on another connection. */
    curl_easy_setopt(e, CURLOPT_READFUNCTION, curl_read);
    curl_easy_setopt(e, CURLOPT_READDATA, c);
}

void curl_make(struct lun_upstream_call *c)
{
    const struct lun_upstream_site *s = c->site;
    c->easy = curl_easy_init();
    if (!c->easy) abort();
    set_rules(c->easy);
    set_callbacks(c);
    trust_set(s->trust, c->easy);
    curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, s->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c->easy, CURLOPT_PIPEWAIT, s->http2 ? 1L : 0L);
    curl_easy_setopt(c->easy, CURLOPT_PROXY, s->proxy);
    curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "");     /* or the environment's is asked */
}

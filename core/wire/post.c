#include "wire/post.h"
#include "base/alloc.h"
#include <curl/curl.h>
#include <stdlib.h>

#define CONNECT_LIMIT (5 * LUN_SECOND)
#define ANSWER_MOST   ((size_t)64 << 10)        /* what is longer is not read to its end */

struct answer { size_t n; const _Atomic lun_us *until; };

static size_t pass_over(char *bytes, size_t size, size_t n, void *self)
{
    struct answer *a = self;
    (void)bytes;
    a->n += size * n;
    return a->n > ANSWER_MOST ? 0 : size * n;
}

static int look(void *self, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    const struct answer *a = self;
    (void)down_all, (void)down, (void)up_all, (void)up;
    return lun_clock_now() >= atomic_load(a->until);
}

static struct curl_slist *headers_of(const struct lun_post_out *p)
{
    struct curl_slist *list = curl_slist_append(NULL, "content-type: application/json");
    list = curl_slist_append(list, "expect:");
    for (int i = 0; i < p->n_headers; i++) {
        char *line = lun_printf("%s: %s", p->headers[i].name, p->headers[i].value);
        list = curl_slist_append(list, line);
        free(line);
    }
    return list;
}

static void set(CURL *e, const struct lun_post_out *p, struct curl_slist *headers, struct answer *a)
{
    curl_easy_setopt(e, CURLOPT_URL, p->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "lunette/0.1");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->n);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, p->body);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(p->timeout / LUN_MS));
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(CONNECT_LIMIT / LUN_MS));
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, pass_over);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, look);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, a);
}

int lun_post_send(const struct lun_post_out *p, const char **why)
{
    struct answer a = { .until = p->until };
    long status = 0;
    CURL *e = curl_easy_init();
    *why = "out of memory";
    if (!e) return 0;
    struct curl_slist *headers = headers_of(p);
    set(e, p, headers, &a);
    CURLcode code = curl_easy_perform(e);
    curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(e);
    curl_slist_free_all(headers);
    *why = curl_easy_strerror(code);
    bool heard = code == CURLE_OK || (code == CURLE_WRITE_ERROR && a.n > ANSWER_MOST);
    return heard ? (int)status : 0;
}

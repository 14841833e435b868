#include "cli/remote.h"
#include "base/alloc.h"
#include "base/http.h"
#include "base/text.h"
#include "cli/print.h"
#include "script/load.h"
#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_MS = 30000, ANSWER_MOST = 64 << 20 };

/* ---- where ---- */

static const char say_where[] = "Say where the gateway's admin interface is: --admin ADDR or LUNETTE_ADMIN.";
static const char another[] = "Another address: --admin ADDR, LUNETTE_ADMIN, or `admin` of ./gateway.lua.";

static int complain(const struct lun_remote *r, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int complain(const struct lun_remote *r, int status, const char *format, ...)
{
    FILE *out = r->errors ? r->errors : stderr;
    va_list list;
    fprintf(out, "lunette %s: ", r->command);
    va_start(list, format);
    vfprintf(out, format, list);
    va_end(list);
    fputc('\n', out);
    return status;
}

/* Whoever answers has to have the very key of the certificate that gateway.lua names, so it may be signed by anyone, for any name. */
static bool pin(struct lun_remote *r, const char *file)
{
    unsigned char hash[32], text[64], *bytes = NULL;
    unsigned got;
    BIO *b = BIO_new_file(file, "r");
    X509 *x = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
    int n = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &bytes) : -1;
    if (n > 0 && EVP_Digest(bytes, (size_t)n, hash, &got, EVP_sha256(), NULL) == 1 && EVP_EncodeBlock(text, hash, sizeof hash)) r->pin = lun_printf("sha256//%s", (char *)text);
    OPENSSL_free(bytes);
    X509_free(x);
    BIO_free(b);
    return r->pin;
}

/* gateway.lua's own; it may need what only the gateway's environment has. */
static int address_of_file(struct lun_remote *r)
{
    struct lun_mistakes mistakes = {0};
    if (access("gateway.lua", F_OK)) return complain(r, 1, "no address: there is no ./gateway.lua here. %s", say_where);
    struct lun_snapshot *s = lun_load("gateway.lua", &(struct lun_load_options){ .no_policy_check = true, .no_secrets = true, .cpu = LUN_CPU_CLOCK }, &mistakes);
    if (!s) {
        lun_print_mistakes(&mistakes, stderr);
        return complain(r, 1, "no address: ./gateway.lua cannot be loaded here. %s", say_where);
    }
    lun_mistakes_free(&mistakes);
    r->address = lun_strdup(s->admin);
    r->tls = s->admin_tls.certificate;
    if (!r->token) r->token = lun_strdup(s->admin_token);
    int status = !r->tls || pin(r, s->admin_tls.certificate) ? 0 : complain(r, 1, "%s, the certificate of the admin interface, cannot be read here. Say its name instead: --admin https://NAME:PORT", s->admin_tls.certificate);
    lun_snapshot_unref(s);
    if (status) return status;
    if (!r->address) return complain(r, 1, "./gateway.lua has no `admin`, so its gateway cannot be asked. Set one, or say --admin ADDR or LUNETTE_ADMIN.");
    size_t n = strlen(r->address);
    if (n >= 2 && !strcmp(r->address + n - 2, ":0"))
        return complain(r, 1, "`admin` of ./gateway.lua has port 0, so the system chose it. Say which: --admin ADDR (the gateway's first line shows it).");
    return 0;
}

/* "host:port", "[host]:port", ":port" (of this machine), with http:// or https:// before it or not. */
static bool make_url(struct lun_remote *r)
{
    r->tls |= !strncmp(r->address, "https://", 8);
    const char *host = strstr(r->address, "://") ? strstr(r->address, "://") + 3 : r->address, *scheme = r->tls ? "https" : "http";
    if (host != r->address && strncmp(r->address, "http://", 7) && strncmp(r->address, "https://", 8)) return false;
    size_t n = strlen(host);
    if (n && host[n - 1] == '/') n--;
    const char *colon = memrchr(host, ':', n);
    if (!colon || strcspn(host, "/?#@\\ ") < n) return false;
    size_t digits = strspn(colon + 1, "0123456789");
    if (!digits || digits > 5 || colon + 1 + digits != host + n) return false;
    bool any = colon == host || (colon == host + 1 && *host == '*');
    r->url = any ? lun_printf("%s://127.0.0.1%.*s", scheme, (int)(host + n - colon), colon) : lun_printf("%s://%.*s", scheme, (int)n, host);
    return true;
}

static int understand_address(struct lun_remote *r)
{
    if (!strncmp(r->address, "unix:", 5) && r->address[5]) {
        r->socket = lun_strdup(r->address + 5);
        r->url = lun_strdup(r->tls ? "https://localhost" : "http://localhost");
        return 0;
    }
    if (make_url(r)) return 0;
    return complain(r, 2, "%s is no address: one looks like 127.0.0.1:4001, [::1]:4001 or unix:/run/lunette.sock", r->address);
}

int lun_remote_open(struct lun_remote *r, const char *command, const char *admin)
{
    const char *from = getenv("LUNETTE_ADMIN"), *token = getenv("LUNETTE_ADMIN_TOKEN");
    *r = (struct lun_remote){ .command = command };
    if (token && *token && !lun_http_is_value(token, strlen(token))) return complain(r, 2, "LUNETTE_ADMIN_TOKEN holds a control character");
    if (token && *token) r->token = lun_strdup(token);
    if (admin) r->address = lun_strdup(admin);
    else if (from && *from) r->address = lun_strdup(from);
    int status = r->address ? 0 : address_of_file(r);
    return status ? status : understand_address(r);
}

void lun_remote_free(struct lun_remote *r)
{
    free(r->address);
    free(r->url);
    free(r->socket);
    free(r->pin);
    if (r->token) explicit_bzero(r->token, strlen(r->token));
    free(r->token);
}

/* ---- asking ---- */

static const char wrong_token[] = "the token in LUNETTE_ADMIN_TOKEN is not that of this gateway";
static const char no_token[] = "set LUNETTE_ADMIN_TOKEN to the gateway's admin_token";

void lun_remote_user(char out[LUN_REMOTE_USER])
{
    char host[256] = "";
    const struct passwd *user = getpwuid(getuid());
    gethostname(host, sizeof host - 1);
    char *name = user ? lun_printf("%s@%s", user->pw_name, host) : lun_printf("%u@%s", (unsigned)getuid(), host);
    snprintf(out, LUN_REMOTE_USER, "%s", name);
    for (char *p = out; *p; p++) if (*p <= ' ' || *p > '~') *p = '?';
    free(name);
}

static size_t on_bytes(char *bytes, size_t one, size_t n, void *self)
{
    struct lun_buf *text = self;
    if (text->n + one * n > ANSWER_MOST) return 0;
    lun_buf_add(text, bytes, one * n);
    return one * n;
}

static struct curl_slist *add_header(struct curl_slist *list, char *line)
{
    list = curl_slist_append(list, line);
    explicit_bzero(line, strlen(line));
    free(line);
    return list;
}

static struct curl_slist *make_headers(const struct lun_remote *r, bool post, bool body)
{
    char name[LUN_REMOTE_USER];
    struct curl_slist *list = curl_slist_append(NULL, "accept: application/json");
    list = curl_slist_append(list, body ? "content-type: application/json" : "content-type:");
    list = curl_slist_append(list, "expect:");
    lun_remote_user(name);
    if (post) list = add_header(list, lun_printf("x-lunette-by: %s", name));
    if (r->token) list = add_header(list, lun_printf("authorization: Bearer %s", r->token));
    return list;
}

static int on_progress(void *self, curl_off_t all, curl_off_t now, curl_off_t all_up, curl_off_t up)
{
    const struct lun_remote *r = self;
    (void)all, (void)now, (void)all_up, (void)up;
    return r->stop && r->stop(r->self);
}

static void set_options(CURL *c, const struct lun_remote *r, const char *url, struct curl_slist *headers, struct lun_buf *text, char *why)
{
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, r->tls ? "https" : "http");
    if (r->pin) {
        curl_easy_setopt(c, CURLOPT_PINNEDPUBLICKEY, r->pin);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOPROXY, "");
    if (r->socket) curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, r->socket);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, r->limit_ms ? r->limit_ms : (long)LIMIT_MS);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, r->stop ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, r);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, text);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
}

static int not_reached(const struct lun_remote *r, CURLcode result, long system_error, const char *why)
{
    if (result == CURLE_COULDNT_CONNECT)
        return complain(r, 1, "no gateway answers at %s (%s). Is it running? %s", r->address,
                        system_error ? strerror((int)system_error) : curl_easy_strerror(result), another);
    return complain(r, 1, "the gateway at %s did not answer (%s). %s", r->address, *why ? why : curl_easy_strerror(result), another);
}

static void put_line(struct lun_buf *out, const char *before, struct lun_json what)
{
    lun_buf_puts(out, before);
    lun_remote_put(out, what);
    lun_buf_putc(out, '\n');
}

/* What a refusal says: {"errors":["…"]}, or another server's {"error":{"message":"…"}}. False: nothing. */
static bool put_errors(struct lun_buf *out, struct lun_json answer)
{
    struct lun_json list = lun_json_get(answer, "errors"), message = lun_json_path(answer, "error.message");
    struct lun_json_each e = lun_json_each(list);
    size_t before = out->n;
    while (lun_json_next(&e)) put_line(out, "", e.value);
    if (out->n == before && lun_json_type(message) == LUN_JSON_STRING) put_line(out, "", message);
    return out->n > before;
}

static int judge(const struct lun_remote *r, bool quiet, struct lun_remote_answer *a)
{
    struct lun_buf out = {0};
    bool json = lun_json_check(a->text.at, a->text.n, &a->json, NULL) && lun_json_type(a->json) == LUN_JSON_OBJECT;
    if (!json) a->json = (struct lun_json){0};
    if (json && a->status == 200) return 0;
    if (!json || !put_errors(&out, a->json))
        complain(r, 1, "what answers at %s is no gateway's admin interface: status %ld. %s", r->address, a->status, another);
    else if (!quiet) fwrite(out.at, 1, out.n, r->errors ? r->errors : stderr);
    lun_buf_free(&out);
    if (a->status == 401) complain(r, 1, "%s", r->token ? wrong_token : no_token);
    return 1;
}

/* `method` NULL: GET. */
static int ask(const struct lun_remote *r, const char *path, const char *method, const struct lun_buf *body, bool quiet, struct lun_remote_answer *a)
{
    char why[CURL_ERROR_SIZE] = "";
    long system_error = 0;
    *a = (struct lun_remote_answer){0};
    CURL *c = curl_easy_init();
    if (!c) return complain(r, 1, "libcurl could not be started");
    char *url = lun_printf("%s%s", r->url, path);
    struct curl_slist *headers = make_headers(r, method != NULL, body != NULL);
    set_options(c, r, url, headers, &a->text, why);
    if (method) {
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body && body->n ? body->at : "");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body ? body->n : 0));
    }
    CURLcode result = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
    curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &system_error);
    int status = result == CURLE_OK ? judge(r, quiet, a) : not_reached(r, result, system_error, why);
    for (struct curl_slist *h = headers; h; h = h->next) explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    free(url);
    return status;
}

int lun_remote_get(const struct lun_remote *r, const char *path, bool quiet, struct lun_remote_answer *a)
{
    return ask(r, path, NULL, NULL, quiet, a);
}

int lun_remote_post(const struct lun_remote *r, const char *path, const struct lun_buf *body, bool quiet, struct lun_remote_answer *a)
{
    return ask(r, path, "POST", body, quiet, a);
}

int lun_remote_tell(const struct lun_remote *r, const char *method, const char *path, const struct lun_buf *body, bool quiet, struct lun_remote_answer *a)
{
    return ask(r, path, method, body, quiet, a);
}

void lun_remote_answer_free(struct lun_remote_answer *a) { lun_buf_free(&a->text); }

/* ---- printing ---- */

static void put_plain(struct lun_buf *out, const char *text, size_t n)
{
    size_t used;
    char bytes[4];
    for (size_t i = 0; i < n; i += used) {
        uint32_t point = lun_text_point(text + i, n - i, &used);
        if (point < 0x20 || (point >= 0x7f && point < 0xa0)) lun_buf_printf(out, "\\x%02x", (unsigned)point);
        else lun_buf_add(out, bytes, lun_text_encode(point, bytes));
    }
}

void lun_remote_put(struct lun_buf *out, struct lun_json value)
{
    struct lun_buf text = {0};
    if (lun_json_string(value, false, &text)) put_plain(out, text.at, text.n);
    else put_plain(out, value.at, value.n);
    lun_buf_free(&text);
}

void lun_remote_put_warnings(struct lun_buf *out, struct lun_json answer)
{
    struct lun_json_each e = lun_json_each(lun_json_get(answer, "warnings"));
    while (lun_json_next(&e)) put_line(out, "warning: ", e.value);
}

void lun_remote_print_json(struct lun_remote_answer *a)
{
    if (!a->json.n) return;
    fwrite(a->json.at, 1, a->json.n, stdout);
    putchar('\n');
}

static void put_version(struct lun_buf *out, struct lun_json answer)
{
    if (lun_json_type(lun_json_get(answer, "changed")) == LUN_JSON_FALSE) lun_buf_puts(out, "unchanged: ");
    lun_remote_put(out, lun_json_get(answer, "version"));
    lun_buf_puts(out, " (generation ");
    lun_remote_put(out, lun_json_get(answer, "generation"));
    lun_buf_puts(out, ")");
    if (lun_json_type(lun_json_get(answer, "from")) == LUN_JSON_STRING) {
        lun_buf_puts(out, " instead of ");
        lun_remote_put(out, lun_json_get(answer, "from"));
    }
    lun_buf_putc(out, '\n');
}

static void put_restart(struct lun_buf *out, struct lun_json answer)
{
    struct lun_json_each e = lun_json_each(lun_json_get(answer, "restart"));
    bool any = false;
    for (; lun_json_next(&e); any = true) {
        lun_buf_puts(out, any ? ", " : "needs a restart: ");
        lun_remote_put(out, e.value);
    }
    if (any) lun_buf_putc(out, '\n');
}

int lun_remote_change(const struct lun_remote *r, const char *path, const struct lun_buf *body, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_post(r, path, body, json, &answer);
    if (json) lun_remote_print_json(&answer);
    else if (!status) {
        put_version(&out, answer.json);
        lun_remote_put_warnings(&out, answer.json);
        put_restart(&out, answer.json);
        lun_print(&out, stdout);
    }
    lun_remote_answer_free(&answer);
    return status;
}

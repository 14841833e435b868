#include "wire/upstream_parts.h"
#include "base/alloc.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

/* libcurl would keep one parsed CA file per multi handle, and read it again (21 ms for the system's) for each connection as soon as two
 * files take turns. So the store is made here, once, and given to each connection by CURLOPT_SSL_CTX_FUNCTION. */

static const char *system_file(void) { return curl_version_info(CURLVERSION_NOW)->cainfo; }

static X509_STORE *load(const char *ca_file)
{
    X509_STORE *store = X509_STORE_new();
    if (!store) return NULL;
    const char *path = ca_file ? ca_file : system_file();
    int read = path ? X509_STORE_load_file(store, path) : X509_STORE_set_default_paths(store);
    ERR_clear_error();
    /* Without a CA file of its own a machine may still talk to plain http and to sites that name theirs. */
    if (read != 1 && ca_file) { X509_STORE_free(store); return NULL; }
    X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    return store;
}

static bool same(const struct trust *t, const char *ca_file, const struct stat *file)
{
    if (!ca_file || !t->ca_file) return !ca_file && !t->ca_file;
    return !strcmp(t->ca_file, ca_file) && t->file.st_ino == file->st_ino && t->file.st_size == file->st_size
        && t->file.st_mtim.tv_sec == file->st_mtim.tv_sec && t->file.st_mtim.tv_nsec == file->st_mtim.tv_nsec;
}

static CURLSH *share_new(void)
{
    CURLSH *share = curl_share_init();
    if (!share) return NULL;
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return share;
}

struct trust *trust_get(struct lun_upstream *u, const char *ca_file, char **error)
{
    struct stat file = { 0 };
    if (ca_file && stat(ca_file, &file) != 0) {
        *error = lun_printf("CA file %s: %s", ca_file, strerror(errno));
        return NULL;
    }
    for (struct trust *t = u->trusts; t; t = t->next)
        if (same(t, ca_file, &file)) { t->users++; return t; }
    X509_STORE *store = ca_file ? load(ca_file) : NULL;
    if (ca_file && !store) { *error = lun_printf("CA file %s: holds no certificate in PEM form", ca_file); return NULL; }
    struct trust *t = lun_zalloc(sizeof *t);
    *t = (struct trust){ .next = u->trusts, .ca_file = lun_strdup(ca_file), .file = file, .store = store, .share = share_new(), .users = 1 };
    u->trusts = t;
    return t;
}

void trust_drop(struct lun_upstream *u, struct trust *t)
{
    if (--t->users) return;
    struct trust **p = &u->trusts;
    while (*p != t) p = &(*p)->next;
    *p = t->next;
    curl_share_cleanup(t->share);
    lun_tls_free(t->tls);
    X509_STORE_free(t->store);
    free(t->ca_file);
    free(t);
}

X509_STORE *trust_store(struct trust *t)
{
    if (!t->store && !(t->store = load(t->ca_file))) abort();           /* no memory */
    return t->store;
}

struct lun_tls *trust_tls(struct trust *t)
{
    if (!t->tls && !(t->tls = lun_tls_of_store(trust_store(t)))) abort();
    return t->tls;
}

static CURLcode give(CURL *easy, void *context, void *self)
{
    struct trust *t = self;
    (void)easy;
    SSL_CTX_set1_cert_store(context, trust_store(t));
    return CURLE_OK;
}

static void on_alert(const SSL *ssl, int where, int what)
{
    struct lun_upstream_call *c = SSL_get_app_data(ssl);
    if (where == SSL_CB_READ_ALERT && (what & 0xff) == SSL_AD_CLOSE_NOTIFY) c->sealed = true;
}

/* Its connection ends with this answer, so it cannot outlive the call. (libcurl takes any FIN for the end.) */
void trust_seal(struct lun_upstream_call *c)
{
    struct curl_tlssessioninfo *info = NULL;
    if (curl_easy_getinfo(c->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info || !info->internals) return;
    SSL *ssl = info->internals;
    c->needs_seal = true;
    SSL_set_app_data(ssl, c);
    SSL_set_info_callback(ssl, on_alert);
}

void trust_set(struct trust *t, CURL *e)
{
    curl_easy_setopt(e, CURLOPT_SHARE, t->share);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, NULL);
    curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, give);
    curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
}

#include "state/certificate.h"
#include "base/alloc.h"
#include "base/file.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text { char *at; size_t n; };

static bool wrong(struct lun_certificate_problem *p, bool key, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool wrong(struct lun_certificate_problem *p, bool key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    p->key = key;
    vsnprintf(p->what, sizeof p->what, format, args);
    va_end(args);
    ERR_clear_error();
    return false;
}

/* ---- what the files hold ---- */

static bool slurp(const char *path, bool key, struct text *out, struct lun_certificate_problem *p)
{
    const char *why;
    out->at = lun_file_slurp(path, &out->n, &why);
    return out->at || wrong(p, key, "cannot be read: %s", why);
}

static void drop(struct text *t)
{
    if (t->at) explicit_bzero(t->at, t->n);
    free(t->at);
}

/* Without it OpenSSL would ask whoever sits at the terminal. */
static int no_passphrase(char *to, int n, int writing, void *arg)
{
    (void)to, (void)n, (void)writing, (void)arg;
    return -1;
}

static EVP_PKEY *key_of(const struct text *t)
{
    BIO *b = BIO_new_mem_buf(t->at, (int)t->n);
    EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
    BIO_free(b);
    return key;
}

/* The first certificate; those behind it go into the chain. */
static X509 *chain_of(const struct text *t, STACK_OF(X509) *chain)
{
    BIO *b = BIO_new_mem_buf(t->at, (int)t->n);
    X509 *first = b ? PEM_read_bio_X509_AUX(b, NULL, no_passphrase, NULL) : NULL;
    for (X509 *next; first && (next = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)); )
        if (!sk_X509_push(chain, next)) abort();
    BIO_free(b);
    return first;
}

/* ---- whether they are good ---- */

static lun_us wall_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) ? (lun_us)timegm(&tm) * LUN_SECOND : 0;
}

static bool check_time(const X509 *x, lun_us wall, struct lun_certificate_problem *p)
{
    lun_us from = wall_of(X509_get0_notBefore(x)), until = wall_of(X509_get0_notAfter(x));
    time_t at = (time_t)((wall < from ? from : until) / LUN_SECOND);
    char date[32];
    struct tm tm;
    if (wall >= from && wall < until) return true;
    strftime(date, sizeof date, "%Y-%m-%d %H:%M", gmtime_r(&at, &tm));
    return wrong(p, false, wall < from ? "is not good before %s UTC" : "has expired on %s UTC", date);
}

static bool fit(SSL_CTX *context, X509 *x, EVP_PKEY *key, STACK_OF(X509) *chain, struct lun_certificate_problem *p)
{
    if (X509_check_private_key(x, key) != 1) return wrong(p, true, "does not belong to the certificate");
    if (SSL_CTX_use_cert_and_key(context, x, key, chain, 1) == 1) return true;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return wrong(p, false, "cannot be used: %s", reason ? reason : "OpenSSL gives no reason");
}

static bool fill(struct lun_certificate *c, const struct text *certificate, const struct text *key, lun_us wall, struct lun_certificate_problem *p)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    EVP_PKEY *k = NULL;
    X509 *x = chain_of(certificate, chain);
    bool good = x || wrong(p, false, "holds no certificate in PEM form");
    good = good && ((k = key_of(key)) || wrong(p, true, "holds no key in PEM form, or one with a passphrase"));
    good = good && fit(c->context, x, k, chain, p) && check_time(x, wall, p);
    if (good) c->expires = wall_of(X509_get0_notAfter(x));
    EVP_PKEY_free(k);
    X509_free(x);
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    return good;
}

static void digest(struct lun_certificate *c, const struct text *a, const struct text *b)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (!hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) abort();
    EVP_DigestUpdate(hash, &a->n, sizeof a->n);
    EVP_DigestUpdate(hash, a->at, a->n);
    EVP_DigestUpdate(hash, b->at, b->n);
    EVP_DigestFinal_ex(hash, c->digest, NULL);
    EVP_MD_CTX_free(hash);
}

struct lun_certificate *lun_certificate_read(const char *certificate, const char *key, lun_us wall, struct lun_certificate_problem *problem)
{
    struct lun_certificate *c = lun_zalloc(sizeof *c);
    struct text a = {0}, b = {0};
    if (!(c->context = SSL_CTX_new(TLS_server_method()))) abort();
    bool good = slurp(certificate, false, &a, problem) && slurp(key, true, &b, problem) && fill(c, &a, &b, wall, problem);
    if (good) digest(c, &a, &b);
    drop(&a);
    drop(&b);
    if (good) return c;
    lun_certificate_free(c);
    return NULL;
}

void lun_certificate_free(struct lun_certificate *c)
{
    if (!c) return;
    SSL_CTX_free(c->context);
    free(c);
}

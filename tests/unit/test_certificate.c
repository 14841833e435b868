/* Certificates with their keys, made here: which are taken, and what is said of the others. */
#include "state/certificate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DAY (86400 * LUN_SECOND)

static char folder[] = "/tmp/lunette-certificate-XXXXXX";
static EVP_PKEY *mine, *other, *weak;

static const char *path_of(const char *name)
{
    static char paths[4][96];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(path_of(name), "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, passphrase ? EVP_aes_256_cbc() : NULL, (const unsigned char *)passphrase, passphrase ? (int)strlen(passphrase) : 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

/* Good from a day ago until `days` from now; twice with `chain`. */
static void write_certificate(const char *name, EVP_PKEY *key, int from, int days, bool chain)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), from * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *f = fopen(path_of(name), "w");
    for (int i = 0; i <= chain; i++) assert_int_equal(PEM_write_X509(f, x), 1);
    assert_int_equal(fclose(f), 0);
    X509_free(x);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    mine = EVP_EC_gen("P-256"), other = EVP_EC_gen("P-256"), weak = EVP_RSA_gen(1024);
    write_key("key", mine, NULL);
    write_key("other.key", other, NULL);
    write_key("weak.key", weak, NULL);
    write_key("closed.key", mine, "a passphrase");
    write_certificate("cert", mine, -1, 30, false);
    write_certificate("chain", mine, -1, 30, true);
    write_certificate("weak", weak, -1, 30, false);
    write_certificate("expired", mine, -9, -1, false);
    write_certificate("early", mine, 1, 30, false);
    write_text("nonsense", "this is none\n");
    return 0;
}

static int end(void **state)
{
    static const char *const files[] = { "key", "other.key", "weak.key", "closed.key", "cert", "chain", "weak", "expired", "early", "nonsense" };
    (void)state;
    EVP_PKEY_free(mine), EVP_PKEY_free(other), EVP_PKEY_free(weak);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(path_of(files[i]));
    return rmdir(folder);
}

static struct lun_certificate *take(const char *certificate, const char *key)
{
    struct lun_certificate_problem problem;
    struct lun_certificate *c = lun_certificate_read(path_of(certificate), path_of(key), lun_clock_wall(), &problem);
    if (!c) fail_msg("%s: %s", certificate, problem.what);
    return c;
}

static void what_is_wrong_is_said_of_the_right_file(void **state)
{
    (void)state;
    static const struct { const char *certificate, *key; bool of_key; const char *what; } cases[] = {
        { "nowhere", "key", false, "cannot be read: No such file" }, { "cert", "nowhere", true, "cannot be read: No such file" },
        { "nonsense", "key", false, "holds no certificate in PEM form" }, { "cert", "nonsense", true, "holds no key in PEM form, or one with a passphrase" },
        { "key", "key", false, "holds no certificate in PEM form" }, { "cert", "cert", true, "holds no key in PEM form" },
        { "cert", "closed.key", true, "or one with a passphrase" }, { "cert", "other.key", true, "does not belong to the certificate" },
        { "cert", "weak.key", true, "does not belong to the certificate" }, { "weak", "weak.key", false, "cannot be used: ee key too small" },
        { "expired", "key", false, "has expired on 20" }, { "early", "key", false, "is not good before 20" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lun_certificate_problem problem = {0};
        struct lun_certificate *c = lun_certificate_read(path_of(cases[i].certificate), path_of(cases[i].key), lun_clock_wall(), &problem);
        if (c || problem.key != cases[i].of_key || !strstr(problem.what, cases[i].what)) fail_msg("%s with %s: %s", cases[i].certificate, cases[i].key, c ? "taken" : problem.what);
    }
}

static void its_chain_and_its_end_are_known(void **state)
{
    (void)state;
    struct lun_certificate *c = take("chain", "key");
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(c->context, &chain);
    assert_int_equal(sk_X509_num(chain), 1);
    lun_us left = c->expires - lun_clock_wall();
    assert_true(left > 29 * DAY && left <= 30 * DAY);
    lun_certificate_free(c);
}

static void another_file_is_another_digest(void **state)
{
    (void)state;
    struct lun_certificate *a = take("cert", "key"), *b = take("cert", "key"), *c = take("chain", "key");
    assert_memory_equal(a->digest, b->digest, sizeof a->digest);
    assert_memory_not_equal(a->digest, c->digest, sizeof a->digest);
    lun_certificate_free(a);
    lun_certificate_free(b);
    lun_certificate_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_said_of_the_right_file),
        cmocka_unit_test(its_chain_and_its_end_are_known),
        cmocka_unit_test(another_file_is_another_digest),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

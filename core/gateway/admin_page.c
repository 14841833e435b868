/* GET /: the dashboard, one file that is part of the program (page.html). What it may do is said by the hashes of the very script and style that it has. */
#include "base/alloc.h"
#include "gateway/admin_parts.h"
#include "script/bundle.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "'sha256-…'" of what stands between <name …> and </name>. Yours to free. */
static char *hash_of(const char *page, const char *name)
{
    char open[16], close[16];
    unsigned char hash[32];
    unsigned n;
    char text[64];
    snprintf(open, sizeof open, "<%s", name), snprintf(close, sizeof close, "</%s>", name);
    const char *from = strchr(strstr(page, open), '>') + 1, *to = strstr(from, close);
    if (EVP_Digest(from, (size_t)(to - from), hash, &n, EVP_sha256(), NULL) != 1) return lun_strdup("'none'");
    EVP_EncodeBlock((unsigned char *)text, hash, sizeof hash);
    return lun_printf("'sha256-%s'", text);
}

/* Nothing from elsewhere, no other script, no other style, no text that becomes markup, and no page around it. */
static char *policy_of(const char *page)
{
    char *script = hash_of(page, "script"), *style = hash_of(page, "style");
    char *policy = lun_printf("default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                              "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'", script, style);
    free(script), free(style);
    return policy;
}

void lun_admin_page(struct visit *v)
{
    const struct lun_bundle_file *page = lun_bundle_find("core/gateway/page.html");
    char *policy = policy_of(page->start);
    struct lun_pair headers[] = { { "content-type", "text/html; charset=utf-8" }, { "cache-control", "no-store" }, { "content-security-policy", policy },
                                  { "x-content-type-options", "nosniff" }, { "x-frame-options", "DENY" }, { "referrer-policy", "no-referrer" },
                                  { "cross-origin-opener-policy", "same-origin" }, { "cross-origin-resource-policy", "same-origin" } };
    lun_exchange_head(v->exchange, 200, headers, sizeof headers / sizeof *headers, (int64_t)page->size);
    lun_exchange_bytes(v->exchange, page->start, page->size);
    lun_exchange_end(v->exchange, true);
    free(policy);
}

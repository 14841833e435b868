#include "script/loading.h"
#include "state/signing.h"
#include <string.h>

static void check_url(struct lun_loading *l, const struct lun_value *v, const char *url)
{
    size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0;
    if (!scheme || !url[scheme] || strchr("/?#", url[scheme])) lun_wrong(l, v, "must be a URL with http:// or https:// and a host");
    else if (strlen(url) > 2048 || url[strcspn(url, " \t\r\n\"<>\\^`{|}")]) lun_wrong(l, v, "must be a URL of at most 2048 characters, without blanks");
}

static void load_url(struct lun_loading *l, const struct lun_value *v)
{
    const char *url = v->type == LUN_VALUE_TEXT || v->type == LUN_VALUE_SECRET ? lun_check_secret(l, v, NULL) : NULL;
    if (v->type != LUN_VALUE_TEXT && v->type != LUN_VALUE_SECRET) lun_wrong(l, v, "must be a URL with http:// or https://, as text or secret \"NAME\"");
    if (!url) return;
    check_url(l, v, url);
    l->snapshot->webhook = url;
}

static void load_secret(struct lun_loading *l, const struct lun_value *v)
{
    unsigned char key[LUN_SIGNING_KEY];
    size_t n;
    const char *secret = lun_check_secret(l, v, "must not stand here as text: write secret \"NAME\" and put it into that environment variable");
    if (secret && !lun_signing_key(secret, key, &n)) lun_wrong(l, v, "must be \"whsec_\" and base64 of 24 to 64 bytes, or any text of 24 to 256 bytes");
    explicit_bzero(key, sizeof key);
    l->snapshot->webhook_secret = secret;
}

void lun_load_webhook(struct lun_loading *l)
{
    struct lun_value *v = lun_value_get(l->root, "webhook"), *url = lun_value_get(v, "url");
    if (!v || (v->type == LUN_VALUE_BOOL && !v->yes)) return;
    lun_origin(l, url && url->from ? url : v, "webhook", "(hidden)");
    if (v->type != LUN_VALUE_TABLE) { load_url(l, v); return; }
    lun_check(l, LUN_SCOPE_WEBHOOK, v, NULL, 0, "webhook.");
    if (url) load_url(l, url);
    if (lun_value_get(v, "secret")) load_secret(l, lun_value_get(v, "secret"));
}

#include "wire/upstream_parts.h"
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>

/* Of the connection itself: the system's word for it, or none. */
static const char *system_says(struct lun_upstream_call *c, long *number)
{
    *number = 0;
    curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, number);
    return *number ? strerror((int)*number) : NULL;
}

static void tls(struct lun_upstream_call *c, CURLcode r)
{
    long verdict = 0;
    curl_easy_getinfo(c->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
    /* 1 (unspecified) is where libcurl begins, and stays when it is the name that does not fit */
    if (r != CURLE_PEER_FAILED_VERIFICATION) { end_say(c, LUN_KIND_TLS, "the TLS handshake failed", NULL); return; }
    if (verdict > 1) end_say(c, LUN_KIND_TLS, "its certificate is not trusted", X509_verify_cert_error_string(verdict));
    else end_say(c, LUN_KIND_TLS, "its certificate is for another host name", NULL);
}

static void unconnected(struct lun_upstream_call *c, CURLcode r)
{
    long number;
    const char *why = system_says(c, &number);
    const char *proxy = *c->site->proxy ? "no connection through the proxy" : "no connection";
    if (r == CURLE_OPERATION_TIMEDOUT || number == ETIMEDOUT) end_say(c, LUN_KIND_CONNECT_TIMEOUT, "no connection in time", NULL);
    else if (c->barred) end_say(c, LUN_KIND_CONNECT_REFUSED, "it leads to an address of the local link, of a metadata service or of the admin interface", NULL);
    else end_say(c, LUN_KIND_CONNECT_REFUSED, proxy, why);
}

static void broken(struct lun_upstream_call *c, CURLcode r)
{
    long number;
    const char *why = r == CURLE_RECV_ERROR || r == CURLE_SEND_ERROR ? system_says(c, &number) : NULL;      /* else it is of an older mishap */
    if (strstr(c->error, "chunked-encoding")) end_say(c, LUN_KIND_BAD_ANSWER, "the answer's chunks are malformed", NULL);
    else if (c->head.whole) end_say(c, LUN_KIND_CUT, "the answer ended too early", why);
    else if (r == CURLE_GOT_NOTHING) end_say(c, LUN_KIND_RESET, "the connection closed without an answer", why);
    else end_say(c, LUN_KIND_RESET, "the connection broke before a whole answer head", why);
}

static void classify(struct lun_upstream_call *c, CURLcode r)
{
    switch (r) {
    case CURLE_OK:
        if (c->needs_seal && !c->sealed) end_say(c, LUN_KIND_CUT, "the connection ended, without word that the answer did", NULL);
        else if (c->head.whole) end_good(c);
        else broken(c, r);      /* libcurl is content with half a head */
        break;
    case CURLE_COULDNT_RESOLVE_HOST: end_say(c, LUN_KIND_DNS, "its name could not be resolved", NULL); break;
    case CURLE_COULDNT_RESOLVE_PROXY: end_say(c, LUN_KIND_DNS, "the proxy's name could not be resolved", NULL); break;
    case CURLE_SSL_CONNECT_ERROR: case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CIPHER: case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM: case CURLE_SSL_ISSUER_ERROR: case CURLE_SSL_INVALIDCERTSTATUS: case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_ENGINE_INITFAILED: case CURLE_SSL_PINNEDPUBKEYNOTMATCH: case CURLE_SSL_CLIENTCERT:
        tls(c, r);
        break;
    case CURLE_BAD_FUNCTION_ARGUMENT:       /* a folded line with nothing before it */
    case CURLE_WEIRD_SERVER_REPLY: case CURLE_UNSUPPORTED_PROTOCOL: case CURLE_OUT_OF_MEMORY: case CURLE_HTTP2:
        if (c->times.connected) end_say(c, LUN_KIND_BAD_ANSWER, "the answer is not HTTP", NULL); else unconnected(c, r);
        break;
    default:
        if (c->times.connected) broken(c, r); else unconnected(c, r);
    }
}

void curl_explain(struct lun_upstream_call *c, CURLcode r)
{
    curl_off_t sent = 0;
    curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    c->times.left = c->times.connected && (uint64_t)sent >= c->total;
    if (c->kind == LUN_KIND_COUNT) classify(c, r);
}

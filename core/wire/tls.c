#include "wire/tls.h"
#include "base/alloc.h"
#include "state/certificate.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct lun_tls { SSL_CTX *context; };
struct lun_tls_link { SSL *ssl; bool read_wants_write, write_wants_read, broken; };

/* ---- a socket as OpenSSL's own, but for the SIGPIPE ---- */

static int fd_of(BIO *b) { return (int)(intptr_t)BIO_get_data(b); }

static int socket_read(BIO *b, char *to, int n)
{
    ssize_t got = recv(fd_of(b), to, (size_t)n, 0);
    BIO_clear_retry_flags(b);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(b);
    if (got == 0) BIO_set_flags(b, BIO_FLAGS_IN_EOF);
    return (int)got;
}

static int socket_write(BIO *b, const char *at, int n)
{
    ssize_t sent = send(fd_of(b), at, (size_t)n, MSG_NOSIGNAL);
    BIO_clear_retry_flags(b);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(b);
    return (int)sent;
}

static long socket_control(BIO *b, int what, long number, void *pointer)
{
    (void)number, (void)pointer;
    if (what == BIO_CTRL_EOF) return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *sockets;      /* made once, never freed: links outlive what they were made from */

static void make_sockets(void)
{
    sockets = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (!sockets) return;
    BIO_meth_set_read(sockets, socket_read);
    BIO_meth_set_write(sockets, socket_write);
    BIO_meth_set_ctrl(sockets, socket_control);
}

/* ---- certificate and key ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl, (void)arg;
    int got = SSL_select_next_proto(&chosen, n, ours, sizeof ours - 1, in, in_n);
    *out = chosen;
    return got == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_up(SSL_CTX *c)
{
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(c, (const unsigned char *)"lunette", 7);
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    SSL_CTX_set_read_ahead(c, 1);
}

static struct lun_tls *wrong(struct lun_tls *t, char error[256], const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, 256, "%s %.120s: %.80s", what, file, reason ? reason : "no reason was given");
    ERR_clear_error();
    lun_tls_free(t);
    return NULL;
}

static struct lun_tls *make(const SSL_METHOD *method)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct lun_tls *t = lun_zalloc(sizeof *t);
    ERR_clear_error();
    pthread_once(&once, make_sockets);
    t->context = SSL_CTX_new(method);
    return t;
}

static void take_certificate(SSL_CTX *c, SSL_CTX *from)
{
    unsigned char tickets[80];          /* how many OpenSSL 3 takes */
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(from, &chain);
    bool good = SSL_CTX_use_cert_and_key(c, SSL_CTX_get0_certificate(from), SSL_CTX_get0_privatekey(from), chain, 1) == 1
        && SSL_CTX_get_tlsext_ticket_keys(from, tickets, sizeof tickets) == 1 && SSL_CTX_set_tlsext_ticket_keys(c, tickets, sizeof tickets) == 1;
    OPENSSL_cleanse(tickets, sizeof tickets);
    if (!good) abort();                 /* `from` was good enough: there is no memory */
}

struct lun_tls *lun_tls_new(const struct lun_certificate *certificate)
{
    struct lun_tls *t = make(TLS_server_method());
    if (!t->context || !sockets) abort();
    set_up(t->context);
    take_certificate(t->context, certificate->context);
    return t;
}

static void set_up_client(SSL_CTX *c)
{
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **kept = SSL_get_app_data(ssl);
    if (!kept) return 0;
    SSL_SESSION_free(*kept);
    *kept = session;
    return 1;
}

struct lun_tls *lun_tls_of_store(X509_STORE *store)
{
    static const unsigned char ours[] = "\x08http/1.1";
    struct lun_tls *t = make(TLS_client_method());
    if (!t->context || !sockets) { lun_tls_free(t); return NULL; }
    set_up_client(t->context);
    SSL_CTX_set_read_ahead(t->context, 1);
    SSL_CTX_set_alpn_protos(t->context, ours, sizeof ours - 1);
    SSL_CTX_set1_cert_store(t->context, store);
    SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->context, keep_session);
    return t;
}

struct lun_tls *lun_tls_trust(const char *ca, char error[256])
{
    struct lun_tls *t = make(TLS_client_method());
    const char *file = ca ? ca : "of the system";
    if (!t->context || !sockets) return wrong(t, error, "cannot set up TLS with the certificates", file);
    set_up_client(t->context);
    if ((ca ? SSL_CTX_load_verify_file(t->context, ca) : SSL_CTX_set_default_verify_paths(t->context)) == 1) return t;
    return wrong(t, error, "cannot use the certificates", file);
}

void lun_tls_free(struct lun_tls *t)
{
    if (!t) return;
    SSL_CTX_free(t->context);
    free(t);
}

/* ---- one connection ---- */

struct lun_tls_link *lun_tls_link_new(struct lun_tls *t, int fd)
{
    struct lun_tls_link *l = lun_zalloc(sizeof *l);
    BIO *b = BIO_new(sockets);
    l->ssl = SSL_new(t->context);
    l->broken = !b || !l->ssl;
    if (l->broken) { BIO_free(b); return l; }
    BIO_set_data(b, (void *)(intptr_t)fd);
    BIO_set_init(b, 1);
    SSL_set_bio(l->ssl, b, b);
    SSL_set_accept_state(l->ssl);
    return l;
}

static bool expect(SSL *ssl, const char *host)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct lun_tls_link *lun_tls_link_to(struct lun_tls *t, int fd, const char *host)
{
    struct lun_tls_link *l = lun_tls_link_new(t, fd);
    if (l->broken) return l;
    SSL_set_connect_state(l->ssl);
    l->broken = !expect(l->ssl, host);
    return l;
}

void lun_tls_remember(struct lun_tls_link *l, SSL_SESSION **session)
{
    if (l->broken) return;
    SSL_set_app_data(l->ssl, session);
    if (*session && SSL_SESSION_is_resumable(*session)) SSL_set_session(l->ssl, *session);
}

/* What became of a call that moved no bytes; sets errno. */
static ssize_t nothing(struct lun_tls_link *l, int result)
{
    int system = errno, error = SSL_get_error(l->ssl, result);
    bool unsealed = error == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) { errno = EAGAIN; return -1; }
    l->broken = true;
    ERR_clear_error();
    if (unsealed) return 0;
    errno = error == SSL_ERROR_SYSCALL && system && system != EAGAIN ? system : EPROTO;
    return -1;
}

int lun_tls_shake(struct lun_tls_link *l)
{
    if (l->broken) return -1;
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(l->ssl);
    l->read_wants_write = result != 1 && SSL_want_write(l->ssl);
    if (result == 1) return 1;
    return nothing(l, result) < 0 && errno == EAGAIN ? 0 : -1;
}

const char *lun_tls_why(const struct lun_tls_link *l, bool *name)
{
    long verdict = l->ssl ? SSL_get_verify_result(l->ssl) : X509_V_OK;
    *name = verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
    return verdict == X509_V_OK ? NULL : X509_verify_cert_error_string(verdict);
}

bool lun_tls_sealed(const struct lun_tls_link *l) { return l->ssl && SSL_get_shutdown(l->ssl) & SSL_RECEIVED_SHUTDOWN; }

ssize_t lun_tls_read(struct lun_tls_link *l, char *to, size_t n)
{
    size_t got;
    if (l->broken) { errno = EPROTO; return -1; }
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(l->ssl, to, n, &got);
    l->read_wants_write = result != 1 && SSL_want_write(l->ssl);
    l->write_wants_read = false;        /* something came, perhaps what it waited for */
    return result == 1 ? (ssize_t)got : nothing(l, result);
}

ssize_t lun_tls_write(struct lun_tls_link *l, const char *at, size_t n)
{
    size_t sent;
    if (l->broken) { errno = EPROTO; return -1; }
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(l->ssl, at, n, &sent);
    l->write_wants_read = result != 1 && SSL_want_read(l->ssl);
    if (result == 1) return (ssize_t)sent;
    if (nothing(l, result) < 0) {
        if (errno != EAGAIN) l->broken = errno == EPROTO;       /* what came before it was hung up can still be read */
        return -1;
    }
    errno = EPIPE;
    return -1;
}

bool lun_tls_wants_write(const struct lun_tls_link *l, bool waiting)
{
    return l->read_wants_write || (waiting && !l->write_wants_read);
}

uint64_t lun_tls_sent(const struct lun_tls_link *l) { return l->broken ? 0 : BIO_number_written(SSL_get_wbio(l->ssl)); }
bool lun_tls_pending(const struct lun_tls_link *l) { return !l->broken && SSL_has_pending(l->ssl); }

void lun_tls_shut(struct lun_tls_link *l)
{
    if (l->broken || !SSL_is_init_finished(l->ssl)) return;
    ERR_clear_error();
    SSL_shutdown(l->ssl);
    ERR_clear_error();
}

/* A connection that goes without a word would take its session with it: OpenSSL does not let it be resumed. */
void lun_tls_link_free(struct lun_tls_link *l)
{
    if (l->ssl && !l->broken) SSL_set_shutdown(l->ssl, SSL_get_shutdown(l->ssl) | SSL_SENT_SHUTDOWN);
    SSL_free(l->ssl);
    free(l);
}

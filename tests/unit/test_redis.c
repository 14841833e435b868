/* The client against a real redis-server, and against one that says whatever a test wants. */
#include "redis_server.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "state/redis_address.h"
#include "wire/listen.h"
#include "wire/redis.h"
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/tcp.h>

#define PATIENCE (20 * LUN_SECOND)      /* of a test: then it has failed */
static lun_us timeout;
static int at_once;

static struct lun_reactor *reactor;
static struct redis_server server;
static struct lun_redis *redis;
static bool up;
static int ups, downs;
static enum lun_redis_error kind;
static char why[LUN_REDIS_WHY];

static void on_state(void *self, bool connected, enum lun_redis_error e, const char *text)
{
    (void)self;
    up = connected, ups += connected, downs += !connected, kind = e;
    snprintf(why, sizeof why, "%s", text ? text : "");
}

static void nothing(evutil_socket_t fd, short what, void *self) { (void)fd, (void)what, (void)self; }

static void turn(void)
{
    const struct timeval soon = { .tv_usec = 50000 };
    event_base_once(reactor->base, -1, EV_TIMEOUT, nothing, NULL, &soon);
    event_base_loop(reactor->base, EVLOOP_ONCE);
}

#define UNTIL(condition) do { \
        lun_us until_ = lun_clock_now() + PATIENCE; \
        while (!(condition)) { if (lun_clock_now() > until_) fail_msg("in vain for %s; %s", #condition, why); turn(); } \
    } while (0)

static void open_url(const char *url, const char *ca)
{
    char error[LUN_REDIS_WHY];
    const struct lun_redis_options o = { .reactor = reactor, .url = url, .ca = ca, .timeout = timeout, .at_once = at_once, .silence = at_once ? timeout : 0, .state = on_state };
    up = false, ups = downs = 0, *why = 0;
    lun_reactor_enter(reactor);
    redis = lun_redis_new(&o, error);
    lun_reactor_leave_later(reactor);
    if (!redis) fail_msg("%s", error);
}

static void close_url(void)
{
    lun_reactor_enter(reactor);
    lun_redis_free(redis);
    lun_reactor_leave(reactor);
    redis = NULL;
}

static const char *url_with(const char *user)
{
    static char url[256];
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%d", user, server.port);
    return url;
}

static void connect_to(void)
{
    open_url(url_with(""), NULL);
    UNTIL(up);
}

/* ---- calls ---- */

struct said { int times, order; enum lun_redis_result result; enum lun_redis_error kind; char why[LUN_REDIS_WHY]; int n; char items[8][64]; bool nil[8]; };
static int order;

static void on_done(void *self, const struct lun_redis_reply *r)
{
    struct said *s = self;
    s->times++, s->order = ++order, s->result = r->result, s->kind = r->kind, s->n = r->n;
    snprintf(s->why, sizeof s->why, "%s", r->why ? r->why : "");
    for (int i = 0; i < r->n && i < 8; i++) {
        s->nil[i] = !r->items[i];
        if (r->items[i]) memcpy(s->items[i], r->items[i], r->lens[i] < 63 ? r->lens[i] + 1 : 63);
    }
}

static bool call(struct said *s, const char *script, const char *argument)
{
    memset(s, 0, sizeof *s);
    lun_reactor_enter(reactor);
    bool taken = lun_redis_eval(redis, script, "lunette:money", &argument, NULL, argument ? 1 : 0, on_done, s);
    assert_int_equal(s->times, 0);
    lun_reactor_leave_later(reactor);
    return taken;
}

static struct said ask(const char *script, const char *argument)
{
    static struct said s;
    UNTIL(up);
    assert_true(call(&s, script, argument));
    UNTIL(s.times);
    return s;
}

static const char put[] = "redis.call('HSET', KEYS[1], 'x', ARGV[1]) return 'put'", get[] = "return redis.call('HGET', KEYS[1], 'x')";

static void expect_error(const char *script, enum lun_redis_error e)
{
    struct said s = ask(script, "1");
    if (s.result != LUN_REDIS_ERROR || s.kind != e) fail_msg("%d %s: %s", s.result, lun_redis_error_word(s.kind), s.why);
    assert_non_null(strstr(s.why, "redis://127.0.0.1:"));
}

static void expect_put(void)
{
    struct said s = ask(put, "1");
    if (s.result != LUN_REDIS_OK) fail_msg("%s", s.why);
}

static void an_answer_is_a_flat_list(void **state)
{
    (void)state;
    connect_to();
    struct said s = ask("return { 'a', 7, false, KEYS[1], ARGV[1], -9007199254740991 }", "b c");
    assert_int_equal(s.result, LUN_REDIS_OK);
    assert_int_equal(s.n, 6);
    assert_string_equal(s.items[0], "a");
    assert_string_equal(s.items[1], "7");
    assert_true(s.nil[2] && !s.nil[1]);
    assert_string_equal(s.items[3], "lunette:money");
    assert_string_equal(s.items[4], "b c");
    assert_string_equal(s.items[5], "-9007199254740991");
    s = ask("return 5", NULL);
    assert_true(s.n == 1 && !strcmp(s.items[0], "5"));
    s = ask(get, NULL);
    assert_true(s.n == 1 && s.nil[0]);
    s = ask("return {}", NULL);
    assert_true(s.result == LUN_REDIS_OK && s.n == 0);
}

static void arguments_are_any_bytes(void **state)
{
    const char *const args[] = { "a\0\r\n$1", "" };
    const size_t lens[] = { 6, 0 };
    struct said s = { 0 };
    (void)state;
    connect_to();
    lun_reactor_enter(reactor);
    assert_true(lun_redis_eval(redis, "return { #ARGV[1], #ARGV[2], ARGV[1] }", "k", args, lens, 2, on_done, &s));
    lun_reactor_leave_later(reactor);
    UNTIL(s.times);
    assert_string_equal(s.items[0], "6");
    assert_string_equal(s.items[1], "0");
    assert_memory_equal(s.items[2], args[0], 6);
}

static void a_script_that_is_not_known_is_sent_whole(void **state)
{
    struct said s[3];
    (void)state;
    connect_to();
    expect_put();
    redis_do(&server, "CONFIG RESETSTAT");
    expect_put();
    assert_non_null(strstr(redis_do(&server, "INFO commandstats"), "cmdstat_evalsha"));
    assert_string_equal(redis_do(&server, "SCRIPT FLUSH"), "OK");
    ask(get, NULL);                                 /* known again */
    assert_true(call(&s[0], put, "2") && call(&s[1], get, NULL) && call(&s[2], "return 3", NULL));
    UNTIL(s[2].times);
    assert_string_equal(s[1].items[0], "2");        /* in the order of the calls, though the first was not known and the second was */
    assert_true(s[0].order + 1 == s[1].order && s[1].order + 1 == s[2].order);
    for (int i = 0; i < 3; i++) assert_true(s[i].times == 1 && s[i].result == LUN_REDIS_OK);
}

static void an_error_of_the_script_is_the_call_s_alone(void **state)
{
    (void)state;
    connect_to();
    expect_error("return redis.call('LPUSH')", LUN_REDIS_OTHER);
    expect_error("return nonsense.x", LUN_REDIS_OTHER);
    expect_error("this is no Lua", LUN_REDIS_OTHER);
    expect_put();
    assert_int_equal(ups, 1);
}

static void what_is_emptied_is_empty(void **state)
{
    (void)state;
    connect_to();
    expect_put();
    assert_string_equal(redis_do(&server, "FLUSHALL"), "OK");
    assert_true(ask(get, NULL).nil[0]);
}

/* ---- Redis' own errors ---- */

static void a_full_memory_changes_nothing(void **state)
{
    (void)state;
    connect_to();
    expect_put();
    redis_do(&server, "CONFIG SET maxmemory 1");
    expect_error("redis.call('HSET', KEYS[1], 'x', 'other') return 1", LUN_REDIS_OOM);
    redis_do(&server, "CONFIG SET maxmemory 0");
    assert_string_equal(ask(get, NULL).items[0], "1");
    assert_int_equal(ups, 1);
}

static void a_replica_is_left_and_looked_up_anew(void **state)
{
    (void)state;
    connect_to();
    redis_do(&server, "REPLICAOF 127.0.0.1 %d", free_port());
    expect_error(put, LUN_REDIS_READONLY);
    UNTIL(!up || ups > 1);
    assert_true(downs > 0);
    redis_do(&server, "REPLICAOF NO ONE");
    UNTIL(up);
    expect_put();
}

static void a_replica_without_master_is_named(void **state)
{
    (void)state;
    redis_do(&server, "CONFIG SET replica-serve-stale-data no");
    redis_do(&server, "REPLICAOF 127.0.0.1 %d", free_port());
    open_url(url_with(""), NULL);
    UNTIL(downs);
    assert_int_equal(kind, LUN_REDIS_MASTERDOWN);
    redis_do(&server, "REPLICAOF NO ONE");
    UNTIL(up);
    expect_put();
}

static void a_password_that_is_asked_for_or_wrong_is_told(void **state)
{
    (void)state;
    redis_do(&server, "CONFIG SET requirepass s3cret/@:x");
    open_url(url_with(""), NULL);
    UNTIL(downs && kind == LUN_REDIS_NOAUTH);
    close_url();
    open_url(url_with(":wr0ng@"), NULL);
    UNTIL(downs && kind == LUN_REDIS_WRONGPASS);
    assert_null(strstr(why, "wr0ng"));
    close_url();
    open_url(url_with(":s3cret%2F%40%3Ax@"), NULL);
    UNTIL(up);
    expect_put();
    assert_int_equal(downs, 0);
}

static void a_password_where_none_is_asked_for_is_told_without_it(void **state)
{
    (void)state;
    open_url(url_with(":s3cret@"), NULL);
    UNTIL(downs);
    assert_int_equal(kind, LUN_REDIS_OTHER);
    assert_non_null(strstr(why, "AUTH"));
    assert_null(strstr(why, "s3cret"));
}

static void what_a_user_may_not_is_told(void **state)
{
    (void)state;
    redis_do(&server, "ACL SETUSER ann on >pw ~lunette:* +@all -@dangerous +info");
    open_url(url_with("ann:pw@"), NULL);
    UNTIL(up);
    expect_put();
    redis_do(&server, "ACL SETUSER ann -hset");
    expect_error(put, LUN_REDIS_NOPERM);
    redis_do(&server, "ACL SETUSER ann +hset resetkeys ~other:*");
    expect_error(put, LUN_REDIS_NOPERM);
    redis_do(&server, "ACL SETUSER ann ~lunette:* -evalsha -eval");
    expect_error(put, LUN_REDIS_NOPERM);
}

static void somebody_s_endless_script_is_named(void **state)
{
    (void)state;
    redis_do(&server, "CONFIG SET busy-reply-threshold 1");
    connect_to();
    redisContext *other = redisConnectUnix(server.socket);
    redisAppendCommand(other, "EVAL %s 0", "while true do end");
    int done = 0;
    while (!done) redisBufferWrite(other, &done);
    UNTIL(ask(put, "1").kind == LUN_REDIS_BUSY);
    redis_do(&server, "SCRIPT KILL");
    UNTIL(up && ask(put, "1").result == LUN_REDIS_OK);
    redisFree(other);
}

static void loading_is_told_and_waited_for(void **state)
{
    (void)state;
    assert_string_equal(redis_do(&server, "DEBUG POPULATE 20000"), "OK");
    assert_string_equal(redis_do(&server, "SAVE"), "OK");
    connect_to();
    redis_kill(&server);
    UNTIL(!up);
    const char *slow[] = { "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024" };
    for (int i = 0; i < 4; i++) server.args[server.n++] = strdup(slow[i]);
    redis_run(&server);
    UNTIL(kind == LUN_REDIS_LOADING);
    assert_false(up);
    redis_do(&server, "CONFIG SET key-load-delay 0");
    UNTIL(up);
    expect_put();
}

/* ---- the connection ---- */

static void a_redis_that_is_killed_is_noticed_and_found_again(void **state)
{
    (void)state;
    connect_to();
    for (int i = 1; i <= 5; i++) {
        redis_kill(&server);
        struct said s;
        bool taken = call(&s, put, "1");        /* it may not know yet */
        UNTIL(!up);
        assert_int_equal(s.times, taken);
        if (taken) assert_int_equal(s.result, LUN_REDIS_GONE);
        assert_false(call(&s, put, "1"));
        redis_run(&server);
        UNTIL(up);
        assert_int_equal(ups, i + 1);
        expect_put();
    }
}

static void a_redis_that_is_stuck_is_noticed_in_time(void **state)
{
    struct said s[2];
    (void)state;
    timeout = 200 * LUN_MS;
    connect_to();
    expect_put();
    kill(server.pid, SIGSTOP);
    lun_us began = lun_clock_now();
    assert_true(call(&s[0], put, "2") && call(&s[1], put, "3"));
    UNTIL(!up);
    assert_true(s[0].times && s[1].times);      /* all of them, before the state is told */
    lun_us took = lun_clock_now() - began;
    assert_true(took >= timeout && took < timeout + 500 * LUN_MS);
    for (int i = 0; i < 2; i++) assert_true(s[i].result == LUN_REDIS_GONE && s[i].kind == LUN_REDIS_SILENT);
    assert_false(up);
    UNTIL(downs > 1);                           /* "connecting": the system takes the connection, nobody answers */
    assert_int_equal(kind, LUN_REDIS_SILENT);
    kill(server.pid, SIGCONT);
    UNTIL(up);
    expect_put();
    print_message("a stuck Redis was noticed after %.0f ms, with a time-out of %.0f ms\n", (double)took / 1000, (double)timeout / 1000);
}

static void nobody_there_is_told_once(void **state)
{
    (void)state;
    redis_kill(&server);
    open_url(url_with(""), NULL);
    UNTIL(downs);
    assert_int_equal(kind, LUN_REDIS_UNREACHABLE);
    assert_non_null(strstr(why, "Connection refused"));
    for (int i = 0; i < 8; i++) turn();
    assert_int_equal(downs, 1);
    close_url();
    open_url("redis://nobody.invalid", NULL);
    UNTIL(downs);
    assert_int_equal(kind, LUN_REDIS_UNREACHABLE);
}

static int looked_up, first_port;

/* Instead of the C library's: a name that stands for 127.0.0.1 twice, first with first_port. freeaddrinfo takes a chain made of two. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    char other[8];
    if (!host || strcmp(host, "two.test")) return real(host, port, hints, found);
    looked_up++;
    snprintf(other, sizeof other, "%d", first_port);
    int error = real("127.0.0.1", other, hints, found);
    return error ? error : real("127.0.0.1", port, hints, &(*found)->ai_next);
}

static void connect_by_name(void)
{
    char url[64];
    snprintf(url, sizeof url, "redis://two.test:%d", server.port);
    open_url(url, NULL);
    UNTIL(up);
    expect_put();
    assert_true(downs == 0 && looked_up == 1);
}

static void the_next_address_is_tried_when_one_refuses(void **state)
{
    (void)state;
    first_port = free_port(), looked_up = 0;
    connect_by_name();
    redis_kill(&server);
    UNTIL(!up);
    redis_run(&server);
    UNTIL(up);
    assert_true(looked_up > 1);         /* a name is looked up anew each time */
}

static void the_next_address_is_tried_when_one_is_silent(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[4];
    (void)state;
    assert_int_equal(bind(full, (struct sockaddr *)&a, sizeof a) || listen(full, 0) || getsockname(full, (struct sockaddr *)&a, &n), 0);
    for (int i = 0; i < 4; i++) {       /* nobody accepts: soon the system lets no more in */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&a, sizeof a);
    }
    timeout = 200 * LUN_MS, first_port = ntohs(a.sin_port), looked_up = 0;
    connect_by_name();
    for (int i = 0; i < 4; i++) close(fill[i]);
    close(full);
}

static void a_unix_socket_and_a_database_are_used(void **state)
{
    char url[128];
    (void)state;
    snprintf(url, sizeof url, "unix:%s?db=3", server.socket);
    open_url(url, NULL);
    UNTIL(up);
    expect_put();
    assert_string_equal(redis_do(&server, "EXISTS lunette:money"), "0");
    redis_do(&server, "SELECT 3");
    assert_string_equal(redis_do(&server, "EXISTS lunette:money"), "1");
    close_url();
    snprintf(url, sizeof url, "unix:%s?db=99", server.socket);
    open_url(url, NULL);
    UNTIL(downs);
    assert_non_null(strstr(why, "DB index is out of range"));
}

static void what_waits_when_it_is_freed_is_forgotten(void **state)
{
    struct said s;
    (void)state;
    connect_to();
    assert_true(call(&s, put, "1"));
    close_url();
    turn();
    assert_int_equal(s.times, 0);
}

static void too_many_calls_are_refused(void **state)
{
    static struct said s[LUN_REDIS_WAITING];
    (void)state;
    connect_to();
    for (int i = 0; i < LUN_REDIS_WAITING; i++) assert_true(call(&s[i], get, NULL));
    struct said more;
    assert_false(call(&more, get, NULL));
    UNTIL(s[LUN_REDIS_WAITING - 1].times);
    assert_true(call(&more, get, NULL));
    UNTIL(more.times);
}

static void several_calls_at_once_are_each_answered_as_they_were_asked(void **state)
{
    enum { N = 200 };
    static struct said s[N];
    char number[N][8];
    (void)state;
    at_once = 16;
    connect_to();
    expect_put();
    assert_string_equal(redis_do(&server, "SCRIPT FLUSH"), "OK");
    for (int i = 0; i < N; i++) {
        snprintf(number[i], sizeof *number, "%d", i);
        assert_true(call(&s[i], i % 3 ? "return ARGV[1]" : "return ARGV[1] + 0", number[i]));
    }
    for (int i = 0; i < N; i++) UNTIL(s[i].times);
    for (int i = 0; i < N; i++) {
        assert_true(s[i].times == 1 && s[i].result == LUN_REDIS_OK);
        assert_string_equal(s[i].items[0], number[i]);
    }
}

static void all_that_are_out_are_told_when_the_connection_ends(void **state)
{
    static struct said s[40];
    (void)state;
    timeout = 200 * LUN_MS, at_once = 16;
    connect_to();
    expect_put();
    kill(server.pid, SIGSTOP);
    for (int i = 0; i < 40; i++) assert_true(call(&s[i], put, "2"));
    UNTIL(!up);
    for (int i = 0; i < 40; i++) assert_true(s[i].times == 1 && s[i].result == LUN_REDIS_GONE);
    kill(server.pid, SIGCONT);
    UNTIL(up);
    expect_put();
}

/* ---- TLS ---- */

static void shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static void certificate(const char *folder, const char *name)
{
    shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x -addext subjectAltName=%s -keyout key.pem -out cert.pem 2>/dev/null", folder, name);
}

static void tls_checks_the_certificate(void **state)
{
    char folder[] = "/tmp/lunette-redis-tls-XXXXXX", cert[64], key[64], port[8], url[64], error[LUN_REDIS_WHY];
    (void)state;
    assert_non_null(mkdtemp(folder));
    certificate(folder, "IP:127.0.0.1,DNS:localhost");
    snprintf(cert, sizeof cert, "%s/cert.pem", folder), snprintf(key, sizeof key, "%s/key.pem", folder), snprintf(port, sizeof port, "%d", free_port());
    redis_end(&server);
    redis_start(&server, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no", NULL);
    redis_by(&server);
    for (int i = 0; i < 2; i++) {
        snprintf(url, sizeof url, "rediss://%s:%s/1", i ? "localhost" : "127.0.0.1", port);
        open_url(url, cert);
        UNTIL(up);
        expect_put();
        struct said s = ask("return string.rep('x', 200000)", NULL);
        assert_true(s.result == LUN_REDIS_OK && s.n == 1);
        close_url();
    }
    open_url(url, NULL);                /* signed by nobody that the system trusts */
    UNTIL(downs);
    assert_int_equal(kind, LUN_REDIS_TLS);
    close_url();
    certificate(folder, "DNS:elsewhere");           /* trusted, but another's */
    assert_string_equal(redis_do(&server, "CONFIG SET tls-cert-file %s tls-key-file %s", cert, key), "OK");
    snprintf(url, sizeof url, "rediss://127.0.0.1:%s", port);
    open_url(url, cert);
    UNTIL(downs);
    assert_int_equal(kind, LUN_REDIS_TLS);
    close_url();
    const struct lun_redis_options o = { .reactor = reactor, .url = url, .ca = "/nowhere.pem", .state = on_state };
    assert_null(lun_redis_new(&o, error));
    assert_non_null(strstr(error, "/nowhere.pem"));
    shell("rm -rf %s", folder);
}

/* ---- a server that says what it is told ---- */

static struct { int fd, at; const char *says[8]; struct event *listening, *talking; } fake;

static void on_talk(evutil_socket_t fd, short what, void *self)
{
    char bytes[8192];
    (void)what, (void)self;
    if (read(fd, bytes, sizeof bytes) > 0 && fake.says[fake.at]) {
        const char *text = fake.says[fake.at++];
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return;
    }
    event_free(fake.talking), fake.talking = NULL;
    close(fd);
}

static void on_caller(evutil_socket_t fd, short what, void *self)
{
    (void)what, (void)self;
    int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), any = INT32_MAX;
    setsockopt(got, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &any, sizeof any);      /* says all at once, unlike what else listens like this */
    if (fake.talking) close(event_get_fd(fake.talking)), event_free(fake.talking);
    fake.at = 0;
    fake.talking = event_new(reactor->base, got, EV_READ | EV_PERSIST, on_talk, NULL);
    event_add(fake.talking, NULL);
}

/* Answers to each packet in turn. */
static void fake_says(const char *first, const char *second, const char *user)
{
    char error[256], url[64];
    memset(&fake, 0, sizeof fake);
    fake.says[0] = first, fake.says[1] = second;
    assert_true(lun_listen("127.0.0.1:0", 1, &fake.fd, error));
    fake.listening = event_new(reactor->base, fake.fd, EV_READ | EV_PERSIST, on_caller, NULL);
    event_add(fake.listening, NULL);
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%d", user, lun_listen_port(fake.fd));
    open_url(url, NULL);
}

static void fake_ends(void)
{
    close_url();
    if (fake.talking) close(event_get_fd(fake.talking)), event_free(fake.talking);
    event_free(fake.listening);
    close(fake.fd);
}

static void a_node_of_a_cluster_names_the_other(void **state)
{
    (void)state;
    fake_says("+PONG\r\n", "-MOVED 3999 10.0.0.7:6381\r\n", "");
    UNTIL(up);
    struct said s = ask(put, "1");
    assert_true(s.result == LUN_REDIS_ERROR && s.kind == LUN_REDIS_MOVED);
    assert_non_null(strstr(s.why, "10.0.0.7:6381"));
    fake_ends();
}

static void what_no_redis_says_ends_the_connection(void **state)
{
    static char deep[] = "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n";
    char *large = lun_printf("$%d\r\n%*s", 4 << 20, LUN_REDIS_ANSWER + 70000, "");
    const char *const strange[] = { "*65537\r\n",  "HTTP/1.1 400 Bad Request\r\n\r\n", "*1\r\n*1\r\n:1\r\n", deep, "*-5\r\n", "*99999999999\r\n", "$-7\r\nx", ":9x\r\n", "*2147483647\r\n", "+a\r\n+b\r\n", large };
    (void)state;
    timeout = 200 * LUN_MS;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        fake_says("+PONG\r\n", strange[i], "");
        UNTIL(up);
        struct said s;
        assert_true(call(&s, put, "1"));
        UNTIL(!up);
        if (kind != LUN_REDIS_STRANGE) fail_msg("%zu: %s", i, why);
        assert_int_equal(s.times, 1);
        assert_int_equal(s.result, i == 9 ? LUN_REDIS_OK : LUN_REDIS_GONE);
        fake_ends();
        fake_says(strange[i], NULL, "");        /* as a greeting */
        UNTIL(downs);
        fake_ends();
    }
    free(large);
}

static void a_password_that_is_repeated_by_the_other_side_is_not(void **state)
{
    static const char *const texts[] = { "-ERR unknown command 'AUTH', with args beginning with: 'ann' 'hunt\r\n", "-WRONGPASS hunter2 is wrong\r\n" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_says(texts[i], NULL, "ann:hunter2@");
        UNTIL(downs);
        assert_null(strstr(why, "hunt"));
        fake_ends();
    }
    fake_says("-ERR\x1b[31m \x01 max number of clients reached\r\n", NULL, "");
    UNTIL(downs);
    for (const char *c = why; *c; c++) assert_true(*c >= ' ' && *c <= '~');
    fake_ends();
}

static void kinds_are_read_from_the_first_word_or_from_inside(void **state)
{
    static const struct { const char *text; enum lun_redis_error e; } cases[] = {
        { "OOM command not allowed when used memory > 'maxmemory'.", LUN_REDIS_OOM },
        { "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'. ", LUN_REDIS_OOM },
        { "ERR Error running script (call to f_0): @user_script:9: @user_script: 9: -READONLY You can't write against a read only replica. ", LUN_REDIS_READONLY },
        { "ERR Error running script (call to f_0): @user_script:9: x: -EVIL ", LUN_REDIS_OTHER },
        { "MISCONF Redis is configured to save RDB snapshots, but", LUN_REDIS_MISCONF }, { "NOREPLICAS Not enough good replicas to write.", LUN_REDIS_NOREPLICAS },
        { "BUSYGROUP x", LUN_REDIS_OTHER }, { "BUSY Redis is busy", LUN_REDIS_BUSY }, { "ASK 1 h:1", LUN_REDIS_ASK }, { "CLUSTERDOWN x", LUN_REDIS_CLUSTERDOWN },
        { "DENIED Redis is running in protected mode", LUN_REDIS_DENIED }, { "CLOSED x", LUN_REDIS_OTHER }, { "TLS", LUN_REDIS_OTHER }, { "", LUN_REDIS_OTHER }, { "ERR", LUN_REDIS_OTHER },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lun_redis_error_of(cases[i].text) != cases[i].e) fail_msg("%s → %s", cases[i].text, lun_redis_error_word(lun_redis_error_of(cases[i].text)));
}

/* ---- addresses ---- */

static void addresses_are_read(void **state)
{
    static const struct { const char *url, *shown, *user, *password; } good[] = {
        { "redis://localhost", "redis://localhost:6379" }, { "redis://10.0.0.5:6380/2", "redis://10.0.0.5:6380/2" }, { "redis://h/", "redis://h:6379" },
        { "redis://:pw@h:1", "redis://h:1", NULL, "pw" }, { "rediss://ann:p%40%2f%3A%25@h-1.example", "rediss://h-1.example:6379", "ann", "p@/:%" },
        { "redis://[::1]:7/0", "redis://[::1]:7" }, { "redis://[2001:db8::1]", "redis://[2001:db8::1]:6379" }, { "redis://@h", "redis://h:6379" },
        { "unix:/run/redis.sock", "unix:/run/redis.sock" }, { "unix:///run/r.sock?db=4", "unix:/run/r.sock?db=4" }, { "unix://:pw@/run/r.sock", "unix:/run/r.sock", NULL, "pw" },
        { "unix:/run/a@b.sock", "unix:/run/a@b.sock" },
    };
    struct lun_redis_address a;
    char shown[128];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *problem = lun_redis_address_read(&a, good[i].url);
        if (problem) fail_msg("%s: %s", good[i].url, problem);
        lun_redis_address_show(&a, shown, sizeof shown);
        assert_string_equal(shown, good[i].shown);
        assert_true(!a.user == !good[i].user && !a.password == !good[i].password);
        if (a.user) assert_string_equal(a.user, good[i].user);
        if (a.password) assert_string_equal(a.password, good[i].password);
    }
}

static void what_is_no_address_is_told_without_what_it_holds(void **state)
{
    static const char *const bad[] = { "", "localhost:6379", "http://h", "redis:h", "redis://", "redis://:s3cret", "redis://s3cret@h", "redis://ann:@h", "redis://:s3/cret@h", "redis://:s3@cret@h",
        "redis://:s3:cret@h", "redis://:s3%zzcret@h", "redis://:s3cret%00@h", "redis://:s3cret%@h", "redis://:s3cret%4@h", "redis://:s3#cret@h", "redis://:s3?cret@h", "redis://h:0", "redis://h:65536",
        "redis://h:6x", "redis://h:", "redis://h/x", "redis://h/-1", "redis://h/9999999", "redis://h/1/2", "redis://h?db=1", "redis://[::1", "redis://[::g]", "redis://[::1]x", "redis://[]", "redis://h h",
        "redis://h\x01", "redis://h\xc3\xa4", "unix:", "unix:run.sock", "unix:/", "unix://host", "unix://s3cret/run.sock", "unix:/x?db=", "unix:/x?db=a", "redis://:@h" };
    struct lun_redis_address a;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *problem = lun_redis_address_read(&a, bad[i]);
        if (!problem) fail_msg("%s is taken", bad[i]);
        assert_true(!strncmp(problem, "must ", 5) && !strstr(problem, "s3"));
    }
    char *long_one = lun_printf("redis://:%*s@h", LUN_REDIS_URL_MOST, ""), *path = lun_printf("unix:/%0108d", 0);
    for (char *c = long_one; *c; c++) if (*c == ' ') *c = 'p';
    assert_non_null(lun_redis_address_read(&a, long_one));
    long_one[9 + LUN_REDIS_URL_MOST - 11] = '@', strcpy(long_one + 9 + LUN_REDIS_URL_MOST - 10, "h");
    assert_int_equal(strlen(long_one), LUN_REDIS_URL_MOST);
    assert_null(lun_redis_address_read(&a, long_one));
    assert_non_null(lun_redis_address_read(&a, path));
    free(long_one), free(path);
}

/* ---- */

static int set_up(void **state)
{
    (void)state;
    reactor = lun_reactor_new(NULL);
    timeout = LUN_SECOND, at_once = 0;
    memset(&server, 0, sizeof server);
    return reactor ? 0 : -1;
}

static int set_up_server(void **state)
{
    if (set_up(state)) return -1;
    redis_start(&server, NULL);
    redis_by(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (redis) close_url();
    lun_reactor_free(reactor);
    redis_end(&server);
    return 0;
}

#define R(name) cmocka_unit_test_setup_teardown(name, set_up_server, tear_down)
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        R(an_answer_is_a_flat_list), R(arguments_are_any_bytes), R(a_script_that_is_not_known_is_sent_whole), R(an_error_of_the_script_is_the_call_s_alone), R(what_is_emptied_is_empty),
        R(a_full_memory_changes_nothing), R(a_replica_is_left_and_looked_up_anew), R(a_replica_without_master_is_named), R(a_password_that_is_asked_for_or_wrong_is_told),
        R(a_password_where_none_is_asked_for_is_told_without_it), R(what_a_user_may_not_is_told), R(somebody_s_endless_script_is_named), R(loading_is_told_and_waited_for),
        R(a_redis_that_is_killed_is_noticed_and_found_again), R(a_redis_that_is_stuck_is_noticed_in_time), R(nobody_there_is_told_once), R(the_next_address_is_tried_when_one_refuses), R(the_next_address_is_tried_when_one_is_silent),
        R(a_unix_socket_and_a_database_are_used), R(what_waits_when_it_is_freed_is_forgotten), R(too_many_calls_are_refused), R(several_calls_at_once_are_each_answered_as_they_were_asked),
        R(all_that_are_out_are_told_when_the_connection_ends), R(tls_checks_the_certificate),
        T(a_node_of_a_cluster_names_the_other), T(what_no_redis_says_ends_the_connection), T(a_password_that_is_repeated_by_the_other_side_is_not),
        T(kinds_are_read_from_the_first_word_or_from_inside), T(addresses_are_read), T(what_is_no_address_is_told_without_what_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

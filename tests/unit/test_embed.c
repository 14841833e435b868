/* What lunette.h promises a host program, by its functions alone: real event bases and threads, scripted providers. Around every test it is looked
 * that nothing was written, no signal handler and no environment changed, no process begun, no descriptor kept. */
#include "upstream_server.h"
#include "lunette.h"
#include <event2/event.h>
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

#define TEST(name) static void name(void **state)
#define W struct world *w = *state
#define LIMIT 300               /* seconds: an upper bound for a broken build */

static const char config[] =
    "return { policy = 'policy.lua', workers = 2, limits = { deadline = 60 },\n"
    "  providers = { a = { dialect = 'openai', script = 'a.lua' } },\n"
    "  models = { small = { { provider = 'a', model = 'a-small', price = { input = 1, output = 2 } } } } }\n";
static const char policy[] =
    "local lunette = require 'lunette'\n"
    "return {\n"
    "  settings = { share = { default = 5, min = 0, max = 100 } },\n"
    "  classify = function(request)\n"
    "    if request.text == 'host' then return lunette.host.classify(request.text) end\n"
    "    if request.text == 'wait' then lunette.sleep(20) end\n"
    "    return { '%s', 'share-' .. lunette.setting 'share' }\n"
    "  end,\n"
    "}\n";
static const char script[] =
    "return function(request)\n"
    "  if request.text == 'fail' then return { status = 400, body = { error = { message = 'no', type = 'invalid_request_error' } } } end\n"
    "  if request.text == 'stall' then return { text = 'one two three four five six', stall = true } end\n"
    "  if request.text == 'silent' then return { stall = true, events = {} } end\n"
    "  return { text = 'hello you there', after = 0.01, every = 0.01 }\n"
    "end\n";

struct world {
    char folder[64];
    struct event_base *base;
    struct lunette *l;
    char *error;
    int fds, tasks, written, out, err;
    char *environment;
    struct sigaction signals[_NSIG];
};

static int count(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}
static int tasks(void) { return count("/proc/self/task"); }

static void in(struct world *w, const char *name, char out[128]) { snprintf(out, 128, "%s/%s", w->folder, name); }

static void put(struct world *w, const char *name, const char *text)
{
    char path[128];
    in(w, name, path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_policy(struct world *w, const char *label)
{
    char text[sizeof policy + 64];
    snprintf(text, sizeof text, policy, label);
    put(w, "policy.lua", text);
}

/* The process's environment in one text; yours to free. */
static char *environment(void)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    for (char **e = environ; *e; e++) fprintf(f, "%s\n", *e);
    fclose(f);
    return text;
}

static int setup(void **state)
{
    struct world *w = *state = calloc(1, sizeof *w);
    alarm(LIMIT);
    strcpy(w->folder, "/tmp/embed.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    put(w, "gateway.lua", config);
    put(w, "a.lua", script);
    put_policy(w, "v1");
    for (int i = 1; i <= SIGRTMAX; i++) sigaction(i, NULL, &w->signals[i]);
    fflush(stdout), fflush(stderr);
    w->fds = count("/proc/self/fd");
    w->out = dup(1), w->err = dup(2);
    w->written = memfd_create("written", 0);
    dup2(w->written, 1), dup2(w->written, 2);
    w->tasks = tasks();
    w->environment = environment();
    w->base = event_base_new();
    return 0;
}

static void remove_all(const char *folder)
{
    char path[400];
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d)); ) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_type == DT_DIR) remove_all(path);
        else unlink(path);
    }
    closedir(d);
    rmdir(folder);
}

/* What was written while the test ran, shown where it can be seen; how much it was. */
static off_t give_back_output(struct world *w)
{
    char text[4096];
    fflush(stdout), fflush(stderr);
    off_t n = lseek(w->written, 0, SEEK_CUR);
    dup2(w->out, 1), dup2(w->err, 2);
    lseek(w->written, 0, SEEK_SET);
    for (ssize_t k; (k = read(w->written, text, sizeof text)) > 0; ) if (write(2, text, (size_t)k) != k) break;
    close(w->out), close(w->err), close(w->written);
    return n;
}

static int teardown(void **state)
{
    W;
    lun_free(w->l);
    free(w->error);
    event_base_free(w->base);
    off_t written = give_back_output(w);
    remove_all(w->folder);
    char *now_there = environment();
    assert_string_equal(now_there, w->environment);
    free(now_there), free(w->environment);
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    int fds = count("/proc/self/fd");
    for (int i = 1; i <= SIGRTMAX; i++) {
        struct sigaction now;
        if (sigaction(i, NULL, &now)) continue;
        assert_ptr_equal(now.sa_handler, w->signals[i].sa_handler);
        assert_int_equal(now.sa_flags, w->signals[i].sa_flags);
    }
    assert_int_equal(written, 0);
    assert_int_equal(fds, w->fds);
    free(w);
    alarm(0);
    return 0;
}

static struct lunette *opened(struct world *w, const struct lunette_options *options)
{
    char path[128];
    in(w, "gateway.lua", path);
    struct lunette *l = lun_open(path, options, &w->error);
    if (!l) fail_msg("%s", w->error);
    return l;
}

static void attach(struct world *w)
{
    if (!w->l) w->l = opened(w, NULL);
    if (!lun_attach(w->l, w->base, &w->error)) fail_msg("%s", w->error);
}

static void until(struct world *w, const int *what, int n) { while (*what < n) event_base_loop(w->base, EVLOOP_ONCE); }

/* ---- what a host hears ---- */

struct heard {
    struct lunette *l;
    struct lunette_call *call;
    int heads, pieces, ends, status, calls, done;
    bool clean;
    char text[8192], target[64], labels[64];
    char at; enum { GO_ON, SAY_FALSE, CANCEL, ASK, ASK_POST, STOP, STOP_SOON } act;      /* what it does at 'h'ead, 'b'ytes, 'e'nd */
    bool acted; int after;              /* callbacks after it had cancelled */
    struct heard *other;                /* of ASK and ASK_POST */
    pthread_t thread; int threads;      /* whose callbacks: one and the same */
    sem_t *over; atomic_int *all;
};

#define CHAT(text, more) "{\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]" more "}"
#define STREAM ",\"stream\":true"
static struct lunette_query query(const char *body) { return (struct lunette_query){ .size = sizeof(struct lunette_query), .body = body, .length = strlen(body) }; }

static const struct lunette_callbacks callbacks;
static void ask(struct heard *q, struct lunette *l, const char *body)
{
    struct lunette_query in = query(body);
    q->l = l;
    q->call = lun_ask(l, &in, &callbacks, q);
    assert_non_null(q->call);
    assert_int_equal(q->calls, 0);
}

static void post(struct heard *q, struct lunette *l, const char *body)
{
    struct lunette_query in = query(body);
    q->l = l;
    lun_ask_post(l, &in, &callbacks, q);
}

static bool act(struct heard *q, char at)
{
    if (!q->calls++) q->thread = pthread_self(), q->threads = 1;
    else if (!pthread_equal(q->thread, pthread_self())) q->threads++;
    if (q->acted && (q->act == SAY_FALSE || q->act == CANCEL)) q->after++;
    if (q->at != at || q->acted || q->act == GO_ON) return true;
    q->acted = true;
    switch (q->act) {
    case CANCEL:    lun_cancel(q->call); break;
    case ASK:       ask(q->other, q->l, CHAT("hi", "")); break;
    case ASK_POST:  post(q->other, q->l, CHAT("hi", "")); break;
    case STOP:      lun_stop(q->l, 20); break;
    case STOP_SOON: lun_stop(q->l, 0.05); break;
    default: break;
    }
    if (q->act == SAY_FALSE || q->act == CANCEL) q->done = 1;
    return q->act != SAY_FALSE;
}

static const char *value(const struct lunette_header *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) if (!strcmp(h[i].name, name)) return h[i].value;
    return "";
}

static bool on_head(void *user, int status, const struct lunette_header *h, size_t n)
{
    struct heard *q = user;
    q->heads++;
    q->status = status;
    snprintf(q->target, sizeof q->target, "%s", value(h, n, "x-lunette-target"));
    snprintf(q->labels, sizeof q->labels, "%s", value(h, n, "x-lunette-labels"));
    return act(q, 'h');
}

static bool on_bytes(void *user, const char *bytes, size_t n)
{
    struct heard *q = user;
    q->pieces++;
    snprintf(q->text + strlen(q->text), sizeof q->text - strlen(q->text), "%.*s", (int)n, bytes);
    return act(q, 'b');
}

static void on_end(void *user, bool clean, const struct lunette_header *trailers, size_t n)
{
    struct heard *q = user;
    (void)trailers, (void)n;
    q->ends++;
    q->clean = clean;
    act(q, 'e');
    q->done = 1;
    if (q->all) atomic_fetch_add(q->all, 1);
    if (q->over) sem_post(q->over);
}
static const struct lunette_callbacks callbacks = { sizeof callbacks, on_head, on_bytes, on_end };

static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }
static void good(const struct heard *q)
{
    assert_true(q->heads == 1 && q->ends == 1 && q->clean && q->status == 200 && q->pieces);
    assert_int_equal(q->threads, 1);
}
static void torn(const struct heard *q) { assert_true(q->ends == 1 && !q->clean); }

static struct heard answered(struct world *w, const char *body)
{
    struct heard q = {0};
    ask(&q, w->l, body);
    until(w, &q.done, 1);
    return q;
}

/* ---- changes ---- */

struct changed { int n; char version[64], error[400]; sem_t *over; };
static void on_changed(void *user, const char *version, const char *error)
{
    struct changed *c = user;
    snprintf(c->version, sizeof c->version, "%s", version);
    snprintf(c->error, sizeof c->error, "%s", error ? error : "");
    c->n++;
    if (c->over) sem_post(c->over);
}

static struct changed reload(struct world *w)
{
    struct changed c = {0};
    lun_reload(w->l, on_changed, &c);
    assert_int_equal(c.n, 0);
    until(w, &c.n, 1);
    return c;
}

static struct changed set(struct world *w, const char *name, const char *value_said)
{
    struct changed c = {0};
    lun_set(w->l, name, value_said, on_changed, &c);
    until(w, &c.n, 1);
    return c;
}

/* ---- lun_run on a thread ---- */

struct runner { struct lunette *l; pthread_t thread; bool good; char *error; };
static void *run_main(void *self)
{
    struct runner *r = self;
    r->good = lun_run(r->l, &r->error);
    return NULL;
}
static void run_begin(struct runner *r, struct lunette *l)
{
    *r = (struct runner){ .l = l };
    assert_int_equal(pthread_create(&r->thread, NULL, run_main, r), 0);
}
static void run_end(struct runner *r)
{
    pthread_join(r->thread, NULL);
    if (!r->good) fail_msg("%s", r->error);
}

/* ---- opening ---- */

TEST(a_file_that_is_not_there_is_named)
{
    W;
    assert_null(lun_open("/nowhere/gateway.lua", NULL, &w->error));
    assert_true(has(w->error, "/nowhere/gateway.lua"));
}

TEST(every_mistake_is_listed_with_file_and_line)
{
    W;
    assert_null(lun_open_string("mine.lua", "return {\n  provider = {},\n  models = 3,\n}\n", w->folder, NULL, &w->error));
    assert_true(has(w->error, "mine.lua:2") && has(w->error, "mine.lua:3"));
    assert_false(has(w->error, "\n\n") || w->error[strlen(w->error) - 1] == '\n');
}

TEST(who_does_not_ask_for_the_error_gets_none)
{
    W;
    assert_null(lun_open("/nowhere/gateway.lua", NULL, NULL));
    assert_null(lun_open_string("mine.lua", "return 1", NULL, NULL, NULL));
    attach(w);
    assert_false(lun_attach(w->l, w->base, NULL));
    assert_false(lun_run(w->l, NULL));
}

TEST(success_leaves_the_error_alone)
{
    W;
    char *error = w->folder;
    w->l = lun_open_string("gateway.lua", config, w->folder, NULL, &error);
    assert_true(w->l && lun_attach(w->l, w->base, &error));
    assert_ptr_equal(error, w->folder);
}

TEST(a_text_without_a_folder_finds_no_files_and_works_without_them)
{
    W;
    static const char text[] = "return { providers = { b = { dialect = 'openai', base_url = 'http://127.0.0.1:1/v1' } }, models = { small = { { provider = 'b', model = 'm' } } } }";
    assert_null(lun_open_string("mine.lua", config, NULL, NULL, &w->error));
    assert_true(has(w->error, "policy.lua"));
    free(w->error);
    w->error = NULL;
    w->l = lun_open_string("mine.lua", text, "", NULL, &w->error);
    attach(w);
    struct heard q = answered(w, CHAT("hi", ""));
    assert_int_equal(q.status, 502);
    assert_true(has(q.text, "connect_refused"));
}

TEST(the_environment_given_takes_the_place_of_the_process_s)
{
    W;
    static const char text[] = "local url = env('PLACE') or 'http://127.0.0.1:1/v1'\n"
        "return { providers = { b = { dialect = 'openai', base_url = url, key = secret 'THE_KEY' } }, models = { small = { { provider = 'b', model = 'm' } } } }";
    const char *const empty[] = { NULL }, *const mine[] = { "THE_KEY=sk-never-shown", "PLACE=nonsense", NULL }, *const fine[] = { "THE_KEY=sk-never-shown", NULL };
    setenv("THE_KEY", "sk-of-the-process", 1);
    assert_null(lun_open_string("m.lua", text, NULL, &(struct lunette_options){ .size = sizeof(struct lunette_options), .environment = empty }, &w->error));
    assert_true(has(w->error, "THE_KEY") && !has(w->error, "sk-"));
    free(w->error);
    w->error = NULL;
    assert_null(lun_open_string("m.lua", text, NULL, &(struct lunette_options){ .size = sizeof(struct lunette_options), .environment = mine }, &w->error));
    assert_true(has(w->error, "base_url") && !has(w->error, "sk-"));
    free(w->error);
    w->error = NULL;
    w->l = lun_open_string("m.lua", text, NULL, &(struct lunette_options){ .size = sizeof(struct lunette_options), .environment = fine }, &w->error);
    assert_non_null(w->l);
    unsetenv("THE_KEY");
}

static void take_line(void *user, enum lunette_level level, const char *text)
{
    int *n = user;
    assert_true(level >= LUNETTE_WARN && strlen(text) && !strchr(text, '\n'));
    ++*n;
}

TEST(the_log_goes_to_the_host_from_the_level_it_wants)
{
    W;
    int n = 0;
    w->l = opened(w, &(struct lunette_options){ .size = sizeof(struct lunette_options), .log = take_line, .log_user = &n, .log_least = LUNETTE_WARN });
    attach(w);
    put(w, "policy.lua", "return 1");
    struct changed c = reload(w);
    assert_true(strlen(c.error) && n > 0);
}

TEST(options_of_an_older_program_are_taken_as_far_as_they_go)
{
    W;
    struct lunette_options options = { .size = offsetof(struct lunette_options, state), .state = "/nowhere/at/all", .workers = -1 };
    w->l = opened(w, &options);
    attach(w);
    struct heard q = answered(w, CHAT("hi", ""));
    good(&q);
}

TEST(a_number_of_workers_that_cannot_be_is_said)
{
    W;
    w->l = opened(w, &(struct lunette_options){ .size = sizeof(struct lunette_options), .workers = 257 });
    assert_false(lun_run(w->l, &w->error));
    assert_true(has(w->error, "workers"));
    free(w->error);
    w->error = NULL;
    lun_free(w->l);
    w->l = opened(w, &(struct lunette_options){ .size = sizeof(struct lunette_options), .workers = -1 });
    assert_false(lun_attach(w->l, w->base, &w->error));
}

/* Whether somebody listens at the socket of that name in the folder. */
static bool listens(struct world *w, const char *name)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", w->folder, name);
    bool there = !connect(fd, (void *)&a, sizeof a);
    close(fd);
    return there;
}

TEST(nobody_can_connect_unless_the_host_wants_that)
{
    W;
    char text[sizeof config + 400];
    snprintf(text, sizeof text, "local c = (function() %s end)()\nc.listen, c.admin = 'unix:%s/listen', 'unix:%s/admin'\nreturn c\n", config, w->folder, w->folder);
    for (int wanted = 0; wanted < 2; wanted++) {
        w->l = lun_open_string("gateway.lua", text, w->folder, &(struct lunette_options){ .size = sizeof(struct lunette_options), .listen = wanted }, &w->error);
        if (!w->l) fail_msg("%s", w->error);
        assert_false(listens(w, "listen"));
        attach(w);
        assert_int_equal(listens(w, "listen") + listens(w, "admin"), 2 * wanted);
        lun_free(w->l);
        w->l = NULL;
    }
}

/* ---- functions ---- */

static int n_first;
static int first(void *user, const struct lunette_value *in, int n, struct lunette_value *out)
{
    (void)in, (void)n;
    n_first++;
    out[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = user, .length = strlen(user) };
    return 1;
}

TEST(a_function_answers_policies_and_a_second_of_its_name_takes_its_place)
{
    W;
    w->l = opened(w, NULL);
    assert_true(lun_function(w->l, "classify", first, (void *)"the-first"));
    assert_true(lun_function(w->l, "classify", first, (void *)"the-second"));
    attach(w);
    struct heard q = answered(w, CHAT("host", ""));
    assert_string_equal(q.labels, "the-second");
}

TEST(names_that_cannot_be_and_functions_after_attach_are_refused)
{
    W;
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = 0;
    w->l = opened(w, NULL);
    assert_false(lun_function(w->l, "", first, NULL) || lun_function(w->l, "1a", first, NULL) || lun_function(w->l, "a-b", first, NULL));
    assert_false(lun_function(w->l, longest, first, NULL) || lun_function(w->l, "nothing", NULL, NULL));
    assert_true(lun_function(w->l, longest + 1, first, NULL));
    attach(w);
    assert_false(lun_function(w->l, "late", first, NULL));
}

TEST(a_reload_keeps_the_functions)
{
    W;
    w->l = opened(w, NULL);
    lun_function(w->l, "classify", first, (void *)"mine");
    attach(w);
    put(w, "policy.lua", "local l = require 'lunette' return { classify = function(request) return l.host.classify(request.text) or 'rehearsed' end }");
    n_first = 0;
    assert_string_equal(reload(w).error, "");
    assert_int_equal(n_first, 0);       /* the trial of a reload does not call them */
    assert_string_equal(answered(w, CHAT("host", "")).labels, "mine");
    assert_int_equal(n_first, 1);
}

static char *overwritten(char *text)
{
    memset(text, 'x', strlen(text));
    return text;
}

TEST(what_is_given_is_copied)
{
    W;
    char path[128], state_folder[128], name[] = "share", value_said[] = "15", body[] = CHAT("hi", ""), key[] = "k", function[] = "classify";
    in(w, "gateway.lua", path), in(w, "kept", state_folder);
    struct lunette_options options = { .size = sizeof options, .state = state_folder };
    w->l = lun_open(path, &options, &w->error);
    overwritten(path), overwritten(state_folder), memset(&options, 1, sizeof options);
    assert_true(lun_function(w->l, function, first, (void *)"mine"));
    overwritten(function);
    attach(w);
    struct heard q = { .l = w->l };
    struct lunette_header header = { key, value_said };
    struct lunette_query in = query(body);
    in.key = key, in.headers = &header, in.n_headers = 1;
    lun_ask_post(w->l, &in, &callbacks, &q);
    struct changed c = {0};
    lun_set(w->l, name, value_said, on_changed, &c);
    overwritten(body), overwritten(key), overwritten(name), overwritten(value_said), memset(&in, 1, sizeof in), memset(&header, 1, sizeof header);
    until(w, &q.done, 1);
    until(w, &c.n, 1);
    good(&q);
    assert_string_equal(c.error, "");
    assert_string_equal(answered(w, CHAT("host", "")).labels, "mine");
    assert_string_equal(reload(w).error, "");
}

TEST(relative_paths_are_of_the_folder_at_opening)
{
    W;
    char *before = getcwd(NULL, 0);
    assert_int_equal(chdir(w->folder), 0);
    w->l = lun_open("gateway.lua", NULL, &w->error);
    assert_int_equal(chdir("/"), 0);
    assert_non_null(w->l);
    attach(w);
    struct heard q = answered(w, CHAT("hi", ""));
    good(&q);
    assert_string_equal(reload(w).error, "");
    assert_int_equal(chdir(before), 0);
    free(before);
}

/* ---- asking ---- */

TEST(an_answer_comes_whole_or_as_a_stream)
{
    W;
    attach(w);
    struct heard q = answered(w, CHAT("hi", "")), s = answered(w, CHAT("hi", STREAM));
    good(&q), good(&s);
    assert_true(q.pieces == 1 && has(q.text, "hello you there"));
    assert_string_equal(q.target, "a/a-small");
    assert_true(s.pieces > 2 && has(s.text, "data: [DONE]\n\n"));
}

TEST(a_refusal_is_an_answer)
{
    W;
    attach(w);
    struct heard q = answered(w, CHAT("fail", "")), r = answered(w, "{nonsense");
    assert_true(q.status == 400 && r.status == 400 && q.clean && r.clean);
}

static void cancels(struct world *w, char at, int how, const char *body)
{
    struct heard q = { .at = at, .act = how };
    ask(&q, w->l, body);
    until(w, &q.done, 1);
    struct heard next = answered(w, CHAT("hi", ""));      /* the loop has turned since */
    good(&next);
    assert_int_equal(q.after, 0);
    assert_int_equal(q.ends, at == 'e');
}

TEST(a_question_is_cancelled_in_each_of_its_callbacks)
{
    W;
    attach(w);
    for (int how = SAY_FALSE; how <= CANCEL; how++) {
        cancels(w, 'h', how, CHAT("hi", STREAM));
        cancels(w, 'b', how, CHAT("hi", STREAM));
        cancels(w, 'h', how, CHAT("stall", STREAM));
        cancels(w, 'b', how, CHAT("stall", STREAM));
        cancels(w, 'h', how, CHAT("hi", ""));
        cancels(w, 'b', how, CHAT("hi", ""));
        cancels(w, 'h', how, "{");
        cancels(w, 'b', how, "{");
    }
    cancels(w, 'e', CANCEL, CHAT("hi", ""));
}

TEST(a_question_is_cancelled_from_outside_of_callbacks)
{
    W;
    attach(w);
    struct heard q = {0}, r = {0};
    ask(&q, w->l, CHAT("silent", STREAM));
    ask(&r, w->l, CHAT("hi", ""));
    lun_cancel(r.call);
    struct heard next = answered(w, CHAT("hi", ""));
    lun_cancel(q.call);
    next = answered(w, CHAT("hi", ""));
    good(&next);
    assert_int_equal(q.calls + r.calls, 0);
}

TEST(a_callback_may_ask)
{
    W;
    attach(w);
    for (const char *at = "hbe"; *at; at++) {
        struct heard r = {0}, q = { .at = *at, .act = ASK, .other = &r };
        ask(&q, w->l, CHAT("hi", ""));
        until(w, &r.done, 1);
        until(w, &q.done, 1);
        good(&q), good(&r);
    }
}

TEST(callbacks_and_queries_of_an_older_program_are_taken_as_far_as_they_go)
{
    W;
    attach(w);
    struct heard q = {0}, r = {0};
    struct lunette_query in = query(CHAT("hi", ""));
    in.size = offsetof(struct lunette_query, key);
    in.key = (const char *)1, in.headers = (const struct lunette_header *)1, in.n_headers = 5;
    assert_non_null(lun_ask(w->l, &in, &callbacks, &q));
    until(w, &q.done, 1);
    good(&q);
    struct lunette_callbacks some = callbacks;
    some.size = offsetof(struct lunette_callbacks, bytes);
    in = query(CHAT("hi", ""));
    assert_non_null(lun_ask(w->l, &in, &some, &r));
    until(w, &r.heads, 1);
    good(&(struct heard){ .heads = r.heads, .status = r.status, .ends = 1, .clean = true, .pieces = 1, .threads = r.threads });
    answered(w, CHAT("hi", ""));
    assert_int_equal(r.pieces + r.ends, 0);
}

TEST(who_is_not_attached_is_told_nothing)
{
    W;
    struct heard q = {0};
    struct lunette_query in = query(CHAT("hi", ""));
    w->l = opened(w, NULL);
    assert_null(lun_ask(w->l, &in, &callbacks, &q));
    assert_null(lun_decide(w->l, &in, NULL, NULL));
    assert_int_equal(q.calls, 0);
}

/* ---- deciding ---- */

struct decision { int n, status; char labels[64], target[64]; };
static void on_decided(void *user, const struct lunette_decision *d)
{
    struct decision *out = user;
    out->n++;
    out->status = d->status;
    snprintf(out->labels, sizeof out->labels, "%s", d->n_labels ? d->labels[0] : "");
    snprintf(out->target, sizeof out->target, "%s", d->n_steps ? d->steps[0]->target : "");
}

TEST(a_decision_is_told_once_and_nobody_is_asked)
{
    W;
    attach(w);
    struct decision d = {0}, none = {0};
    struct lunette_query in = query(CHAT("fail", ""));
    assert_non_null(lun_decide(w->l, &in, on_decided, &d));
    struct lunette_call *c = lun_decide(w->l, &in, on_decided, &none);
    assert_int_equal(d.n, 0);
    lun_cancel(c);
    until(w, &d.n, 1);
    assert_int_equal(d.status, 200);
    assert_string_equal(d.labels, "v1");
    assert_string_equal(d.target, "a/a-small");
    lun_stop(w->l, 0);
    event_base_dispatch(w->base);
    assert_int_equal(none.n, 0);
}

TEST(a_decision_that_the_end_catches_is_a_refusal)
{
    W;
    attach(w);
    struct decision d = {0};
    struct lunette_query in = query(CHAT("wait", ""));
    assert_non_null(lun_decide(w->l, &in, on_decided, &d));
    answered(w, CHAT("hi", ""));
    assert_int_equal(d.n, 0);
    lun_free(w->l);
    w->l = NULL;
    assert_int_equal(d.n, 1);
    assert_int_equal(d.status, 503);
}

/* ---- from other threads ---- */

#define THREADS 4
#define EACH 25
struct asker { struct lunette *l; struct heard q[EACH]; pthread_t thread; };
static void *ask_many(void *self)
{
    struct asker *a = self;
    for (int i = 0; i < EACH; i++) post(&a->q[i], a->l, i % 2 ? CHAT("hi", STREAM) : CHAT("hi", ""));
    return NULL;
}

static struct asker *askers_begin(struct lunette *l, sem_t *over, atomic_int *all)
{
    struct asker *a = calloc(THREADS, sizeof *a);
    for (int t = 0; t < THREADS; t++) {
        a[t].l = l;
        for (int i = 0; i < EACH; i++) a[t].q[i].over = over, a[t].q[i].all = all;
        assert_int_equal(pthread_create(&a[t].thread, NULL, ask_many, &a[t]), 0);
    }
    return a;
}

static void askers_end(struct asker *a)
{
    for (int t = 0; t < THREADS; t++) {
        pthread_join(a[t].thread, NULL);
        for (int i = 0; i < EACH; i++) good(&a[t].q[i]);
    }
    free(a);
}

TEST(several_threads_may_ask_an_attached_gateway)
{
    W;
    attach(w);
    atomic_int all = 0;
    struct asker *a = askers_begin(w->l, NULL, &all);
    while (atomic_load(&all) < THREADS * EACH) event_base_loop(w->base, EVLOOP_ONCE);
    for (int t = 0; t < THREADS; t++) for (int i = 0; i < EACH; i++) assert_true(pthread_equal(a[t].q[i].thread, pthread_self()));
    askers_end(a);
}

TEST(several_threads_may_ask_one_that_runs)
{
    W;
    struct runner r;
    sem_t over;
    sem_init(&over, 0, 0);
    run_begin(&r, w->l = opened(w, NULL));
    struct asker *a = askers_begin(w->l, &over, NULL);
    for (int i = 0; i < THREADS * EACH; i++) sem_wait(&over);
    lun_stop(w->l, 20);
    run_end(&r);
    askers_end(a);
    sem_destroy(&over);
}

TEST(callbacks_of_one_that_runs_may_ask_on_their_own_thread_and_by_post)
{
    W;
    struct runner r;
    sem_t over;
    sem_init(&over, 0, 0);
    run_begin(&r, w->l = opened(w, NULL));
    struct heard p = { .over = &over }, o = { .over = &over, .act = ASK_POST, .at = 'e', .other = &p }, q = { .over = &over, .act = ASK, .at = 'b', .other = &o };
    post(&q, w->l, CHAT("hi", ""));
    for (int i = 0; i < 3; i++) sem_wait(&over);
    lun_stop(w->l, 20);
    run_end(&r);
    good(&q), good(&o), good(&p);
    assert_true(pthread_equal(q.thread, o.thread));
    sem_destroy(&over);
}

TEST(what_is_asked_before_it_runs_waits_until_then)
{
    W;
    w->l = opened(w, NULL);
    struct heard q[3] = {{0}};
    struct changed c = {0};
    for (int i = 0; i < 3; i++) post(&q[i], w->l, CHAT("hi", ""));
    lun_set(w->l, "share", "7", on_changed, &c);
    assert_int_equal(q[0].calls + c.n, 0);
    attach(w);
    for (int i = 0; i < 3; i++) until(w, &q[i].done, 1), good(&q[i]);
    until(w, &c.n, 1);
    assert_string_equal(c.error, "");
}

TEST(what_is_asked_and_never_run_is_told_its_end)
{
    W;
    w->l = opened(w, NULL);
    struct heard q = {0};
    struct changed c = {0}, d = {0};
    post(&q, w->l, CHAT("hi", ""));
    lun_reload(w->l, on_changed, &c);
    lun_set(w->l, "share", "7", on_changed, &d);
    lun_free(w->l);
    w->l = NULL;
    torn(&q);
    assert_true(c.n == 1 && d.n == 1 && *c.error && *d.error);
}

TEST(what_is_posted_after_the_end_is_told_so_at_once)
{
    W;
    attach(w);
    struct heard q = {0};
    struct changed c = {0};
    lun_stop(w->l, 0);
    event_base_dispatch(w->base);
    post(&q, w->l, CHAT("hi", ""));
    lun_reload(w->l, on_changed, &c);
    torn(&q);
    assert_true(q.heads == 0 && c.n == 1 && has(c.error, "stopped"));
    lun_stop(w->l, 0);
}

/* ---- stopping ---- */

TEST(a_dispatch_returns_by_itself_after_stop)
{
    W;
    attach(w);
    answered(w, CHAT("hi", STREAM));
    lun_stop(w->l, 20);
    assert_int_equal(event_base_dispatch(w->base), 1);
    assert_int_equal(event_base_get_num_events(w->base, EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE | EVENT_BASE_COUNT_VIRTUAL), 0);
}

TEST(a_stream_that_is_open_at_stop_ends_clean_within_its_grace)
{
    W;
    attach(w);
    struct heard q = { .at = 'h', .act = STOP };
    ask(&q, w->l, CHAT("hi", STREAM));
    event_base_dispatch(w->base);
    good(&q);
    assert_true(has(q.text, "[DONE]"));
}

TEST(a_stream_that_lasts_longer_than_the_grace_ends_torn)
{
    W;
    attach(w);
    struct heard q = { .at = 'b', .act = STOP_SOON };
    ask(&q, w->l, CHAT("stall", STREAM));
    event_base_dispatch(w->base);
    torn(&q);
    assert_int_equal(q.heads, 1);
    assert_false(has(q.text, "[DONE]"));
}

TEST(stop_at_once_tears_what_is_open)
{
    W;
    attach(w);
    struct heard q = {0}, r = {0};
    ask(&q, w->l, CHAT("silent", STREAM));
    ask(&r, w->l, CHAT("wait", ""));
    lun_stop(w->l, 0);
    event_base_dispatch(w->base);
    torn(&q), torn(&r);
}

TEST(questions_after_stop_get_503)
{
    W;
    attach(w);
    struct heard q = {0}, late = {0}, posted = {0};
    struct decision d = {0};
    struct lunette_query in = query(CHAT("hi", ""));
    ask(&q, w->l, CHAT("hi", STREAM));
    lun_stop(w->l, 20);
    ask(&late, w->l, CHAT("hi", ""));
    post(&posted, w->l, CHAT("hi", ""));
    lun_decide(w->l, &in, on_decided, &d);
    event_base_dispatch(w->base);
    good(&q);
    assert_true(late.status == 503 && late.clean && posted.status == 503 && d.status == 503);
    assert_null(lun_ask(w->l, &in, &callbacks, &late));
}

TEST(the_sooner_of_two_ends_counts)
{
    W;
    attach(w);
    struct heard q = { .at = 'h', .act = STOP }, r = { .at = 'b', .act = STOP };
    ask(&q, w->l, CHAT("hi", STREAM));
    until(w, &q.pieces, 3);             /* lun_stop(20) some turns ago, and again: it does not cut what the first lets end */
    lun_stop(w->l, 20);
    event_base_dispatch(w->base);
    good(&q);
    lun_free(w->l);
    w->l = NULL;
    attach(w);
    ask(&r, w->l, CHAT("stall", STREAM));
    until(w, &r.pieces, 1);             /* lun_stop(20), and then */
    lun_stop(w->l, 0.01);
    lun_stop(w->l, 1e300);
    event_base_dispatch(w->base);
    torn(&r);
}

TEST(a_stop_before_attach_counts_from_then)
{
    W;
    w->l = opened(w, NULL);
    lun_stop(w->l, 20);
    attach(w);
    struct heard q = {0};
    ask(&q, w->l, CHAT("hi", ""));
    event_base_dispatch(w->base);
    assert_int_equal(q.status, 503);
}

TEST(a_stop_before_run_lets_it_return)
{
    W;
    w->l = opened(w, NULL);
    lun_stop(w->l, 20);
    assert_true(lun_run(w->l, &w->error));
    assert_false(lun_run(w->l, &w->error));
    assert_true(has(w->error, "open another one"));
}

TEST(a_stop_without_grace_tears_what_is_open_in_one_that_runs)
{
    W;
    struct runner r;
    sem_t over;
    sem_init(&over, 0, 0);
    struct heard q = { .at = 'b', .act = STOP_SOON, .over = &over }, s = { .over = &over };
    run_begin(&r, w->l = opened(w, NULL));
    post(&s, w->l, CHAT("silent", STREAM));
    post(&q, w->l, CHAT("stall", STREAM));
    run_end(&r);
    torn(&q), torn(&s);
    sem_destroy(&over);
}

/* Threads ask and change it while it is stopped: whatever the moment, each question and each change is told one end. */
static void stop_amid(struct world *w, bool attached, int after)
{
    struct runner r;
    struct changed c[3] = {{0}};
    atomic_int all = 0;
    w->l = opened(w, NULL);
    if (attached) attach(w);
    struct asker *a = askers_begin(w->l, NULL, &all);
    if (!attached) run_begin(&r, w->l);
    lun_reload(w->l, on_changed, &c[0]);
    lun_set(w->l, "share", "7", on_changed, &c[1]);
    while (atomic_load(&all) < after) if (attached) event_base_loop(w->base, EVLOOP_ONCE); else sched_yield();
    lun_stop(w->l, after % 2 ? 0 : 20);
    lun_reload(w->l, on_changed, &c[2]);
    if (attached) event_base_dispatch(w->base);
    else run_end(&r);
    for (int t = 0; t < THREADS; t++) pthread_join(a[t].thread, NULL);
    lun_free(w->l);
    w->l = NULL;
    assert_int_equal(all, THREADS * EACH);
    for (int t = 0; t < THREADS; t++) for (int i = 0; i < EACH; i++) assert_int_equal(a[t].q[i].ends, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(c[i].n, 1);
    free(a);
}

TEST(whatever_the_moment_of_a_stop_all_are_told_one_end)
{
    W;
    for (int after = 0; after < 40; after += 13) stop_amid(w, false, after), stop_amid(w, true, after);
}

/* ---- freeing ---- */

TEST(a_base_may_go_before_a_gateway_that_has_stopped)
{
    W;
    attach(w);
    answered(w, CHAT("hi", ""));
    lun_stop(w->l, 20);
    event_base_dispatch(w->base);
    event_base_free(w->base);
    lun_free(w->l);
    w->l = NULL;
    w->base = event_base_new();
}

TEST(free_takes_null_and_one_that_never_ran)
{
    W;
    lun_free(NULL);
    w->l = opened(w, NULL);
    lun_free(w->l);
    attach((w->l = NULL, w));
}

TEST(free_ends_what_is_open_inside_the_call)
{
    W;
    attach(w);
    struct heard q[4] = {{0}};
    struct changed c = {0};
    ask(&q[0], w->l, CHAT("stall", STREAM));
    ask(&q[1], w->l, CHAT("wait", ""));
    until(w, &q[0].pieces, 1);
    ask(&q[2], w->l, "{");
    post(&q[3], w->l, CHAT("hi", ""));
    lun_reload(w->l, on_changed, &c);
    lun_free(w->l);
    w->l = NULL;
    for (int i = 0; i < 4; i++) torn(&q[i]);
    assert_true(c.n == 1 && *c.error);
}

TEST(a_callback_that_asks_inside_free_gets_nothing)
{
    W;
    attach(w);
    struct heard o = {0}, q = { .at = 'e', .act = ASK_POST, .other = &o };
    ask(&q, w->l, CHAT("silent", STREAM));
    lun_free(w->l);
    w->l = NULL;
    torn(&q), torn(&o);
    assert_int_equal(o.heads, 0);
}

/* ---- changing ---- */

TEST(a_reload_takes_the_files_anew)
{
    W;
    attach(w);
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-5");
    put_policy(w, "v2");
    struct changed c = reload(w);
    assert_string_equal(c.error, "");
    assert_true(has(c.version, "policy.lua@"));
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v2,share-5");
}

TEST(a_reload_that_is_refused_keeps_the_old)
{
    W;
    attach(w);
    put(w, "policy.lua", "return {\n  classify = funktion() end }\n");
    struct changed c = reload(w);
    assert_true(has(c.error, "policy.lua:2"));
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-5");
    put(w, "policy.lua", "return { classify = function(request) return request.nothing.x end }\n");
    struct changed d = reload(w);
    assert_true(has(d.error, "policy.lua:1"));
    assert_string_equal(d.version, c.version);
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-5");
}

TEST(questions_in_flight_end_with_the_version_they_began_with)
{
    W;
    attach(w);
    struct heard q = {0};
    ask(&q, w->l, CHAT("hi", STREAM));
    put_policy(w, "v2");
    assert_string_equal(reload(w).error, "");
    until(w, &q.done, 1);
    good(&q);
    assert_string_equal(q.labels, "v1,share-5");
}

/* In every turn of the loop, so that one comes while word of the end is under way. */
struct setter { struct lunette *l; struct event *event; int turns, asked, told; };

static void told_setter(void *user, const char *version, const char *error)
{
    struct setter *s = user;
    (void)version;
    assert_non_null(error);
    s->told++;
}

static void set_again(evutil_socket_t fd, short what, void *user)
{
    static const struct timeval at_once = { 0, 0 };
    struct setter *s = user;
    (void)fd, (void)what;
    if (s->turns++ == 20) lun_stop(s->l, 0);
    lun_set(s->l, "none", "1", told_setter, s);
    s->asked++;
    if (s->turns < 300) event_add(s->event, &at_once);
}

TEST(a_change_asked_for_at_any_moment_of_a_stop_is_told_once)
{
    W;
    attach(w);
    struct setter s = { .l = w->l };
    s.event = event_new(w->base, -1, 0, set_again, &s);
    event_active(s.event, EV_TIMEOUT, 0);
    event_base_dispatch(w->base);
    event_free(s.event);
    assert_int_equal(s.asked, 300);
    assert_int_equal(s.told, 300);
}

TEST(a_setting_is_set_refused_and_set_back)
{
    W;
    attach(w);
    assert_string_equal(set(w, "share", "15").error, "");
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-15");
    assert_true(has(set(w, "share", "101").error, "share"));
    assert_true(has(set(w, "share", "much").error, "share"));
    assert_true(has(set(w, "shares", "1").error, "no such setting"));
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-15");
    assert_string_equal(set(w, "share", NULL).error, "");
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-5");
    lun_set(w->l, "share", "9", NULL, NULL);
    lun_reload(w->l, NULL, NULL);
    assert_string_equal(set(w, "share", "10").error, "");
}

TEST(settings_outlive_the_process_in_the_folder_the_host_names_and_nowhere_else)
{
    W;
    char folder[128];
    in(w, "kept", folder);
    struct lunette_options options = { .size = sizeof options, .state = folder };
    for (int i = 0; i < 2; i++) {
        w->l = opened(w, i ? NULL : &options);
        attach(w);
        assert_string_equal(set(w, "share", "15").error, "");
        lun_free(w->l);
        w->l = NULL;
    }
    w->l = opened(w, &options);
    attach(w);
    assert_string_equal(answered(w, CHAT("hi", "")).labels, "v1,share-15");
    assert_int_equal(count(w->folder), 2 + 4);          /* three files and `kept` */
}

TEST(one_that_runs_is_changed_from_another_thread)
{
    W;
    struct runner r;
    sem_t over;
    sem_init(&over, 0, 0);
    struct changed a = { .over = &over }, b = { .over = &over };
    struct heard q = { .over = &over };
    run_begin(&r, w->l = opened(w, NULL));
    put_policy(w, "v2");
    lun_reload(w->l, on_changed, &a);
    sem_wait(&over);
    lun_set(w->l, "share", "8", on_changed, &b);
    sem_wait(&over);
    post(&q, w->l, CHAT("hi", ""));
    sem_wait(&over);
    lun_stop(w->l, 20);
    run_end(&r);
    assert_string_equal(a.error, "");
    assert_string_equal(b.error, "");
    assert_string_equal(q.labels, "v2,share-8");
    sem_destroy(&over);
}

/* ---- two of them ---- */

TEST(two_gateways_share_a_base_and_nothing_else)
{
    W;
    attach(w);
    struct lunette *other = opened(w, NULL);
    assert_true(lun_attach(other, w->base, &w->error));
    assert_string_equal(set(w, "share", "15").error, "");
    struct heard q = {0}, r = {0};
    ask(&q, w->l, CHAT("hi", STREAM));
    ask(&r, other, CHAT("hi", STREAM));
    lun_stop(w->l, 20);
    until(w, &q.done, 1);
    until(w, &r.done, 1);
    good(&q), good(&r);
    assert_string_equal(r.labels, "v1,share-5");
    struct heard s = {0};
    ask(&s, other, CHAT("hi", ""));
    until(w, &s.done, 1);
    good(&s);
    lun_stop(other, 20);
    event_base_dispatch(w->base);
    lun_free(other);
}

TEST(one_is_attached_while_another_runs)
{
    W;
    struct runner r;
    sem_t over;
    sem_init(&over, 0, 0);
    struct lunette *other = opened(w, NULL);
    struct heard q = { .over = &over };
    attach(w);
    run_begin(&r, other);
    post(&q, other, CHAT("hi", STREAM));
    struct heard here = answered(w, CHAT("hi", STREAM));
    sem_wait(&over);
    lun_stop(other, 20);
    run_end(&r);
    lun_free(other);
    good(&q), good(&here);
    sem_destroy(&over);
}

/* ---- what a host would not like ---- */

TEST(an_attached_gateway_begins_no_thread)
{
    W;
    attach(w);
    struct heard q = answered(w, CHAT("hi", STREAM));
    good(&q);
    put_policy(w, "v2");
    assert_string_equal(reload(w).error, "");
    answered(w, CHAT("hi", ""));
    assert_int_equal(tasks(), w->tasks);
}

static void serve_all(struct peer *p)
{
    static const char body[] = "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}";
    char answer[400];
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
    for (size_t n; peer_ask(p, &n); ) peer_say(p, answer);
    peer_wait_gone(p);
}

static void close_at_once(struct peer *p) { peer_reset(p); }

static void open_at(struct world *w, int port)
{
    char text[400];
    snprintf(text, sizeof text, "return { providers = { b = { dialect = 'openai', base_url = 'http://127.0.0.1:%d/v1' } }, models = { small = { { provider = 'b', model = 'm' } } } }", port);
    w->l = lun_open_string("mine.lua", text, NULL, NULL, &w->error);
    attach(w);
}

TEST(a_kept_connection_does_not_keep_a_dispatch_from_returning)
{
    W;
    static struct server s;
    server_start(&s, serve_all, NULL);
    open_at(w, s.port);
    struct heard q = answered(w, CHAT("hi", "")), r = answered(w, CHAT("hi", ""));
    good(&q), good(&r);
    assert_int_equal(s.connections, 1);
    lun_stop(w->l, 20);
    event_base_dispatch(w->base);
    assert_true(soon(&s.gone));         /* it was closed, before lun_free */
    lun_free(w->l);
    w->l = NULL;
    server_stop(&s);
}

TEST(a_provider_that_goes_away_while_it_is_written_to_raises_no_signal)
{
    W;
    static struct server s;
    static const char head[] = "{\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":\"", tail[] = "\"}]}";
    size_t n = 8 << 20;
    char *body = malloc(n + sizeof head + sizeof tail);
    strcpy(body, head);
    memset(body + strlen(head), 'x', n);
    strcpy(body + strlen(head) + n, tail);
    server_start(&s, close_at_once, NULL);
    open_at(w, s.port);
    assert_ptr_equal(w->signals[SIGPIPE].sa_handler, SIG_DFL);
    for (int i = 0; i < 10; i++) assert_int_equal(answered(w, body).status, 502);
    free(body);
    lun_free(w->l);
    w->l = NULL;
    server_stop(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_file_that_is_not_there_is_named),
        T(every_mistake_is_listed_with_file_and_line),
        T(who_does_not_ask_for_the_error_gets_none),
        T(success_leaves_the_error_alone),
        T(a_text_without_a_folder_finds_no_files_and_works_without_them),
        T(the_environment_given_takes_the_place_of_the_process_s),
        T(the_log_goes_to_the_host_from_the_level_it_wants),
        T(options_of_an_older_program_are_taken_as_far_as_they_go),
        T(a_number_of_workers_that_cannot_be_is_said),
        T(what_is_given_is_copied),
        T(relative_paths_are_of_the_folder_at_opening),
        T(nobody_can_connect_unless_the_host_wants_that),
        T(a_function_answers_policies_and_a_second_of_its_name_takes_its_place),
        T(names_that_cannot_be_and_functions_after_attach_are_refused),
        T(a_reload_keeps_the_functions),
        T(an_answer_comes_whole_or_as_a_stream),
        T(a_refusal_is_an_answer),
        T(a_question_is_cancelled_in_each_of_its_callbacks),
        T(a_question_is_cancelled_from_outside_of_callbacks),
        T(a_callback_may_ask),
        T(callbacks_and_queries_of_an_older_program_are_taken_as_far_as_they_go),
        T(who_is_not_attached_is_told_nothing),
        T(a_decision_is_told_once_and_nobody_is_asked),
        T(a_decision_that_the_end_catches_is_a_refusal),
        T(several_threads_may_ask_an_attached_gateway),
        T(several_threads_may_ask_one_that_runs),
        T(callbacks_of_one_that_runs_may_ask_on_their_own_thread_and_by_post),
        T(what_is_asked_before_it_runs_waits_until_then),
        T(what_is_asked_and_never_run_is_told_its_end),
        T(what_is_posted_after_the_end_is_told_so_at_once),
        T(a_dispatch_returns_by_itself_after_stop),
        T(a_stream_that_is_open_at_stop_ends_clean_within_its_grace),
        T(a_stream_that_lasts_longer_than_the_grace_ends_torn),
        T(stop_at_once_tears_what_is_open),
        T(questions_after_stop_get_503),
        T(the_sooner_of_two_ends_counts),
        T(a_stop_before_attach_counts_from_then),
        T(a_stop_before_run_lets_it_return),
        T(a_stop_without_grace_tears_what_is_open_in_one_that_runs),
        T(whatever_the_moment_of_a_stop_all_are_told_one_end),
        T(a_base_may_go_before_a_gateway_that_has_stopped),
        T(free_takes_null_and_one_that_never_ran),
        T(free_ends_what_is_open_inside_the_call),
        T(a_callback_that_asks_inside_free_gets_nothing),
        T(a_reload_takes_the_files_anew),
        T(a_reload_that_is_refused_keeps_the_old),
        T(questions_in_flight_end_with_the_version_they_began_with),
        T(a_change_asked_for_at_any_moment_of_a_stop_is_told_once),
        T(a_setting_is_set_refused_and_set_back),
        T(settings_outlive_the_process_in_the_folder_the_host_names_and_nowhere_else),
        T(one_that_runs_is_changed_from_another_thread),
        T(two_gateways_share_a_base_and_nothing_else),
        T(one_is_attached_while_another_runs),
        T(an_attached_gateway_begins_no_thread),
        T(a_kept_connection_does_not_keep_a_dispatch_from_returning),
        T(a_provider_that_goes_away_while_it_is_written_to_raises_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* lunette.h over a gateway: opening, the threads that callers are on, and what goes from one to another. Asking itself is inquire.c. */
#include "base/alloc.h"
#include "gateway/errand.h"
#include "gateway/gateway.h"
#include "gateway/inquire.h"
#include "script/host.h"
#include "script/vm.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 256             /* as the setting has it */

/* Something that another thread wants done on one of the gateway's. In a list as long as it was not; before the gateway runs, they wait there. */
struct parcel {
    struct lun_post post;               /* first */
    struct parcel *next, **at;
    struct lunette *of;
    bool asks; int worker;              /* ask: which one */
    bool late;                          /* after lun_stop */
    struct lunette_query *query; struct lunette_callbacks callbacks;
    char *name, *value;                 /* set */
    lunette_changed done;               /* reload, set */
    void *user;
};
struct lunette {
    struct lunette_options options;
    struct lun_log log;
    struct lun_pair state;              /* the setting, from outside */
    struct lun_config_source source;
    char *path, *name, *text, *folder, *state_folder;
    struct lun_host_function *host; char **host_names;
    struct lun_gateway *gateway;
    struct lun_inquiries *inquiries;    /* by worker */
    enum { OPENED, ATTACHED, RUNNING, OVER } phase;
    pthread_t attached;                 /* ATTACHED: the thread of the base */
    pthread_mutex_t lock;               /* of what follows, and of phase */
    struct parcel *parcels, **last;     /* in the order in which they came */
    struct parcel *over;                /* those that were told their end, but may lie in the list of a reactor still: freed behind it */
    unsigned turn;                      /* which worker comes next */
    bool stop_asked; lun_us grace;
    struct lun_post stop; struct lun_errand close;
};

/* ---- opening ---- */

static void take_log(void *host, enum lun_log_level level, const char *message, size_t n)
{
    const struct lunette *l = host;
    (void)n;
    l->options.log(l->options.log_user, (enum lunette_level)level, message);
}
_Static_assert((int)LUNETTE_ERROR == (int)LUN_LOG_ERROR && (int)LUNETTE_DEBUG == (int)LUN_LOG_DEBUG, "one scale");

static char *absolute(const char *path)
{
    char *folder = *path == '/' ? NULL : getcwd(NULL, 0);
    char *whole = folder ? lun_printf("%s/%s", folder, path) : lun_strdup(path);
    free(folder);
    return whole;
}

static void stop_now(struct lun_post *);

static struct lunette *new_one(const struct lunette_options *options)
{
    struct lunette *l = lun_zalloc(sizeof *l);
    if (options) memcpy(&l->options, options, options->size < sizeof l->options ? options->size : sizeof l->options);
    if (l->options.log) l->log = (struct lun_log){ .least = (enum lun_log_level)l->options.log_least, .take = take_log, .host = l };
    l->state_folder = l->options.state ? absolute(l->options.state) : NULL;
    l->state = (struct lun_pair){ "state", l->state_folder ? l->state_folder : "false" };
    l->source.options = (struct lun_load_options){ .environment = l->options.environment, .set = &l->state, .n_set = 1, .cpu = LUN_CPU_CLOCK };
    pthread_mutex_init(&l->lock, NULL);
    l->last = &l->parcels;
    l->stop.run = stop_now;
    return l;
}

static void say(char **error, char *text)
{
    if (error) *error = text;
    else free(text);
}

static char *text_of(struct lun_mistakes *m)
{
    struct lun_buf out = {0};
    lun_mistakes_print(m, &out);
    if (out.n) out.n--;                 /* the last line's end */
    char *text = lun_strndup(out.at, out.n);
    lun_buf_free(&out);
    return text;
}

static struct lunette *check(struct lunette *l, char **error)
{
    struct lun_mistakes mistakes = {0};
    if (!lun_vm_lua_is_ours()) {
        say(error, lun_strdup("this program shows a Lua of its own, which takes the place of the library's: link it without -rdynamic, or load liblunette with RTLD_DEEPBIND"));
        lun_free(l);
        return NULL;
    }
    struct lun_snapshot *s = lun_config_source_load(&l->source, &mistakes, NULL, NULL);
    lun_snapshot_unref(s);
    if (!s) {
        say(error, text_of(&mistakes));
        lun_free(l);
        l = NULL;
    }
    lun_mistakes_free(&mistakes);
    return l;
}

struct lunette *lun_open(const char *path, const struct lunette_options *options, char **error)
{
    struct lunette *l = new_one(options);
    l->source.path = l->path = absolute(path);          /* the program may change its folder */
    return check(l, error);
}

struct lunette *lun_open_string(const char *name, const char *text, const char *folder, const struct lunette_options *options, char **error)
{
    struct lunette *l = new_one(options);
    l->source.name = l->name = lun_strdup(name);
    l->source.text = l->text = lun_strdup(text);
    l->source.folder = l->folder = folder && *folder ? absolute(folder) : lun_strdup("");
    l->source.n = strlen(text);
    return check(l, error);
}

bool lun_function(struct lunette *l, const char *name, lunette_function function, void *user)
{
    int i = 0, n = l->source.n_host;
    if (l->phase != OPENED || !function || !lun_host_name_valid(name)) return false;
    while (i < n && strcmp(l->host[i].name, name)) i++;
    if (i == n) {
        l->host = lun_realloc(l->host, (size_t)(n + 1) * sizeof *l->host);
        l->host_names = lun_realloc(l->host_names, (size_t)(n + 1) * sizeof *l->host_names);
        l->host[n].name = l->host_names[n] = lun_strdup(name);
        l->source.host = l->host;
        l->source.n_host = n + 1;
    }
    l->host[i].call = function;
    l->host[i].user = user;
    return true;
}

/* ---- running ---- */

static void end_phase(struct lunette *l)
{
    pthread_mutex_lock(&l->lock);
    l->phase = OVER;
    pthread_mutex_unlock(&l->lock);
}

/* Both under the lock. */
static void put_in(struct lunette *l, struct parcel *p)
{
    p->next = NULL;
    p->at = l->last;
    *l->last = p;
    l->last = &p->next;
}

static void take_out(struct lunette *l, struct parcel *p)
{
    if ((*p->at = p->next)) p->next->at = p->at;
    else l->last = p->at;
}

/* Under the lock: on its way to the thread that it is for. */
static void dispatch(struct lunette *l, struct parcel *p)
{
    if (p->asks) p->worker = (int)(l->turn++ % (unsigned)lun_gateway_workers(l->gateway));
    lun_reactor_post(p->asks ? lun_worker_reactor(lun_gateway_worker(l->gateway, p->worker)) : lun_gateway_reactor(l->gateway), &p->post);
}

static void parcel_free(struct parcel *p)
{
    free(p->query), free(p->name), free(p->value);
    free(p);
}

/* What was asked for when there was nobody (any more) to do it is told its end. */
static void tell_end(struct parcel *p)
{
    if (p->query && p->callbacks.end) p->callbacks.end(p->user, false, NULL, 0);
    if (p->done) p->done(p->user, "", "the gateway has stopped");
}

static void end_parcel(struct parcel *p)
{
    tell_end(p);
    parcel_free(p);
}

static void nothing(struct lun_post *p) { (void)p; }

static void end_parcels(struct lunette *l)
{
    for (;;) {
        pthread_mutex_lock(&l->lock);
        struct parcel *p = l->parcels;
        if (p) take_out(l, p);
        pthread_mutex_unlock(&l->lock);
        if (!p) return;
        p->post.run = nothing;
        p->next = l->over;
        l->over = p;
        tell_end(p);
    }
}

static void end_inquiries(struct lunette *l)
{
    for (int i = 0; i < lun_gateway_workers(l->gateway); i++) {
        struct lun_reactor *r = lun_worker_reactor(lun_gateway_worker(l->gateway, i));
        lun_reactor_enter(r);
        lun_inquiries_end(&l->inquiries[i]);
        lun_reactor_leave(r);
    }
}

static void ended(void *self)
{
    struct lunette *l = self;
    end_phase(l);
    end_inquiries(l);
    end_parcels(l);
}

static void closed(struct lun_errand *e) { (void)e; }

static void close_inquiries(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)w;
    ((struct lunette *)(void *)((char *)e - offsetof(struct lunette, close)))->inquiries[index].closed = true;
}

static void stop_now(struct lun_post *p)
{
    struct lunette *l = (struct lunette *)(void *)((char *)p - offsetof(struct lunette, stop));
    pthread_mutex_lock(&l->lock);
    lun_us grace = l->grace;
    bool first = !l->close.stops && !l->close.home;
    pthread_mutex_unlock(&l->lock);
    if (first) {
        struct lun_worker *workers[WORKERS];
        int n = lun_gateway_workers(l->gateway);
        for (int i = 0; i < n; i++) workers[i] = lun_gateway_worker(l->gateway, i);
        l->close = (struct lun_errand){ .visit = close_inquiries, .done = closed };
        lun_errand_send(&l->close, lun_gateway_reactor(l->gateway), workers, n);
    }
    lun_gateway_stop(l->gateway, grace);
}

static bool start(struct lunette *l, struct event_base *base, char **error)
{
    struct lun_mistakes mistakes = {0};
    char *why = NULL;
    struct lun_gateway_options options = { .log = &l->log, .source = &l->source, .limits = LUN_BY_CLOCK, .listen = l->options.listen, .base = base,
                                           .workers = l->options.workers, .ended = ended, .self = l };
    if (l->options.workers < 0 || l->options.workers > WORKERS) {
        say(error, lun_printf("lunette_options.workers is %d: 1 to %d threads, or 0 for as many as the configuration says", l->options.workers, WORKERS));
        return false;
    }
    if (l->phase != OPENED) {
        say(error, lun_strdup("the gateway is attached or runs already, or has stopped: open another one"));
        return false;
    }
    l->gateway = lun_gateway_new(&options, &mistakes, &why);
    if (!l->gateway) say(error, mistakes.n ? text_of(&mistakes) : lun_strdup(why));
    else l->inquiries = lun_zalloc((size_t)lun_gateway_workers(l->gateway) * sizeof *l->inquiries);
    free(why);
    lun_mistakes_free(&mistakes);
    return l->gateway;
}

/* What has been asked for before goes on its way. */
static void begin(struct lunette *l, int phase)
{
    pthread_mutex_lock(&l->lock);
    l->phase = phase;
    for (struct parcel *p = l->parcels; p; p = p->next) dispatch(l, p);
    if (l->stop_asked) lun_reactor_post(lun_gateway_reactor(l->gateway), &l->stop);
    pthread_mutex_unlock(&l->lock);
}

bool lun_attach(struct lunette *l, struct event_base *base, char **error)
{
    if (!start(l, base, error)) return false;
    l->attached = pthread_self();
    begin(l, ATTACHED);
    return true;
}

bool lun_run(struct lunette *l, char **error)
{
    if (!start(l, NULL, error)) return false;
    begin(l, RUNNING);
    bool good = lun_gateway_run(l->gateway);
    if (!good) say(error, lun_strdup("the system gives no thread"));
    ended(l);
    return good;
}

static lun_us shorter(lun_us a, lun_us b) { return a < b ? a : b; }

void lun_stop(struct lunette *l, double grace)
{
    lun_us wanted = grace > 0 ? lun_us_from_seconds(grace) : 0;
    pthread_mutex_lock(&l->lock);
    l->grace = l->stop_asked ? shorter(l->grace, wanted) : wanted;
    l->stop_asked = true;
    if (l->phase == ATTACHED || l->phase == RUNNING) lun_reactor_post(lun_gateway_reactor(l->gateway), &l->stop);
    pthread_mutex_unlock(&l->lock);
}

void lun_free(struct lunette *l)
{
    if (!l) return;
    if (l->phase == ATTACHED) ended(l);
    end_parcels(l);
    lun_gateway_free(l->gateway);
    lun_errand_drop(&l->close);
    for (struct parcel *p; (p = l->over); parcel_free(p)) l->over = p->next;
    for (int i = 0; i < l->source.n_host; i++) free(l->host_names[i]);
    free(l->host), free(l->host_names), free(l->inquiries);
    free(l->path), free(l->name), free(l->text), free(l->folder), free(l->state_folder);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- asking ---- */

/* The worker whose thread this is; -1: none. After lun_stop it takes nothing new, though word of that may still be under way. */
static int here(struct lunette *l)
{
    int at = -1;
    pthread_mutex_lock(&l->lock);
    if (l->phase == ATTACHED && pthread_equal(l->attached, pthread_self())) at = 0;
    for (int i = 0; l->phase == RUNNING && at < 0 && i < lun_gateway_workers(l->gateway); i++)
        if (lun_worker_is_here(lun_gateway_worker(l->gateway, i))) at = i;
    if (at >= 0 && l->stop_asked) l->inquiries[at].closed = true;
    pthread_mutex_unlock(&l->lock);
    return at;
}

struct lunette_call *lun_ask(struct lunette *l, const struct lunette_query *query, const struct lunette_callbacks *callbacks, void *user)
{
    int i = here(l);
    if (i < 0) return NULL;
    struct lun_worker *w = lun_gateway_worker(l->gateway, i);
    lun_reactor_enter(lun_worker_reactor(w));
    struct lunette_call *c = lun_inquire(&l->inquiries[i], lun_worker_station(w), query, callbacks, user);
    lun_reactor_leave_later(lun_worker_reactor(w));
    return c;
}

struct lunette_call *lun_decide(struct lunette *l, const struct lunette_query *query, void (*done)(void *, const struct lunette_decision *), void *user)
{
    int i = here(l);
    if (i < 0) return NULL;
    struct lun_worker *w = lun_gateway_worker(l->gateway, i);
    lun_reactor_enter(lun_worker_reactor(w));
    struct lunette_call *c = lun_inquire_decision(&l->inquiries[i], lun_worker_station(w), query, done, user);
    lun_reactor_leave_later(lun_worker_reactor(w));
    return c;
}

void lun_cancel(struct lunette_call *c)
{
    struct lun_reactor *r = (struct lun_reactor *)(void *)((char *)lun_inquire_station(c)->loop - offsetof(struct lun_reactor, loop));
    lun_reactor_enter(r);
    lun_inquire_cancel(c);
    lun_reactor_leave_later(r);
}

/* ---- from other threads ---- */

static void arrive(struct parcel *p)
{
    struct lunette *l = p->of;
    pthread_mutex_lock(&l->lock);
    take_out(l, p);
    pthread_mutex_unlock(&l->lock);
}

/* The phase is looked at under the lock that ends parcels, so that none is forgotten. */
static void send_to(struct lunette *l, struct parcel *p)
{
    p->of = l;
    pthread_mutex_lock(&l->lock);
    bool alive = l->phase != OVER;
    p->late = l->stop_asked;
    if (alive) put_in(l, p);
    if (alive && l->phase != OPENED) dispatch(l, p);
    pthread_mutex_unlock(&l->lock);
    if (!alive) end_parcel(p);
}

static void ask_here(struct lun_post *post)
{
    struct parcel *p = (struct parcel *)(void *)post;
    struct lunette *l = p->of;
    arrive(p);
    if (p->late) l->inquiries[p->worker].closed = true;
    lun_inquire(&l->inquiries[p->worker], lun_worker_station(lun_gateway_worker(l->gateway, p->worker)), p->query, &p->callbacks, p->user);
    free(p->query);
    free(p);
}

void lun_ask_post(struct lunette *l, const struct lunette_query *query, const struct lunette_callbacks *callbacks, void *user)
{
    struct parcel *p = lun_zalloc(sizeof *p);
    p->post.run = ask_here;
    p->asks = true;
    p->query = lun_query_copy(query);
    memcpy(&p->callbacks, callbacks, callbacks->size < sizeof p->callbacks ? callbacks->size : sizeof p->callbacks);
    p->callbacks.size = sizeof p->callbacks;
    p->user = user;
    send_to(l, p);
}

/* ---- changing ---- */

static void told(void *self, const struct lun_change_result *r)
{
    struct parcel *p = self;
    struct lun_buf errors = {0};
    for (int i = 0; r->status != 200 && i < r->errors.n; i++) lun_buf_printf(&errors, "%s%s", i ? "\n" : "", r->errors.at[i]);
    if (p->done) p->done(p->user, r->version ? r->version : "", r->status == 200 ? NULL : lun_buf_text(&errors));
    lun_buf_free(&errors);
    p->done = NULL;
    end_parcel(p);
}

static void reload_here(struct lun_post *post)
{
    struct parcel *p = (struct parcel *)(void *)post;
    arrive(p);
    lun_changes_reload(lun_gateway_changes(p->of->gateway), "host", false, told, p);
}

void lun_reload(struct lunette *l, lunette_changed done, void *user)
{
    struct parcel *p = lun_zalloc(sizeof *p);
    p->post.run = reload_here;
    p->done = done;
    p->user = user;
    send_to(l, p);
}

static void refuse(struct parcel *p, const char *why)
{
    struct lun_texts errors = { .at = &why, .n = 1 };
    told(p, &(struct lun_change_result){ .status = 422, .version = lun_gateway_snapshot(p->of->gateway)->version, .errors = errors });
}

static void set_here(struct lun_post *post)
{
    struct parcel *p = (struct parcel *)(void *)post;
    const struct lun_policy_setting *rule = lun_snapshot_setting(lun_gateway_snapshot(p->of->gateway), p->name);
    struct lun_plain value;
    char problem[LUN_SETTING_PROBLEM] = "the policy has no such setting", why[LUN_SETTING_PROBLEM + 256];
    arrive(p);
    if (rule && (!p->value || lun_policy_setting_read(rule, p->value, &value, problem))) {
        lun_changes_set(lun_gateway_changes(p->of->gateway), "host", &(struct lun_wanted){ p->name, p->value ? &value : NULL }, 1, told, p);
        return;
    }
    snprintf(why, sizeof why, "%.200s: %s", p->name, problem);
    refuse(p, why);
}

void lun_set(struct lunette *l, const char *name, const char *value, lunette_changed done, void *user)
{
    struct parcel *p = lun_zalloc(sizeof *p);
    p->post.run = set_here;
    p->name = lun_strdup(name);
    p->value = lun_strdup(value);
    p->done = done;
    p->user = user;
    send_to(l, p);
}

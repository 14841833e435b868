/* A gateway inside a program. `embed` attaches it to the program's own event loop; `embed threads` gives it threads of its own.
 *     cc embed.c -o embed $(pkg-config --cflags --libs lunette libevent) -pthread */
#include <event2/event.h>
#include <lunette.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE  "{\"model\":\"auto\",\"user\":\"ann\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}"
#define STREAM "{\"model\":\"auto\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello, who is there?\"}]}"
#define QUERY(text) (struct lunette_query){ .size = sizeof(struct lunette_query), .body = text, .length = strlen(text) }

static struct event_base *base;
static sem_t over;                      /* posted for each thing that is over */

static void fail(const char *error) { fprintf(stderr, "%s\n", error), exit(1); }

/* A function that the policy calls as lunette.host.plan_of(user). */
static int plan_of(void *self, const struct lunette_value *in, int n, struct lunette_value *out)
{
    const char *plan = n && in[0].type == LUNETTE_STRING && !strcmp(in[0].string, "ann") ? "gold" : "free";
    (void)self;
    out[0] = (struct lunette_value){ .type = LUNETTE_STRING, .string = plan, .length = strlen(plan) };
    return 1;
}

/* ---- what becomes of a question: head once, bytes any number of times, end once. `user` is what lun_ask was given: a name to print ---- */

static bool on_head(void *user, int status, const struct lunette_header *headers, size_t n)
{
    flockfile(stdout);                  /* with threads of its own others may print meanwhile */
    printf("%s: %d", (char *)user, status);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(headers[i].name, "x-lunette-target") || !strcmp(headers[i].name, "x-lunette-labels")) printf(" %s", headers[i].value);
    printf("\n");
    funlockfile(stdout);
    return true;                        /* false: nobody wants the answer any more */
}

static bool on_bytes(void *user, const char *bytes, size_t n)
{
    while (n && bytes[n - 1] == '\n') n--;
    printf("%s: %.*s\n", (char *)user, (int)n, bytes);
    return true;
}

static void on_end(void *user, bool clean, const struct lunette_header *trailers, size_t n)
{
    (void)trailers, (void)n;
    printf("%s: %s\n", (char *)user, clean ? "complete" : "cut off");
    sem_post(&over);
}
static const struct lunette_callbacks callbacks = { sizeof callbacks, on_head, on_bytes, on_end };

static void on_decided(void *user, const struct lunette_decision *d)
{
    printf("%s: %s", (char *)user, d->status == 200 ? "send it to" : d->message);
    for (size_t i = 0; i < d->n_steps; i++) printf(" %s (%s)", d->steps[i]->target, d->steps[i]->upstream_model);
    for (size_t i = 0; i < d->n_labels; i++) printf(", label %s", d->labels[i]);
    printf("\n");
    sem_post(&over);
}

static void on_changed(void *user, const char *version, const char *error)
{
    printf("%s: %s\n", (char *)user, error ? error : strchr(version, '@') ? "done" : "stopped");
    sem_post(&over);
}

/* ---- on the program's own loop ---- */

static void turn(void) { while (sem_trywait(&over)) event_base_loop(base, EVLOOP_ONCE); }      /* until one thing is over */

static void ask(struct lunette *l, char *name, const char *body)    { lun_ask(l, &QUERY(body), &callbacks, name), turn(); }
static void decide(struct lunette *l, char *name, const char *body) { lun_decide(l, &QUERY(body), on_decided, name), turn(); }

static const char other_text[] = "return { policy = 'labels.lua', providers = { there = { dialect = 'openai', base_url = 'https://api.example.com/v1' } },"
                                 "         models = { small = { { provider = 'there', model = 'small-1' } } } }";

static void write_policy(const char *label)
{
    FILE *f = fopen("labels.lua", "w");
    if (!f || fprintf(f, "return { classify = function() return '%s' end }\n", label) < 0 || fclose(f)) fail("labels.lua cannot be written");
}

static void attached(struct lunette *l)
{
    char folder[] = "/tmp/embed.XXXXXX", *error;
    base = event_base_new();
    if (!lun_attach(l, base, &error)) fail(error);
    ask(l, "whole", WHOLE);
    ask(l, "stream", STREAM);
    decide(l, "decide", STREAM);                                        /* only what the policy says; nobody is asked */
    lun_set(l, "long", "3", on_changed, "set"), turn();
    decide(l, "decide", STREAM);

    if (!mkdtemp(folder) || chdir(folder)) fail(folder);                /* a second gateway, from a text, with a policy that changes */
    write_policy("first");
    struct lunette *other = lun_open_string("other.lua", other_text, folder, NULL, &error);
    if (!other || !lun_attach(other, base, &error)) fail(error);
    decide(other, "other", WHOLE);
    write_policy("second");
    lun_reload(other, on_changed, "reload"), turn();
    decide(other, "other", WHOLE);
    unlink("labels.lua"), rmdir(folder);

    lun_stop(l, 5), lun_stop(other, 5);
    event_base_dispatch(base);                                          /* returns: no event is left on the base */
    lun_free(other);
}

/* ---- on threads of its own ---- */

static void *run(void *l)
{
    char *error;
    if (!lun_run(l, &error)) fail(error);
    return NULL;
}

static void threads(struct lunette *l)
{
    char *names[] = { "first", "second", "third" };
    pthread_t thread;
    pthread_create(&thread, NULL, run, l);
    for (int i = 0; i < 3; i++) lun_ask_post(l, &QUERY(WHOLE), &callbacks, names[i]);      /* from any thread; callbacks come on the gateway's */
    for (int i = 0; i < 3; i++) sem_wait(&over);
    lun_stop(l, 5);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    char *error;
    struct lunette *l = lun_open("gateway.lua", NULL, &error);
    if (!l) fail(error);
    lun_function(l, "plan_of", plan_of, NULL);
    sem_init(&over, 0, 0);
    argc > 1 && !strcmp(argv[1], "threads") ? threads(l) : attached(l);
    lun_free(l);
    if (base) event_base_free(base);
    puts("freed");
    return 0;
}

/* Lunette in a C program: a gateway to language models without a process and a port of its own.
 *
 *     struct lunette *l = lun_open("gateway.lua", NULL, &error);
 *     lun_attach(l, base, &error);                    the host's libevent loop; or lun_run(l, &error): threads of its own
 *     lun_ask(l, &query, &callbacks, user);           a chat, from memory, whole or as a stream
 *     lun_decide(l, &query, done, user);              only what the policy decides; the host sends the request itself
 *     lun_free(l);
 *
 * What a gateway knows lies behind its pointer: any number of them live in one process, in one thread or in several. Nothing is written to
 * standard output or error, no signal handler is set, no environment changed, no process started. (The exceptions: a request log that the
 * configuration sends to "-"; and what ends the process anyway, a system that gives no memory at all or a defect of the build, is said on standard
 * error before abort.)
 *
 * Threads. An attached gateway belongs to the thread of its event base. One that runs by lun_run belongs to its own threads: its callbacks come
 * on any of them, several at a time. "The gateway's thread" below is the former, or any of the latter inside a callback of this library. From
 * everywhere else only functions that say "any thread" may be called.
 *
 * Callbacks are called from the event loop, never before the function that they were given to has returned. They may call every function
 * of the gateway's thread but lun_free. They must not wait: the loop stands still meanwhile.
 *
 * Texts are UTF-8 and end with a NUL, where no length stands beside them. Times are seconds. What is given to a function is borrowed until it
 * returns, and copied where it is needed for longer, if nothing else is said. A `char **error` may be NULL; otherwise *error is set on failure
 * alone, to a text for people that says what happened, where, and what to do: yours, to be freed with free(). No text of this library
 * holds a secret.
 *
 * LuaJIT comes as a shared library. A program that shows the functions of another Lua under the same names (one linked with -rdynamic, say) gets an
 * error from lun_open: it takes the library by dlopen with RTLD_DEEPBIND.
 *
 * Structs with `size` grow at their end: set it to sizeof of the struct, and all that is not said to zero. */
#ifndef LUNETTE_H
#define LUNETTE_H
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

struct lunette;                         /* a gateway */
struct lunette_call;                    /* a question that is not over */

struct lunette_header { const char *name, *value; };

/* ---- opening ---- */

enum lunette_level { LUNETTE_DEBUG, LUNETTE_INFO, LUNETTE_WARN, LUNETTE_ERROR };

struct lunette_options {                /* NULL, or zero: as said */
    size_t size;
    /* Takes the gateway's log, a line at a time: one line of text without its end. Any of the gateway's threads. NULL: nobody. */
    void (*log)(void *user, enum lunette_level level, const char *text);
    void *log_user;
    enum lunette_level log_least;       /* what is below is not told */
    bool listen;                        /* opens the configuration's `listen` and `admin` too; false: no socket but those to providers */
    /* Takes the place of the process's environment for secret "NAME", env("NAME") and the overrides LUNETTE_…: "NAME=value", a NULL at the end.
     * NULL: the process's, read at opening and at each reload. Borrowed until lun_free. */
    const char *const *environment;
    const char *state;                  /* a folder for settings and versions that outlive the process, made when it is not there. NULL: nothing
                                           is kept, whatever the configuration says */
    int workers;                        /* threads of lun_run; 0: as the configuration says */
};

/* Loads a configuration and checks all of it; opens nothing and starts nothing. NULL: *error lists every mistake with file and line.
 * A relative path is of the folder that the process is in now, also when the file is read again. Any thread; reads files, so it may block. Yours:
 * lun_free. */
struct lunette *lun_open(const char *path, const struct lunette_options *options, char **error);

/* The same for a text. `name`: how mistakes call it. `folder`: where the files it names are; NULL or "": there are none but those that are
 * part of the library ("policies/…"). */
struct lunette *lun_open_string(const char *name, const char *text, const char *folder, const struct lunette_options *options, char **error);

/* ---- functions for policies ---- */

enum lunette_type { LUNETTE_NIL, LUNETTE_BOOLEAN, LUNETTE_NUMBER, LUNETTE_STRING };

struct lunette_value {
    enum lunette_type type;             /* which of the following counts */
    bool boolean;
    double number;
    const char *string; size_t length;  /* bytes, NULs among them perhaps. An argument ends with a NUL; a result need not */
    void (*release)(void *string);      /* of a result: called with `string` once it has been copied, free() for one; NULL: nothing is called */
};

#define LUNETTE_ARGUMENTS 16            /* at most */
#define LUNETTE_RESULTS    8

/* What a policy's `lunette.host.NAME(…)` calls, on the thread of the request it decides about; under lun_run on several at once. Arguments are
 * borrowed until it returns. `results` has room for LUNETTE_RESULTS values, all nil before. It returns how many there are; or -1 with a text as
 * the first: that is raised as an error in the policy, at the line that called. Result strings have to last until it has returned and are
 * copied then. Its CPU time counts to the hook's; it cannot be stopped, and the loop stands still meanwhile: it must not wait. It may not call
 * into this library. */
typedef int (*lunette_function)(void *user, const struct lunette_value *arguments, int n, struct lunette_value *results);

/* Shows a function to policies as `lunette.host.NAME`. `name`: letters, digits and _, no digit first, at most 64 bytes. A second one of the
 * same name takes the first one's place. False: not such a name, or the gateway is attached or runs already. `user` is borrowed until lun_free.
 * Before lun_attach or lun_run; not on two threads at once. */
bool lun_function(struct lunette *, const char *name, lunette_function function, void *user);

/* ---- running ---- */

struct event_base;                      /* libevent 2.1's */

/* Attaches the gateway to the caller's event base, which its thread has to turn (event_base_dispatch or event_base_loop) and which
 * outlives the gateway, or its stop. One worker; no signals, no threads but the request log's writer where the configuration asks for a request log,
 * and libcurl's for each look-up of a provider's host name, which ends with it. False: *error. Once; on the thread that turns the base. */
bool lun_attach(struct lunette *, struct event_base *base, char **error);

/* Starts worker threads and blocks the caller until lun_stop. False: *error, nothing runs. Once; any thread, not an attached gateway. */
bool lun_run(struct lunette *, char **error);

/* No new questions from now on (they get 503); those open have `grace` seconds to end, then they end torn. lun_run returns when the last has
 * ended; an attached gateway takes its events off the base, so that a dispatch without other events returns, and needs it no more. Called again: the sooner end
 * counts. Before lun_attach or lun_run: it stops as soon as it runs. Any thread, also inside callbacks. */
void lun_stop(struct lunette *, double grace);

/* Frees all of it; what is still open ends at once, its callbacks are told `end` inside this call. Functions are not called any more. NULL is
 * fine. On the thread of the attached base, outside of callbacks; after lun_run has returned, or before anything ran, on any. */
void lun_free(struct lunette *);

/* ---- asking ---- */

struct lunette_query {
    size_t size;
    const char *endpoint;               /* "chat" (or NULL), "completions", "embeddings" */
    const char *body; size_t length;    /* the request's JSON, as OpenAI's interface has it. "stream": true asks for a stream */
    const char *key;                    /* the client's key, as clients of the HTTP interface present theirs; NULL: none */
    const struct lunette_header *headers; size_t n_headers;    /* x-lunette-task, x-session-id …; names in any case */
    double deadline;                    /* seconds over all attempts; 0, or more than limits.deadline: that */
};

/* What comes of a question: head once, bytes any number of times, end once; never anything after `end`. Each may be NULL. One that returns false
 * cancels the question, as lun_cancel does: nothing is told any more. What it is given is borrowed until it returns. */
struct lunette_callbacks {
    size_t size;
    /* Status and headers as the HTTP interface would send them (x-lunette-target, …; names in lower case). A refusal is an answer too: 4xx or
     * 5xx with an error in JSON. Of a stream (content-type: text/event-stream; charset=utf-8) this comes with the first good event. */
    bool (*head)(void *user, int status, const struct lunette_header *headers, size_t n_headers);
    /* A whole body, or whole events of a stream ("data: {…}\n\n"). */
    bool (*bytes)(void *user, const char *bytes, size_t n);
    /* All is closed, paid and written down. `clean` false: it was cut off, what came is not whole. Trailers: what the head of a stream could
     * not say yet (x-lunette-cost, x-lunette-latency-ms …). */
    void (*end)(void *user, bool clean, const struct lunette_header *trailers, size_t n_trailers);
};

/* Asks. Never fails: what is wrong with the question is told as an answer. (NULL, and nothing is told: it is not attached and does not run, or not any
 * more, inside lun_free too; or this is not the gateway's thread.) The call is borrowed until `end` has returned or it is cancelled. `user` is
 * handed to the callbacks. On the gateway's thread; attached, or running. */
struct lunette_call *lun_ask(struct lunette *, const struct lunette_query *, const struct lunette_callbacks *, void *user);

/* The same from any thread. Callbacks come on one of the gateway's threads, always the same one for a question (the end of one that the stop tears
 * comes on the thread of lun_run). It is cancelled by a callback's false. Before lun_attach or lun_run it waits until then, or until lun_free. After the
 * gateway has stopped `end` is told, not clean and alone, inside this call. lun_reload and lun_set are like that too. */
void lun_ask_post(struct lunette *, const struct lunette_query *, const struct lunette_callbacks *, void *user);

/* Nobody wants the answer any more: nothing is told from here on, what is in flight is closed at once. The call is gone, also when this is
 * done inside one of its own callbacks (which then need not return false). On the thread its callbacks come on. Not after `end`. */
void lun_cancel(struct lunette_call *);

/* ---- deciding only ---- */

enum lunette_edit_kind { LUNETTE_SET, LUNETTE_DROP, LUNETTE_RENAME };
struct lunette_edit {                   /* to be made to the body's top-level `field` */
    enum lunette_edit_kind what;
    const char *field;
    const char *value;                  /* LUNETTE_SET: its JSON, also where the field was not there; LUNETTE_RENAME: its new name, where it was there;
                                           LUNETTE_DROP: NULL */
};

struct lunette_step {                   /* where to send it, and how long to wait */
    const char *target;                 /* its name in the configuration */
    const char *model;                  /* the name in `models` that it serves */
    const char *upstream_model;         /* what the provider calls it: to be written into the body */
    const char *provider;
    const char *base_url;               /* without a slash at the end, "https://api.openai.com/v1"; NULL: a script plays this provider */
    double connect, first_byte, idle, total;    /* seconds */
    double hedge_after;                 /* start the next step beside it after so many seconds of silence; 0: do not */
    double wait;                        /* seconds to queue where the target's rate limit is used up; 0: on to the next step; below 0: up to the
                                           deadline, there is no other */
    const struct lunette_edit *edits; size_t n_edits;       /* what the policy's set, drop and rename say; of two for a field the last counts */
};

struct lunette_decision {               /* borrowed until the callback returns */
    int status;                         /* 200; otherwise it was refused, and there are no steps */
    const char *code, *message;         /* of a refusal: "budget_exceeded", and a sentence; otherwise NULL */
    const char *request_id;             /* under which it stands in the request log */
    const char *version;                /* of configuration and policy: "support.lua@a1b2c3d4e5f6" */
    const char *const *labels; size_t n_labels;
    const struct lunette_step *const *steps; size_t n_steps;    /* in the order in which they are to be tried */
};

/* Has the policy decide, by its hooks classify, budget and select (finish is told afterwards), and nothing more: no provider is called, no
 * budget is held, no turn is taken at a rate limit but the client's own. What the host then does is not known to the gateway: not to
 * its health, limits and budgets. `done` is told once, unless the call is cancelled. Otherwise as lun_ask. */
struct lunette_call *lun_decide(struct lunette *, const struct lunette_query *, void (*done)(void *user, const struct lunette_decision *), void *user);

/* ---- changing it while it runs ---- */

/* How it went. version: that which is in force now ("": it runs no more). error: NULL, or what was wrong; then nothing has changed. Both borrowed
 * until it returns. Told once, at the latest in lun_free. Under lun_run on that one's own thread, from which questions are asked by lun_ask_post. */
typedef void (*lunette_changed)(void *user, const char *version, const char *error);

/* Reads the configuration and its files again (of lun_open_string: the same text, and the files it names), tries it on sample requests
 * (functions of the host are not called by these, they answer nil, "rehearsal") and moves over to it; questions in flight end with the version
 * that they began with. `done` may be NULL. Any thread. */
void lun_reload(struct lunette *, lunette_changed done, void *user);

/* Another value for one of the policy's `settings`, said as text: lun_set(l, "share", "15", …); NULL: its default again. `done` may be NULL.
 * Any thread. */
void lun_set(struct lunette *, const char *name, const char *value, lunette_changed done, void *user);

/* "0.1.0". Any thread, any time. */
const char *lun_version(void);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif

/* The process log: lines for the people who run the gateway. (What each request did is another log: base/writer.h.)
 *
 * There is no log of the process as such. Who has something to say is given a struct lun_log; two gateways in one process
 * have one each. It is filled once and only read then, so that any thread may log through it at any time. A line is one
 * write(2), never more, so lines of several threads do not mix.
 *
 * Never log a secret, nor what a client or provider wrote in full: the log is read by more people than the traffic. */
#ifndef LUN_BASE_LOG_H
#define LUN_BASE_LOG_H
#include <stdbool.h>
#include <stddef.h>

#define LUN_LOG_LEVELS(X) \
    X(DEBUG, "debug")   /* for whoever looks for a mistake in the gateway itself */ \
    X(INFO,  "info")    /* what happened in its normal course: started, reloaded, stopped */ \
    X(WARN,  "warn")    /* it goes on, but somebody should look: a provider is down, a policy failed, lines were dropped */ \
    X(ERROR, "error")   /* what was asked for could not be done */
enum lun_log_level {
#define X(id, name) LUN_LOG_##id,
    LUN_LOG_LEVELS(X)
#undef X
    LUN_LOG_LEVEL_COUNT
};

enum { LUN_LOG_BYTES = 2000 };      /* of a message; what is longer is cut and ends in … */

/* Zero-initialised it writes nothing. */
struct lun_log {
    enum lun_log_level least;       /* what is below is not said */
    int fd;                         /* where lines go; 0: nowhere */
    bool json;                      /* {"time":…,"level":…,"message":…} instead of "time level message" */
    bool colour;                    /* of the level's name; for terminals */
    /* If set, takes each message instead, and nothing is written to `fd`. `message` is one line of UTF-8 with controls
     * escaped, without time, level and line end; it ends with a NUL and is borrowed until the function returns. Called on
     * whatever thread logs. */
    void (*take)(void *host, enum lun_log_level level, const char *message, size_t n);
    void *host;
};

/* The log a program starts with: lines on `fd` (2 is stderr), from LUN_LOG_INFO on, coloured if that is a terminal and the
 * environment has no NO_COLOR (no-color.org). */
struct lun_log lun_log_to(int fd);

/* One line. Control characters (a line feed, a terminal's escape) are written as \n, \x1b …, ill-formed UTF-8 as U+FFFD, so
 * that nobody can forge a line or work a terminal with what he sends. NULL for a log says nothing. errno is kept. */
void lun_log(const struct lun_log *, enum lun_log_level, const char *format, ...) __attribute__((format(printf, 3, 4)));

const char *lun_log_level_name(enum lun_log_level);
bool lun_log_level_of(const char *name, enum lun_log_level *);      /* false: there is no such level */
#endif

/* What the commands to a running gateway share: where its admin interface is, a question to it and its answer, blocking (30 s at most).
 * What goes wrong is said on stderr by whoever notices it; a command only passes the exit status on. One thread. */
#ifndef LUN_CLI_REMOTE_H
#define LUN_CLI_REMOTE_H
#include "base/buf.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdio.h>

/* The part of a --help that all of them have. */
#define LUN_REMOTE_WHERE_HELP \
    "  --admin ADDR   where the gateway's admin interface is: 127.0.0.1:4001, unix:/run/lunette.sock. Else the environment's\n" \
    "                 LUNETTE_ADMIN, else `admin` of ./gateway.lua. https://NAME:PORT where it speaks TLS\n"
#define LUN_REMOTE_HELP LUN_REMOTE_WHERE_HELP \
    "  --json         prints the gateway's answer as it came\n" \
    "\n" \
    LUN_REMOTE_END_HELP
#define LUN_REMOTE_END_HELP \
    "The token, where the gateway has one, is taken from LUNETTE_ADMIN_TOKEN. Exit status: 0 fine, 1 refused or not reached, 2 wrong use.\n"

struct lun_remote {
    const char *command;        /* borrowed; for messages: "reload" */
    char *address;              /* as it was said */
    char *url, *socket;         /* without a path behind it; of a unix socket, else NULL */
    bool tls;
    char *pin;                  /* of the key that has to be on the other side, as libcurl says it; NULL: as the system trusts */
    char *token;                /* NULL: none */
    /* to be set behind lun_remote_open, by who wants it otherwise; borrowed */
    FILE *errors;               /* where it is said what goes wrong; NULL: stderr */
    long limit_ms;              /* of a question; 0: 30 s */
    bool (*stop)(void *self); void *self;      /* asked about once a second while an answer is waited for; true: it is waited for no longer. NULL: never */
};

/* Finds address and token; nothing is connected yet. `admin` is what --admin said, or NULL. 0, or the exit status. Free it in any case. */
int  lun_remote_open(struct lun_remote *, const char *command, const char *admin);
void lun_remote_free(struct lun_remote *);

struct lun_remote_answer { long status; struct lun_buf text; struct lun_json json; };

/* Asks: a POST, with `body` as JSON (NULL: without one), or a GET. `path` with its query. 0: *answer is a 200 with a JSON object. 1: it was
 * refused, not reached or not understood, which was said, but for what the answer itself says if `quiet`. Free the answer in any case. */
int  lun_remote_get(const struct lun_remote *, const char *path, bool quiet, struct lun_remote_answer *);
int  lun_remote_post(const struct lun_remote *, const char *path, const struct lun_buf *body, bool quiet, struct lun_remote_answer *);
int  lun_remote_tell(const struct lun_remote *, const char *method, const char *path, const struct lun_buf *body, bool quiet,
                     struct lun_remote_answer *);      /* by another method */
void lun_remote_answer_free(struct lun_remote_answer *);

/* user@host of whoever runs this, for audit lines; of printable ASCII. */
enum { LUN_REMOTE_USER = 65 };
void lun_remote_user(char out[LUN_REMOTE_USER]);

/* ---- printing; nothing that comes from the gateway can work a terminal ---- */

void lun_remote_put(struct lun_buf *, struct lun_json);     /* a string's text, anything else as JSON; {0}: nothing */
void lun_remote_put_warnings(struct lun_buf *, struct lun_json answer);     /* `warning: …`, a line each */
void lun_remote_print_json(struct lun_remote_answer *);     /* as it came, on stdout; nothing if it is not JSON */

/* A whole command that has the gateway change its version: POST `path` (`body` NULL: without one); prints version, warnings, what needs a restart. The exit status. */
int lun_remote_change(const struct lun_remote *, const char *path, const struct lun_buf *body, bool json);
#endif

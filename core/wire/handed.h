/* Descriptors that were open before this program began: listening sockets that systemd has opened (socket activation, sd_listen_fds(3)), or all that the
 * process had which this one takes over from. They are told by the environment: LISTEN_PID (whom it is meant for), LISTEN_FDS (how many, from descriptor 3
 * on), LISTEN_FDNAMES (their names, between colons). */
#ifndef LUN_WIRE_HANDED_H
#define LUN_WIRE_HANDED_H
#include <stdbool.h>
#include <sys/types.h>

enum { LUN_HANDED_FIRST = 3, LUN_HANDED_MOST = 1024 };

/*  name: a descriptor of that name; -1: none */
#define LUN_HANDED_NAMES(X) \
    X(admin)            /* a listening socket, for the admin interface */ \
    X(ready)            /* a pipe: a byte on it says that this process serves */ \
    X(state)            /* a file, locked: that of the folder `state` */
struct lun_handed {
    int *fds, n;        /* listening sockets for clients: those of any other name */
#define X(name) int name;
    LUN_HANDED_NAMES(X)
#undef X
};
#define LUN_HANDED_NONE { .admin = -1, .ready = -1, .state = -1 }

/* Takes them: once, before there are threads; the variables are gone afterwards. All are close-on-exec then, sockets non-blocking, and yours to close. True
 * with none: nothing was handed over. False: `error` says which one is not what its name says; none is open. */
bool lun_handed_take(struct lun_handed *, char error[256]);
void lun_handed_drop(struct lun_handed *);              /* closes what nobody has taken (-1: it was), frees the list; none then */

/* Starts `argv[0]` (looked for in PATH where it has no slash) with these, which stay open here too, and with this process' environment otherwise. Its
 * process id; -1: errno says why there is none. */
pid_t lun_handed_start(char *const *argv, const struct lun_handed *);
#endif

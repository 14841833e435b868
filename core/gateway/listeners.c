#include "gateway/listeners.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_all(struct lun_listeners *l)
{
    for (int i = 0; i < l->n; i++) if (l->fds[i] >= 0) close(l->fds[i]);
    if (l->admin >= 0) close(l->admin);
    free(l->fds);
    *l = (struct lun_listeners){ .admin = -1 };
}

/* Fewer than workers: some have one together. */
static bool take(struct lun_listeners *l, int workers, struct lun_handed *handed)
{
    l->n = handed->n > workers ? handed->n : workers;
    l->fds = lun_alloc((size_t)l->n * sizeof *l->fds);
    for (int i = 0; i < l->n; i++) {
        l->fds[i] = i < handed->n ? handed->fds[i] : fcntl(l->fds[i % handed->n], F_DUPFD_CLOEXEC, 0);
        if (i < handed->n) handed->fds[i] = -1;
        else if (l->fds[i] < 0) return false;
    }
    return true;
}

static bool open_clients(struct lun_listeners *l, const struct lun_snapshot *s, int workers, struct lun_handed *handed, char why[256])
{
    if (handed && handed->n) {
        bool good = take(l, workers, handed);
        if (!good) snprintf(why, 256, "a listening socket cannot be had twice: %s", strerror(errno));
        return good;
    }
    l->fds = lun_alloc((size_t)workers * sizeof *l->fds);
    if (!lun_listen(s->listen, workers, l->fds, why)) return false;
    l->n = workers;
    return true;
}

static bool open_admin(struct lun_listeners *l, const struct lun_snapshot *s, struct lun_handed *handed, char why[256])
{
    char what[256];
    if (!s->admin) return true;
    if (handed && handed->admin >= 0) { l->admin = handed->admin, handed->admin = -1; return true; }
    if (lun_listen(s->admin, 1, &l->admin, what)) return true;
    l->admin = -1;
    snprintf(why, 256, "admin: %.240s", what);
    return false;
}

bool lun_listeners_open(struct lun_listeners *l, const struct lun_snapshot *s, int workers, struct lun_handed *handed, char **error)
{
    char why[256] = "";
    *l = (struct lun_listeners){ .admin = -1 };
    if (open_clients(l, s, workers, handed, why) && open_admin(l, s, handed, why)) return true;
    *error = lun_strdup(why);
    close_all(l);
    return false;
}

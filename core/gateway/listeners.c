#include "gateway/listeners.h"
#include "base/alloc.h"
#include "script/convert.h"
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
    memset(l->fds, -1, (size_t)l->n * sizeof *l->fds);
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

/* The loader has looked at the addresses that the configuration names; what was handed over may listen elsewhere. */
static bool others_reach(int fd, char text[LUN_ADDRESS_TEXT])
{
    bool local;
    lun_listen_text(fd, text);
    return !lun_address_valid(text, &local) || !local;
}

bool lun_listeners_reached(const struct lun_listeners *l, char text[LUN_ADDRESS_TEXT])
{
    for (int i = 0; i < l->n; i++) if (others_reach(l->fds[i], text)) return true;
    return false;
}

bool lun_listeners_admin_reached(const struct lun_listeners *l, char text[LUN_ADDRESS_TEXT]) { return l->admin >= 0 && others_reach(l->admin, text); }

static bool closed_to_others(const struct lun_listeners *l, const struct lun_snapshot *s, char why[256])
{
    char text[LUN_ADDRESS_TEXT];
    if (!s->clients_said && lun_listeners_reached(l, text))
        return snprintf(why, 256, "the socket at %.60s, which was handed over, can be reached from other machines, and without clients anyone there could spend on your keys: say who may ask in clients", text), false;
    if (!s->admin_token && lun_listeners_admin_reached(l, text))
        return snprintf(why, 256, "the admin socket at %.60s, which was handed over, can be reached from other machines, and without a token anyone there could change the gateway: say admin_token", text), false;
    return true;
}

bool lun_listeners_open(struct lun_listeners *l, const struct lun_snapshot *s, int workers, struct lun_handed *handed, char **error)
{
    char why[256] = "";
    *l = (struct lun_listeners){ .admin = -1 };
    if (open_clients(l, s, workers, handed, why) && open_admin(l, s, handed, why) && closed_to_others(l, s, why)) return true;
    *error = lun_strdup(why);
    close_all(l);
    return false;
}

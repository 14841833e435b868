/* A table from names to things. Names may be a client's (a tag's values): it is hashed with a key of its own, drawn when the first comes,
 * so that nobody can choose names that collide. Not thread-safe: whoever owns it has the lock. */
#ifndef LUN_STATE_NAMES_H
#define LUN_STATE_NAMES_H
#include <stdbool.h>
#include <stddef.h>
#include "state/siphash.h"

struct lun_names {              /* zero-initialised: empty and valid */
    struct lun_name **slots;
    size_t n, room;             /* room: 0 or a power of two */
    struct lun_siphash key;
};

void *lun_names_get(const struct lun_names *, const char *name);        /* NULL: not there */
void  lun_names_put(struct lun_names *, const char *name, void *thing); /* the name must not be there yet; copied */
void *lun_names_take(struct lun_names *, const char *name);             /* out of it; NULL: it was not there */
/* Goes through them, in no order: e = lun_names_each(&names); while (lun_names_next(&e)) … e.name, e.thing. None is put in meanwhile. */
struct lun_names_each { const struct lun_names *in; size_t slot; struct lun_name *next; const char *name; void *thing; };
struct lun_names_each lun_names_each(const struct lun_names *);
bool lun_names_next(struct lun_names_each *);
void  lun_names_free(struct lun_names *, void (*each)(void *thing));    /* `each` (or NULL) is called for every thing */
#endif

/* What is wrong with a configuration: a list, so that all of it is told at once. */
#ifndef LUN_SCRIPT_MISTAKES_H
#define LUN_SCRIPT_MISTAKES_H
#include "base/arena.h"
#include "base/buf.h"

enum { LUN_MISTAKES_MAX = 200 };    /* those beyond are counted in `more` alone */

struct lun_mistake {
    const char *file;       /* "gateway.lua", or what else said it: "LUNETTE_WORKERS", "--listen" */
    int line;               /* 0: not a file, or the file as a whole */
    const char *what;       /* "limits.attempts: must be a whole number from 1 to 100, not \"four\"". One line, no secrets */
};

/* Zero-initialised: none. Owns its strings until lun_mistakes_free. One thread. */
struct lun_mistakes {
    struct lun_mistake *items; int n, room;
    int more;               /* beyond LUN_MISTAKES_MAX */
    int told;               /* how often something was added, repetitions too */
    struct lun_arena arena;
};

/* Control characters in what is printed are escaped; a mistake that is there already, word for word, is not told twice. */
void lun_mistakes_add(struct lun_mistakes *, const char *file, int line, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Those of the file `first` first, then by file in the order first seen, then what has no line; within a file by line. */
void lun_mistakes_sort(struct lun_mistakes *, const char *first);
void lun_mistakes_print(const struct lun_mistakes *, struct lun_buf *out);      /* `file:line: what`, a line each */
void lun_mistakes_free(struct lun_mistakes *);      /* empty and valid again */
#endif

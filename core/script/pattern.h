/* One attempt to match a pattern of Lua 5.1 (reference manual, 5.4.1): what matcher.h says of patterns happens here. */
#ifndef LUN_SCRIPT_PATTERN_H
#define LUN_SCRIPT_PATTERN_H
#include <stdbool.h>
#include "script/vm.h"

#define LUN_PATTERN_CAPTURES 32

/* Fill L, start, end and pattern_end, the rest with 0. The texts are borrowed: they must stay on L's stack. */
struct lun_pattern {
    lua_State  *L;                      /* where errors are raised */
    const char *start, *end;            /* the subject */
    const char *pattern_end;
    int         level, depth;           /* captures so far; levels of recursion left */
    unsigned    steps;
    struct { const char *at; ptrdiff_t size; } capture[LUN_PATTERN_CAPTURES];
};

/* The end of the match that begins at s, or NULL. `p` is the pattern without its anchor `^`. Raises what is wrong in it. */
const char *lun_pattern_match(struct lun_pattern *, const char *s, const char *p);

/* After a match from s to e: pushes capture i, counted from 0; where there are none, capture 0 is the whole match. */
void lun_pattern_push(struct lun_pattern *, int i, const char *s, const char *e);
/* All of them, and how many; where there are none, the whole match, unless s is NULL. */
int  lun_pattern_push_all(struct lun_pattern *, const char *s, const char *e);

static inline void lun_pattern_step(struct lun_pattern *m)
{
    if ((++m->steps & 1023) == 0) lun_vm_work(m->L, 1024);
}
#endif

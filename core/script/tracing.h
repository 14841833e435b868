/* What a hook does, written into the trace of a request that is to be explained (state/trace.h). For policy.c and the files of the bindings: each is told
 * where a policy looks something up or leaves targets out, and does nothing where nobody wants it explained. */
#ifndef LUN_SCRIPT_TRACING_H
#define LUN_SCRIPT_TRACING_H
#include "script/bind.h"
#include "state/trace.h"

static inline bool lun_traced(const struct lun_mind *mind) { return mind && mind->question->trace; }

/* It has looked at `part` of `of` ("request", "words"); the value is on top of the stack, and left there. */
void lun_tracing_read(lua_State *L, const struct lun_mind *, const char *of, const char *part);
/* `by` has made `after` of `before`: what is missing was left out. */
void lun_tracing_narrowed(lua_State *L, const struct lun_mind *, const struct lun_set *before, const struct lun_set *after, const char *by);
/* It waits for that. */
void lun_tracing_wished(lua_State *L, const struct lun_mind *);
/* Its hook is done, unless it waits: `line` is where its function was last ("file:line", or ""). */
void lun_tracing_done(const struct lun_mind *, const char *line);
#endif

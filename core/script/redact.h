/* What is taken out of a captured text before it is kept: `return function(text, what) … end`, a Lua file of the operator's in a sandboxed machine of its own,
 * which answers the text that may be kept, or nil. It fails closed: whatever goes wrong, nothing is kept. One thread at a time. */
#ifndef LUN_SCRIPT_REDACT_H
#define LUN_SCRIPT_REDACT_H
#include "base/buf.h"
#include "script/vm.h"

struct lun_redact;
/* NULL: *error (yours to free) says why, with file and line. */
struct lun_redact *lun_redact_new(const char *name, const char *text, size_t n, enum lun_vm_cpu cpu, char **error);
/* Appends what may be kept of it. `what`: "request" or "answer". False: nothing may; *why is NULL where the function said so, else what went wrong
 * (borrowed until the next call). */
bool lun_redact(struct lun_redact *, const char *text, size_t n, const char *what, struct lun_buf *out, const char **why);
void lun_redact_free(struct lun_redact *);      /* NULL is fine */
#endif

/* Tries every hook of a version on sample requests before it is taken over: a walk without sockets, on virtual time, with providers that answer,
 * refuse, fail and come too late. What hooks ask for beyond that (http, functions of the host program) answers nil and a reason; `chat` is answered
 * by the same providers; the store is an empty one. Nothing of it is seen outside. Takes some milliseconds; any thread.
 * One that takes more processor time or memory than a hook may is the last that is tried, so that some seconds are enough for any policy. */
#ifndef LUN_GATEWAY_REHEARSAL_H
#define LUN_GATEWAY_REHEARSAL_H
#include "state/snapshot.h"

/* Whether all hooks came through. If not, `wrong` is told of each hook's first failure: "policy.lua:4: …", and on what it was tried. `path`: of
 * gateway.lua, so that files beside it are named as they can be opened from here; NULL: by their names alone.
 * The snapshot must not be in use yet: it is left bound to nothing. */
bool lun_rehearse(struct lun_snapshot *, const char *path, void (*wrong)(void *self, const char *what), void *self);
#endif

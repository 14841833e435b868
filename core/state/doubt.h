/* Targets whose word on what an answer took cannot be believed: they are closed to requests under a hard limit, until an operator says that they
 * can be used again, or has changed what is reckoned with (the target's price, model, context or max_output). Known by the target's name, over
 * reloads, as long as the process lives. Any thread. */
#ifndef LUN_STATE_DOUBT_H
#define LUN_STATE_DOUBT_H
#include "state/snapshot.h"

bool lun_doubt_raise(const struct lun_target *, enum lun_suspect);      /* true: nobody had a doubt before. The first reason stays */
enum lun_suspect lun_doubt_of(const struct lun_target *);               /* LUN_SUSPECT_NONE: there is none */
/* What has changed since it was last asked, for whoever says so: 1 it was raised, -1 it is gone, 0 nothing. One thread at a time. */
int lun_doubt_news(const struct lun_target *);
bool lun_doubt_clear(const struct lun_target *);                        /* true: there was one */
#endif

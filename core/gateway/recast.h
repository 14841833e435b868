/* An answer in its other form: a whole one as the events of a stream, the events as a whole one. For chat and completions in OpenAI's form. Pure.
 *
 * What cannot be told in the other form is refused, never told in part: a client then gets an answer of its own. */
#ifndef LUN_GATEWAY_RECAST_H
#define LUN_GATEWAY_RECAST_H
#include "base/buf.h"
#include "state/price.h"
#include <stdbool.h>

/* Events, added to `out`: for each choice one with all that it says and one with its finish_reason; with `usage` (and if the answer has some) a last
 * one with the usage. No [DONE]. False: it is no such answer, and `out` is as before. */
bool lun_recast_events(const char *whole, size_t n, bool usage, struct lun_buf *out);

/* One event with usage alone, that goes with those events (of which the first one's id and model are taken). */
void lun_recast_usage(const char *events, size_t n, const struct lun_usage *, struct lun_buf *out);

/* A whole answer, added to `out`. Strings of deltas are put together, tool calls by their index. `usage`: of the stream, if it is known and the events
 * do not say it. False: something stands in the events that is not known how to put together, and `out` is as before. */
bool lun_recast_whole(const char *events, size_t n, const struct lun_usage *usage, struct lun_buf *out);
#endif

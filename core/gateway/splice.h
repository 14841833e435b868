/* A body as a provider gets it: the client's bytes, but for what is spliced in or out by offset. Nothing is decoded or
 * written anew, so what nobody named arrives byte for byte. Pure. */
#ifndef LUN_GATEWAY_SPLICE_H
#define LUN_GATEWAY_SPLICE_H
#include "base/http.h"
#include "gateway/ports.h"

/* The slices of the body of this call: model's name, stream_options.include_usage, output cap, `set drop rename` of the step (which cannot
 * touch model and stream). *out is in the question's arena and points into it and into the body. Returns how many. */
int lun_splice(const struct lun_call *, const struct lun_slice **out);

/* Whether lun_splice asks this call's provider for usage although the client did not: then the client is not shown it. */
bool lun_splice_asks_usage(const struct lun_call *);
#endif

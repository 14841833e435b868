/* A request made again out of its line of the request log, as far as the line tells it. */
#ifndef LUN_GATEWAY_REBUILT_H
#define LUN_GATEWAY_REBUILT_H
#include "base/buf.h"
#include "base/json.h"
#include "state/question.h"

enum { LUN_REBUILT_HEADERS = 8, LUN_REBUILT_SETTINGS = 64, LUN_REBUILT_MISSING = 8 };

struct lun_rebuilt {                    /* zero-initialise; texts live in `arena` */
    struct lun_arena arena;
    enum lun_endpoint endpoint;
    struct lun_buf body;
    struct lun_pair headers[LUN_REBUILT_HEADERS]; int n_headers;
    struct lun_pair settings[LUN_REBUILT_SETTINGS]; int n_settings;     /* of the policy, as they were set then */
    const char *client;                 /* NULL: an open gateway's */
    const char *missing[LUN_REBUILT_MISSING]; int n_missing;            /* what the line does not tell, for people; static */
};

bool lun_rebuilt_is_line(struct lun_json);      /* it looks like one, and not like a body */
/* False: it is none, *why says why (static). */
bool lun_rebuilt_read(struct lun_rebuilt *, struct lun_json line, const char **why);
void lun_rebuilt_free(struct lun_rebuilt *);
#endif

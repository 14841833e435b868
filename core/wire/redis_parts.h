/* What the files redis*.c share; for nobody else. */
#ifndef LUN_WIRE_REDIS_PARTS_H
#define LUN_WIRE_REDIS_PARTS_H
#include "wire/redis.h"
#include <hiredis.h>

/* "redis://10.0.0.5:6379 cannot be reached (Connection refused)". detail: what was said about it, made printable and cut; NULL: nothing. */
void lun_redis_say(char why[LUN_REDIS_WHY], const char *place, enum lun_redis_error, const char *detail);

/* SHA-1 in hexadecimal, as EVALSHA names a script. Returns `out`. */
const char *lun_redis_digest(const char *script, char out[41]);

/* hiredis' parser, but for lists of over LUN_REDIS_ITEMS, for which it would take memory before anything of them has come. */
struct lun_redis_parser { redisReader *reader; redisReplyObjectFunctions functions; void *(*make_list)(const redisReadTask *, int); };
void lun_redis_parser_open(struct lun_redis_parser *);
void lun_redis_parser_close(struct lun_redis_parser *);

struct lun_redis_answer { struct lun_redis_reply reply; const char **items; size_t *lens; char (*numbers)[24]; };
/* From hiredis' form, which is borrowed until free; `why` too. False: a list within a list, which is not for us; nothing to free. */
bool lun_redis_answer_read(struct lun_redis_answer *, const redisReply *, const char *place, char why[LUN_REDIS_WHY]);
void lun_redis_answer_free(struct lun_redis_answer *);
#endif

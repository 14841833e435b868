/* Which requests are equal, for the response cache: one digest of 128 bits, keyed so that nobody can make two that collide.
 *
 * Two requests are equal if the same policy of the same version and settings would have to decide the same for both: same client (unless answers
 * are shared), endpoint, targets that may be used, labels, task, class, tags and budget, and a body that means the same, whatever the order of members and
 * the white space. What a policy decides by besides (user, session, headers, who the client is …) belongs to the key once a hook of that version has
 * looked at it: see enum lun_reads in state/question.h. */
#ifndef LUN_STATE_CACHE_KEY_H
#define LUN_STATE_CACHE_KEY_H
#include "state/question.h"
#include "state/siphash.h"

struct lun_cache_key {
    struct lun_digest digest;
    unsigned reads;             /* what of the request it was made of besides: LUN_READS_… */
    bool stored;                /* the client wants the provider to keep the answer (`store: true`): asking again is not the same */
};

/* The question is recognised, classified and narrowed. `hooks`: a policy decides (false: lunette.chat, which is never equal to a client's request, so
 * that no hook can wait for a request that waits for it). */
void lun_cache_key_make(struct lun_cache_key *, struct lun_siphash secret, const struct lun_question *, bool hooks);

/* What a request is called among gateways on one Redis: a SHA-256, in hexadecimal, of what its key was made of and of all that decides how gateways answer
 * (lun_snapshot.alike); nobody can make two that are the same. `key` was made of that question. */
enum { LUN_CACHE_NAME = 65 };
void lun_cache_key_name(char out[LUN_CACHE_NAME], struct lun_cache_key *key, const struct lun_question *, bool hooks);

/* Which of LUN_READS_… a field of the body counts by; 0: it is always part of the key. */
unsigned lun_cache_key_field(const char *name);

/* What a JSON text means, by itself: members in any order, white space anywhere. Numbers and strings count as they are written. `text` was checked. */
struct lun_digest lun_cache_key_json(struct lun_siphash secret, const char *text, size_t n);
#endif

/* What is said of a key that is made at run time, in JSON: the fields of an entry of `clients` with the same checks and the same words about what is
 * wrong. Threads: any. */
#ifndef LUN_SCRIPT_LOAD_KEY_H
#define LUN_SCRIPT_LOAD_KEY_H
#include "base/json.h"
#include "script/mistakes.h"
#include "state/keyring.h"

/* What may be said beside the fields of `clients`. */
enum {
    LUN_KEY_SAYS_NAME    = 1,       /* must be said */
    LUN_KEY_SAYS_EXPIRES = 2,       /* RFC 3339, seconds from now, or null: never */
    LUN_KEY_SAYS_ANEW    = 4,       /* true: of a name that was revoked */
};

struct lun_key_form {               /* zero-initialised; all in its arena until lun_key_form_free */
    struct lun_arena arena;
    struct lun_key key;             /* rule, team, fields, name; and `expires`, LUN_NEVER where nothing is said */
    bool expires_said, anew;
};

/* `said`: an object, checked. `onto`: the fields that it changes, as a JSON Merge Patch (RFC 7396); {0}: none. `name`: the key's, where `may` does not have
 * it said. `s`: what teams and models are looked up in; NULL: they are not, the key was good when it was made. False: `mistakes` ("team: there is no …"). */
bool lun_key_form_read(struct lun_key_form *, struct lun_json said, struct lun_json onto, const char *name, unsigned may, const struct lun_snapshot *s, lun_us wall,
                       struct lun_mistakes *);
void lun_key_form_free(struct lun_key_form *);

/* How long a replaced text stays valid: `keep`, seconds from 0 to a year, in `said` (an object, or {0}); a day where nothing is said. */
bool lun_key_keep_read(struct lun_json said, lun_us *keep, struct lun_mistakes *);
#endif

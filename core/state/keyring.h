/* Keys that are made while the gateway runs: who may ask beside the `clients` of the configuration. A key and a ring of them are immutable and
 * reference-counted: what is changed is a new key in a new ring, which every worker takes over between two events; a request keeps the key that it
 * began with to its end.
 *
 * Of a key's text only the SHA-256 is here, and its first characters for people. A presented key is found by its SHA-256 in a table, so that ten
 * thousand keys cost what one does; where it lies there its whole digest is compared in constant time. What the time tells of the table is whether
 * some key's digest begins with the same bits as the presented one's: nobody can choose a text by its digest, and knowing bits of a digest brings nobody
 * nearer to a text of 256 random bits.
 *
 * Two gateways that learn each other's changes come to the same ring in whatever order they learn them (lun_key_is_newer). */
#ifndef LUN_STATE_KEYRING_H
#define LUN_STATE_KEYRING_H
#include "state/snapshot.h"

enum { LUN_KEYS_MOST = 100000, LUN_KEY_OLDER_MOST = 8, LUN_KEY_HINT = 12 };
#define LUN_KEY_BEGIN "sk-lun-"

struct lun_key_digest {         /* one text of a key: all that is known of it */
    unsigned char hash[LUN_KEY_HASH];
    char hint[LUN_KEY_HINT];    /* "sk-lun-AbCd": how it begins */
    lun_us until;               /* wall: it is valid before then; LUN_NEVER: no such end */
};

struct lun_key {
    atomic_int references;
    struct lun_client_rule rule;        /* as an entry of `clients`, without a team: `team` is looked up in each request's own version. Account and state:
                                           lun_registry_bind_key */
    const char *team;           /* its name, or NULL */
    const char *fields;         /* what was said of it, as a JSON object: the names of `clients` but name and hash */
    const char *name;           /* rule.name */
    int64_t life, version;      /* from 1: a key of a name that was revoked is its next life; each change of it the next version */
    lun_us made, changed;       /* wall */
    lun_us expires;             /* wall: invalid from then on; LUN_NEVER: does not */
    lun_us revoked;             /* wall: when; 0: it is not */
    struct lun_key_digest now;  /* its text; `until` means nothing */
    const struct lun_key_digest *older; int n_older;    /* those before it, valid for a while */
};

/* What a key says, to be changed and made another one of; its strings are borrowed. */
struct lun_key lun_key_said(const struct lun_key *);
/* A copy of all that `like` says, with one reference; account and state of its rule are left out. */
struct lun_key *lun_key_new(const struct lun_key *like);
struct lun_key *lun_key_ref(struct lun_key *);          /* NULL is fine */
void lun_key_unref(struct lun_key *);                   /* any thread */

/* Which of two keys of one name counts: that of the later life; then one that was revoked, so that no change made elsewhere undoes it; then the later
 * version; then what was changed later; then any one of them, everywhere the same. False where they are equal. */
bool lun_key_is_newer(const struct lun_key *, const struct lun_key *than);

/* How a presented key stands. */
enum lun_key_standing { LUN_KEY_UNKNOWN, LUN_KEY_VALID, LUN_KEY_EXPIRED, LUN_KEY_REPLACED, LUN_KEY_REVOKED };
enum lun_key_standing lun_key_stands(const struct lun_key *, lun_us wall);      /* its present text */
const char *lun_key_standing_name(enum lun_key_standing);       /* "valid" */

struct lun_keyring {
    atomic_int references;
    struct lun_key **keys; int n;       /* by name, in byte order; those that were revoked too, whose names stay taken */
    struct lun_key_place *places; size_t room;
};

struct lun_keyring *lun_keyring_new(struct lun_key *const *, int n);    /* references are taken; of equal names the newest */
struct lun_keyring *lun_keyring_ref(struct lun_keyring *);      /* NULL is fine, and stands for an empty one, below too */
void lun_keyring_unref(struct lun_keyring *);                   /* any thread */

/* Borrowed from the ring; NULL: nobody's, and the standing is UNKNOWN. Only what is VALID may ask. */
struct lun_key *lun_keyring_find(const struct lun_keyring *, const unsigned char hash[LUN_KEY_HASH], lun_us wall, enum lun_key_standing *);
struct lun_key *lun_keyring_named(const struct lun_keyring *, const char *name);        /* NULL: there is none */

/* A ring with these in it too: of equal names what is newer. *changed (may be NULL) is how many of them are: 0, and it is the same ring again. With a
 * reference. */
struct lun_keyring *lun_keyring_with(struct lun_keyring *, struct lun_key *const *, int n, int *changed);
#endif

/* Secrets, by name: where a key comes from, and whether what is there can be one. The value is looked for in
 *   1. the environment variable NAME,
 *   2. the file $CREDENTIALS_DIRECTORY/NAME (systemd's LoadCredential=),
 *   3. the file /run/secrets/NAME (Docker, Podman, Kubernetes).
 * White space, line ends, a byte order mark and one pair of quotation marks round it are taken off; what is empty then counts as not there, and the next place is looked at.
 * Nobody but who sends it ever reads a value: problems name the variable, never what stands in it. */
#ifndef LUN_SCRIPT_SECRET_H
#define LUN_SCRIPT_SECRET_H
#include <stdbool.h>

#define LUN_ADMIN_TOKEN "LUNETTE_ADMIN_TOKEN"       /* the secret that is asked for where `admin_token` names none */

enum { LUN_SECRET_MOST = 16384 };       /* bytes of a value */

struct lun_found {          /* one secret, looked for */
    struct lun_found *next;
    const char *name;
    const char *value;      /* printable ASCII; NULL: none, see problem */
    const char *problem;    /* "OPENAI_API_KEY is not set: …"; NULL: all is well */
    const char *from;       /* the place it was found in: "environment" or the file; NULL: none */
};

struct lun_secrets;
/* `environment` as of execve, borrowed; NULL: the process's own. `folder` is copied; NULL: "/run/secrets". */
struct lun_secrets *lun_secrets_new(const char *const *environment, const char *folder);
void lun_secrets_free(struct lun_secrets *);    /* wipes all values */

/* Looks once per name; the same answer afterwards. Never NULL. Borrowed until free. */
const struct lun_found *lun_secrets_find(struct lun_secrets *, const char *name);

/* The environment variable's text, or NULL. `asked` of a name: whether this or find was called for it. */
const char *lun_secrets_variable(struct lun_secrets *, const char *name);
bool lun_secrets_asked(const struct lun_secrets *, const char *name);
/* Every file that was looked at so far, found or not. */
void lun_secrets_files(const struct lun_secrets *, void (*tell)(void *self, const char *path), void *self);

/* "changeme", "<your key>", "YOUR_API_KEY", "sk-xxxx", "..." and their like, in capitals or not: what stands in examples. */
bool lun_secret_placeholder(const char *value);
#endif

/* gateway.lua → snapshot. The file runs in a sandboxed machine of its own, its table is read as plain data, everything that
 * can be wrong with it is looked at, and all mistakes are told at once. Either there is no mistake and a snapshot, or there is
 * none. Nothing is opened, no provider is asked; what is read is gateway.lua and the files it names (policy, what the two
 * require, scenarios, dialects, whether a CA file can be read), each at most 1 MiB.
 *
 * Beyond what sandbox.h gives, gateway.lua has
 *   secret "NAME"             an opaque value: the environment variable, else $CREDENTIALS_DIRECTORY/NAME, else
 *                             /run/secrets/NAME, blanks round it taken off. It can be passed on, not read (secret.h)
 *   env("NAME", default)      the environment variable as text; the default (or nil) when it is not set or empty.
 *                             Refused where a secret belongs
 *   lunette.has_secret "NAME" true when secret "NAME" would be found and is no placeholder
 *   lunette.merge(a, b, …)    a new table: what stands further right wins; tables with names are merged (an empty one adds
 *                             nothing), lists replaced
 *   require "x"               x.lua beside gateway.lua (a.b: a/b.lua)
 * `lunette` is there as a global, and as require "lunette". In providers, models, lists of targets and clients `false` is
 * passed over, so that an entry can be said as `lunette.has_secret "X" and { … }`.
 *
 * Overrides. LUNETTE_ + the path of a setting in capitals, everything but letters and digits as _ : LUNETTE_LISTEN,
 * LUNETTE_LIMITS_DEADLINE, LUNETTE_PROVIDERS_OPENAI_BASE_URL (see settings.h). They win over the file; the command line wins over them.
 * A variable LUNETTE_… that is neither a setting nor asked for by the file (secret, env) is a mistake; those that container
 * platforms make for a service of that name (…_SERVICE_HOST, …_SERVICE_PORT…, …_PORT, …_PORT_…) are passed over.
 *
 * The version hash is over gateway.lua, the policy, what both require, scenarios and dialects: names, lengths and bytes. Not
 * over the environment, secrets, or what is part of the binary: a reload must not take an equal version for equal settings.
 *
 * Threads: any, but one load at a time per thread; it takes some ms and may block on the disk. */
#ifndef LUN_SCRIPT_LOAD_H
#define LUN_SCRIPT_LOAD_H
#include "script/mistakes.h"
#include "script/origins.h"
#include "script/vm.h"
#include "state/keyring.h"

struct lun_load_options {           /* NULL, or zero: as said */
    const char *const *environment; /* NULL: the process's own. "NAME=value", ends with NULL */
    const char *secrets_folder;     /* NULL: "/run/secrets" */
    const struct lun_pair *set; int n_set;      /* from the command line: path ("listen", "limits.deadline") → text */
    struct lun_origins *origins;    /* not NULL: filled with every setting, its value and where that came from */
    struct lun_mistakes *notes;     /* not NULL: added to, what is no mistake and worth a look: names in the policy that the configuration does not have */
    enum lun_vm_cpu cpu;            /* how the machine's time is limited */
    bool no_policy_check;           /* the policy's text is read, but not run */
    bool as_it_was;                 /* a version that served before is to come back: LUNETTE_SETTINGS_… that its policy does not take are no mistake */
    const struct lun_keyring *keyring;      /* keys made at run time, whose names and texts `clients` may not have; NULL: none. Borrowed */
    bool no_secrets;                /* one that is not there is no mistake: what it belongs to goes without. For who asks nobody */
    /* Told of every file that the load looks at, found or not, also when it fails: so that its change can be noticed. Borrowed. */
    void (*looked_at)(void *self, const char *path); void *looked_at_self;
    const struct lun_file *files; int n_files;  /* stand before those of the folder, whether there is one or not; names as the
                                       configuration writes them. Borrowed until the load is over */
};

/* Reads a file. NULL: `mistakes` (zero-initialised or used before; added to) says why. With one reference, yours. */
struct lun_snapshot *lun_load(const char *path, const struct lun_load_options *, struct lun_mistakes *);

/* The same for a text: `name` is how mistakes call it, `folder` where the files it names are, "" or NULL: there are none
 * but those of the binary. */
struct lun_snapshot *lun_load_text(const char *name, const char *text, size_t n, const char *folder,
                                   const struct lun_load_options *, struct lun_mistakes *);
#endif

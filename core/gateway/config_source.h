/* Where a gateway's configuration comes from, so that it can be loaded again: a file with those beside it, or a text. Immutable once made: it
 * may be loaded on any thread, one load at a time. */
#ifndef LUN_GATEWAY_CONFIG_SOURCE_H
#define LUN_GATEWAY_CONFIG_SOURCE_H
#include "gateway/keep.h"
#include "script/load.h"

struct lun_config_source {             /* strings borrowed until the gateway is freed */
    const char *path;           /* of gateway.lua; or NULL, and */
    const char *name, *text; size_t n; const char *folder;      /* as lun_load_text takes them */
    struct lun_load_options options;    /* environment, set, cpu; the rest is filled in here */
    const struct lun_host_function *host; int n_host;           /* what every version's policy can call of the host program */
};

/* Paths, each once. Zero-initialised: none. */
struct lun_paths { char **at; int n, room; };
void lun_paths_free(struct lun_paths *);

/* As it is now. `notes` (may be NULL): see load.h. `looked_at` (may be NULL) gets every file that it depends on, also when it fails. */
struct lun_snapshot *lun_config_source_load(const struct lun_config_source *, struct lun_mistakes *, struct lun_mistakes *notes, struct lun_paths *looked_at);
/* As it was: the files of an earlier version, with today's environment and secrets. */
struct lun_snapshot *lun_config_source_load_kept(const struct lun_config_source *, const struct lun_kept *, struct lun_mistakes *);
#endif

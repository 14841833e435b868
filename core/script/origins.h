/* The merged table: every setting of a configuration, its value, and where it came from. For `lunette check`. */
#ifndef LUN_SCRIPT_ORIGINS_H
#define LUN_SCRIPT_ORIGINS_H
#include "base/arena.h"
#include "base/buf.h"

struct lun_origin {
    const char *path;       /* "providers.openai.timeouts.connect", "models["gpt 4"][1].weight" */
    const char *value;      /* as it would be written in Lua; secrets as `secret "NAME"` */
    const char *from;       /* "gateway.lua:12", "LUNETTE_LISTEN", "--listen", "default" */
};
/* Zero-initialised: empty. Owns its strings until lun_origins_free. */
struct lun_origins { struct lun_origin *items; int n, room; struct lun_arena arena; };

void lun_origins_add(struct lun_origins *, const char *path, const char *value, const char *from);      /* copies all; NULL list: nothing */
void lun_origins_print(const struct lun_origins *, struct lun_buf *out);        /* a line each: path = value  -- from */
void lun_origins_json(const struct lun_origins *, struct lun_buf *out);         /* [{"path":…,"value":…,"from":…},…] */
void lun_origins_free(struct lun_origins *);
#endif

/* The files of lua/ and policies/, and the dashboard, inside the binary (written by tests/tools/bundle), so that one file is enough. */
#ifndef LUN_SCRIPT_BUNDLE_H
#define LUN_SCRIPT_BUNDLE_H
#include <stddef.h>

struct lun_bundle_file {
    const char *name;       /* path in the source tree: "lua/sandbox.lua", "policies/cascade.lua" */
    const char *start;      /* its text; a NUL follows the last byte and is not counted */
    size_t      size;
};

extern const struct lun_bundle_file lun_bundle[];       /* ends with a NULL name */

/* The file of that exact name, or NULL. Lives as long as the process. Any thread. */
const struct lun_bundle_file *lun_bundle_find(const char *name);

/* The file that `require` means by a module's name: "lunette" is lua/lunette.lua, "lunette.a.b" is lua/a/b.lua, with
 * or without the "lunette." in front where `bare` is true. NULL: none of ours, or one that is not for requiring. */
const struct lun_bundle_file *lun_bundle_module(const char *module, int bare);
#endif

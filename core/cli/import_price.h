/* Prices of LiteLLM's list, as the table that `price` of a target takes: for targets whose entry there has another name than the gateway would look for. */
#ifndef LUN_CLI_IMPORT_PRICE_H
#define LUN_CLI_IMPORT_PRICE_H
#include "script/price_file.h"
#include <lua.h>

/* Pushes { input =, output =, …, above = { { tokens =, … } }, flex = { … }, … } in USD, or nil where nothing is known of the name. */
void lun_import_price_push(lua_State *, const struct lun_price_file *, const char *name);
#endif

/* What settings say before names are resolved to pointers: between the table of settings and the loader. */
#ifndef LUN_SCRIPT_DRAFT_H
#define LUN_SCRIPT_DRAFT_H
#include "state/snapshot.h"

struct lun_provider_draft {
    struct lun_provider provider;   /* first: a provider's settings go here */
    const char *key_pattern; int key_min, key_max;
};
struct lun_target_draft { struct lun_target target; const char *provider; };
struct lun_canary_draft { struct lun_canary_rule rule; const char *provider, *probe; };
struct lun_tag_draft { struct lun_tag_budget tag; const char *from; };
struct lun_client_draft { struct lun_client_rule client; const char *team, *hash; };
struct lun_capture_draft { struct lun_capture_rules rules; const char *redact; };
#endif

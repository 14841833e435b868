/* The configuration, as everything but the loader sees it: immutable once published, reference-counted, with a generation
 * number. A reload makes a new one aside. What lives longer than one configuration (health, windows, spend) is not in it
 * but in what `state` fields point to, which follow a target, provider or client by its name (state/registry.h).
 *
 * All strings and arrays belong to the snapshot and live as long as it does. Times are lun_us, money nano-USD. */
#ifndef LUN_STATE_SNAPSHOT_H
#define LUN_STATE_SNAPSHOT_H
#include "base/arena.h"
#include "base/clock.h"
#include "state/canary.h"
#include "state/price.h"
#include "state/tuning.h"
#include <stdatomic.h>
#include <stdbool.h>

struct lun_pair { const char *name, *value; };

/* What holds where gateway.lua is silent; the loader starts from lun_snapshot_new and from these. */
#define LUN_DEFAULT_LISTEN      "127.0.0.1:4000"
#define LUN_DEFAULT_ADMIN       "127.0.0.1:4001"
#define LUN_DEFAULT_CONNECT     (5 * LUN_SECOND)        /* per provider: timeouts */
#define LUN_DEFAULT_FIRST_BYTE  (60 * LUN_SECOND)       /* models that think first may take most of a minute */
#define LUN_DEFAULT_IDLE        (60 * LUN_SECOND)
#define LUN_DEFAULT_TOTAL       (600 * LUN_SECOND)      /* above the deadline, so that this one decides */
#define LUN_DEFAULT_FAILURES    5                       /* health */
#define LUN_DEFAULT_REST        (60 * LUN_SECOND)
#define LUN_DEFAULT_HALF_OPEN   1
#define LUN_DEFAULT_BODY        ((int64_t)32 << 20)     /* limits, in bytes */
#define LUN_DEFAULT_ANSWER      ((int64_t)32 << 20)
#define LUN_DEFAULT_BUFFERED    ((int64_t)1 << 30)
#define LUN_DEFAULT_DEADLINE    (590 * LUN_SECOND)
#define LUN_DEFAULT_LAG         (100 * LUN_MS)
#define LUN_DEFAULT_STALL       (60 * LUN_SECOND)
#define LUN_DEFAULT_STOP        (30 * LUN_SECOND)
#define LUN_DEFAULT_CONNECTIONS 10000
#define LUN_DEFAULT_ATTEMPTS    4
#define LUN_DEFAULT_RETRIES     0.2
#define LUN_DEFAULT_HEDGES      0.05
#define LUN_DEFAULT_OUTPUT      16384                   /* tokens */
#define LUN_DEFAULT_KEEPALIVE   (15 * LUN_SECOND)
#define LUN_DEFAULT_PREMIUM     (30 * LUN_NANO_PER_USD)
#define LUN_DEFAULT_WEIGHT      1.0
#define LUN_DEFAULT_PREFIX      "lunette"              /* of all keys in a Redis */

struct lun_timeouts { lun_us connect, first_byte, idle, total; };       /* of an attempt; a step may say otherwise */

struct lun_health_rules {
    bool off;                   /* `health = false`: no circuit, no cooling, nothing is taken out */
    int failures;               /* in a row that open the circuit */
    lun_us rest;                /* before an open circuit lets a request through as a probe */
    int half_open;              /* how many at once */
    bool cooling_provider;      /* a Retry-After rests all of the provider's targets, not one */
};

#define LUN_DEFAULT_PROBE_EVERY   (30 * LUN_SECOND)
#define LUN_DEFAULT_PROBE_TIMEOUT (10 * LUN_SECOND)
struct lun_probe_rules {        /* how a provider that is down is asked whether it is back */
    lun_us every;               /* 0: it is not */
    bool completion;            /* by a tiny completion; else by a GET of `path` */
    const char *path;           /* behind base_url */
    const char *model;          /* of a completion, as the provider calls it; NULL: its cheapest */
    const struct lun_target *target;    /* the target that `model` belongs to; NULL: by GET */
    int max_tokens;
    lun_us timeout;             /* of the whole probe */
};

struct lun_secret { const char *name, *value; };    /* name: of the variable or file. The value is never shown anywhere */

struct lun_file { const char *name, *text; size_t n; };         /* name: as shown in errors, relative to the folder */

/* A file that the configuration was made of. */
enum lun_part_kind { LUN_PART_CONFIG, LUN_PART_CONFIG_MODULE, LUN_PART_POLICY, LUN_PART_POLICY_MODULE, LUN_PART_SCRIPT, LUN_PART_DIALECT, LUN_PART_PRICES,
                     LUN_PART_REDACT };
struct lun_part {
    enum lun_part_kind kind;
    const char *module;         /* the MODULE kinds: what `require` was given; otherwise NULL */
    struct lun_file file;
    bool bundled;               /* is part of the binary: nothing on disk to watch, and, but for a policy, not in the version's hash */
};

enum lun_transport { LUN_TRANSPORT_AUTO, LUN_TRANSPORT_CURL, LUN_TRANSPORT_DIRECT };    /* wire/upstream.h tells what each is */

struct lun_provider {
    int index;                  /* in snapshot->providers */
    const char *name, *dialect;         /* "openai" is native: dialect_file is empty */
    struct lun_file dialect_file;       /* the Lua file that translates, of the binary or beside gateway.lua; text NULL: native */
    const char *base_url;       /* without a slash at the end; NULL: `script` answers */
    const char *script, *script_name;   /* the text of a scenario that this process plays itself; NULL: base_url */
    const struct lun_secret *keys; int n_keys;      /* 0: none is sent */
    struct lun_timeouts timeouts;
    const struct lun_pair *headers; int n_headers;  /* sent with every call */
    const char *ca, *proxy;     /* NULL: the system's certificates; no proxy */
    int connections;            /* at most; 0: no limit */
    enum lun_transport transport;
    bool http2, usage;          /* usage: it understands stream_options.include_usage */
    bool cancel_stops_billing, cancel_goes_on;  /* what hanging up in the middle of a stream does to its bill, where it was said; neither: ended is only
                                   taken for what no hard limit hangs on */
    struct lun_health_rules health;
    struct lun_probe_rules probe;
    bool check_keys;            /* each key is asked about before the first request, and a new one when it comes */
    struct lun_provider_state *state;
};

extern const struct lun_timeouts lun_timeouts_default;
extern const struct lun_health_rules lun_health_rules_default;

enum lun_support { LUN_SUPPORTS_TOOLS = 1, LUN_SUPPORTS_IMAGES = 2, LUN_SUPPORTS_SCHEMA = 4 };

struct lun_target {
    int index;                  /* in snapshot->targets: the order of the configuration */
    const char *name;           /* default provider/model; what health, windows and spend are keyed by */
    const char *model;          /* the name in `models`, or the pattern */
    const char *upstream;       /* what the provider calls it; has a * when the model is a pattern */
    const struct lun_provider *provider;
    struct lun_price price;
    double weight;
    int64_t requests_per_minute, tokens_per_minute;     /* per key; 0: no limit */
    int64_t context, max_output;                        /* tokens; 0: not given */
    unsigned supports; bool supports_given;             /* not given: everything */
    const char *facts;          /* JSON of the table `facts`, "{}" when not given */
    struct lun_target_state *state;
    struct lun_money_name *ledger_name;
};

struct lun_model {
    const char *name; bool pattern;     /* a pattern has one *, at its end or alone */
    const struct lun_target *const *targets; int n_targets;
};

enum lun_trust { LUN_TRUST_TASK = 1, LUN_TRUST_TAGS = 2, LUN_TRUST_BUDGET = 4, LUN_TRUST_CLASS = 8, LUN_TRUST_EXPLAIN = 16, LUN_TRUST_ALL = 31 };

enum lun_period { LUN_PER_EVER, LUN_PER_HOUR, LUN_PER_DAY, LUN_PER_WEEK, LUN_PER_MONTH, LUN_PER_ROLLING };
struct lun_budget_rule {
    int64_t limit;              /* < 0: none */
    enum lun_period per;
    double soft;                /* share, 0: none */
    lun_us window;              /* LUN_PER_ROLLING: how far back it looks */
    const struct lun_zone *zone;        /* NULL: UTC; lives as long as the process */
    bool shared;                /* by several gateways, whose clocks differ: what the money says (lun_draw_share), not the configuration */
};

#define LUN_TAG_BUDGETS 4       /* tags that have budgets, at most */
enum lun_tag_from { LUN_TAG_FROM_TAGS, LUN_TAG_FROM_HEADER, LUN_TAG_FROM_METADATA, LUN_TAG_FROM_POLICY };
struct lun_tag_budget {         /* a budget for each value of a tag */
    int index;
    const char *name;
    enum lun_tag_from from;
    const char *at;             /* the header, in lower case, or the name in the body's metadata; NULL */
    bool required;              /* who says none is refused */
    int values;                 /* that have an account of their own */
    struct lun_budget_rule budget;
    struct lun_tag_values *state;
};

struct lun_team {
    const char *name;
    struct lun_budget_rule budget;
    struct lun_account *account;        /* always there: what has no limit is counted too */
};
struct lun_client_rule {        /* who may ask: an entry of `clients` */
    int index;
    const char *name;
    const struct lun_team *team;        /* may be NULL */
    unsigned char hash[32];     /* SHA-256 of the key */
    const char *const *models; int n_models;    /* names or patterns; none given: all */
    int64_t requests_per_minute;        /* 0: no limit */
    const char *class;          /* "interactive", "batch" … or NULL */
    const char *task;           /* default task or NULL */
    const struct lun_pair *tags; int n_tags;    /* its own */
    bool substitute, expose;    /* expose: x-lunette- headers that tell of providers and targets */
    unsigned trust;
    struct lun_budget_rule budget;
    struct lun_account *account;
    struct lun_client_state *state;
    struct lun_money_name *ledger_name;
};

struct lun_limits {
    int64_t body, answer, buffered;     /* bytes */
    lun_us deadline;            /* of a request, over all attempts */
    lun_us lag;                 /* shed.h; 0: nothing is shed */
    lun_us stop;                /* for open requests to end once the gateway is asked to */
    lun_us stall;               /* for a client to take the next step of its answer: wire/server.h */
    int connections, attempts;
    double retries;             /* share of requests over 10 s; negative: no retry budget */
    double hedges;              /* share of the last minute's requests */
    int64_t output;             /* tokens, held where a request names no max_tokens */
    bool attempts_given, retries_given; /* gateway.lua said so: the policy's own `limits` do not count */
};

extern const struct lun_limits lun_limits_default;

struct lun_cache_rules {
    int64_t size;               /* bytes, all in all; 0: there is no cache */
    lun_us ttl;
    bool shared;                /* by all clients; otherwise each has its own */
    int64_t answer;             /* bytes of one; a larger one is not kept */
    bool redis;                 /* with the other gateways on the same Redis */
    lun_us redis_wait;          /* for an answer from there, at most */
};

struct lun_capture_rules {      /* bodies that are kept for who asks why */
    double share;               /* of requests; 0: none by chance */
    bool errors;                /* those that failed */
    const char *const *keys; int n_keys;    /* only of these clients; none named: of all */
    lun_us keep;
    int64_t size;               /* bytes, of all together */
    struct lun_file redact;     /* what is taken out of them first; text NULL: nothing */
};

/* What a listener shows; all NULL: plain HTTP. `shown` alone may be NULL, where the loader was told to do without secrets. */
struct lun_tls_files { const char *certificate, *key; struct lun_certificate *shown; };

struct lun_host_function;

struct lun_snapshot {
    atomic_int references;
    atomic_int generation;      /* counts the versions that this gateway took over, from 1; 0: not yet */
    atomic_int desks;           /* workers that have it, for new requests or for those that are not over */
    atomic_ullong requests;     /* that began with it and are over */
    atomic_ullong hook_failures;
    atomic_uint reads;          /* what its hooks have looked at so far: LUN_READS_… of state/question.h */
    atomic_bool weighs;         /* a request with it has been asked about how many tokens it is */
    struct lun_metrics_kept *counted;   /* where what has its names is counted (lun_registry_bind) */
    struct lun_arena arena;     /* all of the strings and arrays */
    const char *version;        /* "support.lua@a1b2c3d4e5f6": file @ first 12 hex digits of the hash over configuration,
                                   policy and every file they required; "default@…" without a policy */
    unsigned char outside[32];  /* SHA-256 over what counts and is not in the version: the secrets' values, CA files, certificates with their keys. Equal with an equal
                                   version: nothing has changed */
    unsigned char alike[32];    /* with cache.redis: SHA-256 over the version and what decides who answers how and may have come from outside: where it is equal, one
                                   gateway's answers are another's too */
    const char *folder;         /* of gateway.lua, for relative paths; "" for a string */

    const struct lun_part *parts; int n_parts;      /* every file read, gateway.lua first */
    const struct lun_secret *secrets; int n_secrets;    /* every one that a key or header here has its text from. The last unref
                                   wipes these values (explicit_bzero); keys and headers point to the same bytes */

    const char *listen, *admin; /* addresses; admin NULL: none */
    const char *admin_token;    /* NULL: none is asked for. Never shown */
    struct lun_tls_files listen_tls, admin_tls;
    const char *const *admin_hosts; int n_admin_hosts;      /* names that it answers to, beside its own address and those of loopback */
    const char *const *http_allow; int n_http_allow;        /* whom policies may ask by lunette.http; http_said false: everyone */
    bool http_said;
    bool watch;                 /* a change of a file is taken over by itself */
    const char *state;          /* the folder for what survives a restart; NULL: none */
    bool state_said;            /* by the configuration: that it cannot be used is a mistake, else a warning */
    const char *ledger;         /* the file of what was spent; NULL: there is none */
    bool ledger_said;           /* by the configuration: that it cannot be used is a mistake, where else the state folder is missing */
    const char *redis;          /* the URL (state/redis_address.h), never shown; NULL: nothing is shared with other gateways */
    const char *redis_prefix;   /* of all keys there */
    bool redis_cooling;         /* what rests for one of the gateways there rests for all */
    const char *redis_ca;       /* a file of certificates; NULL: the system's */
    int workers;                /* 0: one per core */
    struct lun_file policy;     /* text NULL: no policy */
    const struct lun_host_function *host; int n_host;   /* `lunette.host` of that policy (script/host.h); borrowed from whoever opened it */
    bool refuse_on_error;       /* the policy's on_error = "refuse" */
    const struct lun_policy_setting *settings; int n_settings;  /* what the policy lets be changed while it runs */
    const struct lun_provider *providers; int n_providers;
    const struct lun_canary_rule *canaries; int n_canaries;
    const struct lun_target *targets; int n_targets;
    const struct lun_target *const *all; int n_all;    /* those of the models without a *, each once, in the order of the models: what who may ask for any can use */
    const bool *in_all;         /* the same by a target's index; NULL: `all` was not gathered */
    const struct lun_model *models; int n_models;   /* names first, patterns after, each in the order of the file */
    const struct lun_model *const *by_name; int n_by_name;     /* the same, by their names: one is found in as many steps with a thousand models as with one. NULL:
                                                                   they are not sorted, and one is looked for among all */
    const struct lun_team *teams; int n_teams;
    const struct lun_client_rule *clients; int n_clients;
    const struct lun_client_rule *const *by_hash; int n_by_hash;   /* the same, by the hashes of their keys: a key is found in as many steps with ten thousand clients as with ten */
    bool clients_said;          /* there is such a list, though it may be empty. Not: open, loopback only, until a key is made */
    int64_t premium;            /* nano-USD per million input tokens: a target that is dearer is a premium one */
    struct lun_price premium_price;     /* the mean of theirs, each part; unknown where there is none */
    struct lun_budget_rule total; struct lun_account *total_account;
    const struct lun_tag_budget *tags; int n_tags;
    const char *zone_name; const struct lun_zone *zone; /* of all budgets; NULL: UTC */
    const char *webhook, *webhook_secret;       /* a URL, whose value is never shown; NULL: nobody is told, nothing is signed */
    struct lun_money_name *ledger_version;      /* its `version`, as the ledger has it */
    struct lun_limits limits;
    lun_us keepalive;           /* 0: none */
    struct lun_cache_rules cache;
    struct lun_capture_rules capture;   /* share 0 and no errors: nothing is */
    const char *request_log;    /* a path, "-" or NULL */
    const char *audit_log;      /* a path or NULL */
    bool log_text;              /* whether message text may stand in the log */
    bool log_replay;            /* whether what hooks read stands there */
};

struct lun_snapshot *lun_snapshot_new(void);                    /* empty, defaults filled in, no budget, one reference */
struct lun_snapshot *lun_snapshot_ref(struct lun_snapshot *);
void lun_snapshot_unref(struct lun_snapshot *);                 /* any thread; the last one frees it, secrets wiped */

/* The entry of `models` for a name a client asked for: the exact one, else the first pattern that fits. NULL: none.
 * For a pattern *rest is what its * stands for (points into `name`), otherwise "". */
const struct lun_model *lun_snapshot_model(const struct lun_snapshot *, const char *name, const char **rest);
/* The entry that is called that itself, a pattern's too; NULL: none. */
const struct lun_model *lun_snapshot_entry(const struct lun_snapshot *, const char *name);
void lun_snapshot_sort_models(struct lun_snapshot *);      /* while it is being made: by_name from the models */
void lun_snapshot_sort_clients(struct lun_snapshot *);     /* while it is being made: by_hash from the clients */
void lun_snapshot_average(struct lun_snapshot *);      /* while it is being made: premium_price from `premium` and the targets */
bool lun_target_is_premium(const struct lun_snapshot *, const struct lun_target *);
bool lun_pattern_fits(const char *pattern, const char *name);   /* one * at most, anywhere; it may stand for nothing */
const struct lun_target *lun_snapshot_target(const struct lun_snapshot *, const char *name);    /* by its own name */
const struct lun_policy_setting *lun_snapshot_setting(const struct lun_snapshot *, const char *name);  /* of the policy's; NULL: there is none */
const struct lun_canary_rule *lun_snapshot_canary(const struct lun_snapshot *, const char *name);      /* NULL: there is none */
const struct lun_team *lun_snapshot_team(const struct lun_snapshot *, const char *name);       /* NULL: there is none */
#define LUN_KEY_HASH 32
const struct lun_client_rule *lun_snapshot_client(const struct lun_snapshot *, const unsigned char hash[LUN_KEY_HASH]);     /* by the hash of a
                                                                   presented key, whole in constant time. NULL: nobody's */
const struct lun_client_rule *lun_snapshot_client_named(const struct lun_snapshot *, const char *name);        /* NULL: there is none */
/* The text of one of a provider's keys as `newest` has it: of the provider of the same name at the same place, the secret of the same name. Where
 * there is none, or `newest` is NULL, the provider's own. Borrowed from either snapshot. */
const char *lun_snapshot_key(const struct lun_snapshot *newest, const struct lun_provider *, int key);
/* The provider that is the same one in `newest`: equal name and place. NULL: there is none. */
const struct lun_provider *lun_snapshot_heir(const struct lun_snapshot *newest, const struct lun_provider *);
bool lun_key_hash(const char *key, size_t n, unsigned char hash[LUN_KEY_HASH]);     /* SHA-256, as `clients` holds it. False: of no bytes or of
                                                                   more than 4,096, which is nobody's key; or libcrypto could not */
/* "sha256:" and 64 digits in lower case; and back, from either case. */
enum { LUN_KEY_HASH_TEXT = 7 + 2 * LUN_KEY_HASH + 1 };
void lun_key_hash_text(const unsigned char hash[LUN_KEY_HASH], char out[LUN_KEY_HASH_TEXT]);
bool lun_key_hash_read(const char *text, unsigned char hash[LUN_KEY_HASH]);
#endif

#include "loading.h"

/* Each is put into a configuration that is right: into its provider (line 2), its target (line 3), or the top (line 4). */
enum where { PROVIDER, TARGET, TOP };
static const struct { enum where where; const char *text, *told; } table[] = {
    /* names */
    { TOP, "listn = 1", "gateway.lua:4: listn: there is no such setting (did you mean listen?)" },
    { TOP, "xyzzy = 1", "gateway.lua:4: xyzzy: there is no such setting" },
    { TOP, "5", "gateway.lua:4: [1]: has no name: a setting is written name = value" },
    { TOP, "limits = { bodi = 1 }", "gateway.lua:4: limits.bodi: there is no such setting (did you mean body?)" },
    { PROVIDER, "base_ulr = 1", "gateway.lua:2: providers.p.base_ulr: there is no such setting (did you mean base_url?)" },
    { PROVIDER, "timeouts = { conect = 1 }", "gateway.lua:2: providers.p.timeouts.conect: there is no such setting (did you mean connect?)" },
    { TARGET, "wieght = 1", "gateway.lua:3: models.m[1].wieght: there is no such setting (did you mean weight?)" },
    { TARGET, "price = { input = 1, output = 1, cashed_input = 1 }", "gateway.lua:3: models.m[1].price.cashed_input: there is no such setting (did you mean cached_input?)" },
    { TOP, "[\"a\\nb\"] = 1", "gateway.lua:4: [\"a\\nb\"]: there is no such setting" },
    { TOP, "[true] = 1", "gateway.lua:1: the table: a name that is not text" },
    { TOP, "[2] = 1", "gateway.lua:1: the table: a list with holes in it, or numbers as names" },

    /* types and bounds */
    { TOP, "workers = 0", "gateway.lua:4: workers: must be a whole number from 1 to 256 or \"auto\", not 0" },
    { TOP, "workers = 1.5", "gateway.lua:4: workers: must be a whole number from 1 to 256 or \"auto\", not 1.5" },
    { TOP, "workers = \"4\"", "gateway.lua:4: workers: must be a whole number from 1 to 256 or \"auto\", not \"4\"" },
    { TOP, "workers = {}", "gateway.lua:4: workers: must be a whole number from 1 to 256 or \"auto\", not a table" },
    { TOP, "workers = print or function() end", "gateway.lua:4: workers: a function, where only data can stand" },
    { TOP, "workers = secret \"X\"", "gateway.lua:4: workers: must be a whole number from 1 to 256 or \"auto\", not a secret" },
    { TOP, "keepalive = 0/0", "gateway.lua:4: keepalive: must be a number of seconds over 0 and up to 86400 or false, not nan" },
    { TOP, "keepalive = 1/0", "gateway.lua:4: keepalive: must be a number of seconds over 0 and up to 86400 or false, not inf" },
    { TOP, "keepalive = -1", "gateway.lua:4: keepalive: must be a number of seconds over 0 and up to 86400 or false, not -1" },
    { TOP, "keepalive = 1e-9", "gateway.lua:4: keepalive: must be a number of seconds over 0 and up to 86400 or false, not 1e-09" },
    { TOP, "keepalive = true", "gateway.lua:4: keepalive: must be a number of seconds over 0 and up to 86400 or false, not true" },
    { TOP, "limits = 5", "gateway.lua:4: limits: must be a table, not 5" },
    { TOP, "limits = { body = \"32 MiBi\" }", "gateway.lua:4: limits.body: must be a size, 1024 bytes or more, as a number or as in \"64MiB\", not \"32 MiBi\"" },
    { TOP, "limits = { body = 12 }", "gateway.lua:4: limits.body: must be a size, 1024 bytes or more, as a number or as in \"64MiB\", not 12" },
    { TOP, "limits = { deadline = \"10s\" }", "gateway.lua:4: limits.deadline: must be a number of seconds over 0 and up to 86400, not \"10s\"" },
    { TOP, "limits = { attempts = 101 }", "gateway.lua:4: limits.attempts: must be a whole number from 1 to 100, not 101" },
    { TOP, "limits = { retries = true }", "gateway.lua:4: limits.retries: must be a number from 0 to 100 or false, not true" },
    { TOP, "limits = { hedges = 2 }", "gateway.lua:4: limits.hedges: must be a number from 0 to 1, not 2" },
    { TOP, "limits = { output = 0 }", "gateway.lua:4: limits.output: must be a whole number, 1 or more, not 0" },
    { TOP, "health = 1", "gateway.lua:4: health: must be a table or false, not 1" },
    { TOP, "health = { cooling = \"taget\" }", "gateway.lua:4: health.cooling: must be \"target\" or \"provider\", not \"taget\"" },
    { TOP, "log = { text = 1 }", "gateway.lua:4: log.text: must be true or false, not 1" },
    { TOP, "log = { requests = true }", "gateway.lua:4: log.requests: must be text or false, not true" },
    { TARGET, "weight = -1", "gateway.lua:3: models.m[1].weight: must be a number from 0 to 1000000, not -1" },
    { TARGET, "context = 1e300", "gateway.lua:3: models.m[1].context: must be a whole number, 1 or more, not 1e+300" },
    { TARGET, "requests_per_minute = 0.5", "gateway.lua:3: models.m[1].requests_per_minute: must be a whole number, 1 or more, not 0.5" },
    { TARGET, "name = \"\"", "gateway.lua:3: models.m[1].name: must not be empty" },
    { PROVIDER, "proxy = \"\"", "gateway.lua:2: providers.p.proxy: must not be empty" },
    { TOP, "state = \"\"", "gateway.lua:4: state: must not be empty: false stands for none" },
    { TOP, "zone = (\"x\"):rep(65)", "gateway.lua:4: zone: must have at most 64 bytes, not 65" },
    { TOP, "zone = \"UTC\\n\"", "gateway.lua:4: zone: must be one line, without control characters" },
    { TARGET, "name = \"a\\nb\"", "gateway.lua:3: models.m[1].name: must be one line, without control characters" },
    { TARGET, "name = \"a\\0b\"", "gateway.lua:3: models.m[1].name: text with a zero byte in it" },
    { TARGET, "name = \"\\255\"", "gateway.lua:3: models.m[1].name: text that is not UTF-8" },
    { TARGET, "name = \"ü\"", "gateway.lua:3: models.m[1].name: must be printable ASCII" },
    { TARGET, "price = { input = -1, output = 1 }", "gateway.lua:3: models.m[1].price.input: must be a number of USD from 0 to 1000000, not -1" },
    { TARGET, "price = { input = \"1\", output = 1 }", "gateway.lua:3: models.m[1].price.input: must be a number of USD from 0 to 1000000, not \"1\"" },
    { TARGET, "price = { input = 1 }", "gateway.lua:3: models.m[1].price.output: is missing" },
    { TARGET, "price = 5", "gateway.lua:3: models.m[1].price: must be a table, not 5" },
    { TARGET, "supports = { \"tool\" }", "gateway.lua:3: models.m[1].supports: must be a list out of \"tools\", \"images\" or \"schema\"; \"tool\" is none of them" },
    { TARGET, "supports = \"tools\"", "gateway.lua:3: models.m[1].supports: must be a list out of \"tools\", \"images\" or \"schema\", not \"tools\"" },
    { TARGET, "facts = { q = 0/0 }", "gateway.lua:3: models.m[1].facts.q: must be a finite number" },
    { TARGET, "facts = { q = secret \"X\" }", "gateway.lua:3: models.m[1].facts.q: must not be a secret: policies can read facts" },
    { TARGET, "facts = { 1, a = 2 }", "gateway.lua:3: models.m[1].facts: must be a list or a table of names, not both" },
    { TARGET, "facts = { f = function() end }", "gateway.lua:3: models.m[1].facts.f: a function, where only data can stand" },

    /* addresses */
    { TOP, "listen = \"4000\"", "gateway.lua:4: listen: must be an address as in \"127.0.0.1:4000\", \"[::1]:4000\", \":4000\" or \"unix:/run/lunette.sock\", not \"4000\"" },
    { TOP, "listen = \"127.0.0.1:70000\"", "gateway.lua:4: listen: must be an address as in \"127.0.0.1:4000\", \"[::1]:4000\", \":4000\" or \"unix:/run/lunette.sock\", not \"127.0.0.1:70000\"" },
    { TOP, "listen = \"127.0.0.1.5:4000\"", "gateway.lua:4: listen: must be an address as in \"127.0.0.1:4000\", \"[::1]:4000\", \":4000\" or \"unix:/run/lunette.sock\", not \"127.0.0.1.5:4000\"" },
    { TOP, "listen = { tls = { key = \"k.pem\" }, \"127.0.0.1:1\" }", "gateway.lua:4: listen.tls.certificate: is missing" },
    { TOP, "admin = { tls = { certificate = \"/nowhere/c.pem\" } }", "gateway.lua:4: admin.tls.key: is missing" },
    { TOP, "admin = { tls = { certificate = \"/nowhere/c.pem\", key = \"/nowhere/k.pem\" } }", "gateway.lua:4: admin.tls.certificate: \"/nowhere/c.pem\" cannot be read: No such file or directory" },
    { TOP, "admin = { hosts = \"gateway\" }", "gateway.lua:4: admin.hosts: must be a list of texts, not \"gateway\"" },
    { TOP, "http = { allow = { \"https://a.b\" } }", "gateway.lua:4: http.allow[1]: must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path, not \"https://a.b\"" },
    { TOP, "http = { allow = { \"a.b/v1\" } }", "gateway.lua:4: http.allow[1]: must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path, not \"a.b/v1\"" },
    { TOP, "http = { allow = { \"a.b:99999\" } }", "gateway.lua:4: http.allow[1]: must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path, not \"a.b:99999\"" },
    { TOP, "http = { allow = { \"a.b:\" } }", "gateway.lua:4: http.allow[1]: must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path, not \"a.b:\"" },
    { TOP, "http = { allow = { \"::1\" } }", "gateway.lua:4: http.allow[1]: must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path, not \"::1\"" },
    { TOP, "http = { allow = { \"a b\" } }", "gateway.lua:4: http.allow[1]: must be a host, and a port if one is meant: \"flags.example\", \"10.0.0.5:8080\", \"[::1]:8080\", \"*.example.org\"; no http://, no path, not \"a b\"" },
    { TOP, "http = { allow = { \"a\", \"*.a.*\" } }", "gateway.lua:4: http.allow[2]: must have one * at most, not \"*.a.*\"" },
    { TOP, "admin = { \"127.0.0.1:1\", hosts = { \"gateway:4001\" } }", "gateway.lua:4: admin.hosts[1]: must be a name or an address without a port, as in \"gateway.internal\", not \"gateway:4001\"" },
    { TOP, "admin = { \"127.0.0.1:1\", hosts = { \"http://gateway\" } }", "gateway.lua:4: admin.hosts[1]: must be a name or an address without a port, as in \"gateway.internal\", not \"http://gateway\"" },
    { TOP, "admin = { \"127.0.0.1:1\", hosts = { \"[fd00::1]\" } }", "gateway.lua:4: admin.hosts[1]: must be a name or an address without a port, as in \"gateway.internal\", not \"[fd00::1]\"" },
    { TOP, "admin = { \"127.0.0.1:1\", hosts = { \"*.internal\" } }", "gateway.lua:4: admin.hosts[1]: must be a name or an address without a port, as in \"gateway.internal\", not \"*.internal\"" },
    { TOP, "http = { allow = { 5 } }", "gateway.lua:4: http.allow[1]: must be text, not 5" },
    { TOP, "http = { deny = {} }", "gateway.lua:4: http.deny: there is no such setting" },
    { TOP, "listen = { \"127.0.0.1:1\", address = \"127.0.0.1:2\" }", "gateway.lua:4: listen.address: is said twice" },
    { TOP, "listen = \"0.0.0.0:4000\"", "gateway.lua:4: listen: 0.0.0.0:4000 can be reached from other machines, and without clients anyone there could spend on your keys: "
           "say who may ask in clients = { { name = …, hash = \"sha256:…\" } } ({}: who has a key made with `lunette key`), or listen on 127.0.0.1" },
    { TOP, "admin = \":4001\"", "gateway.lua:4: admin: :4001 can be reached from other machines, and without a token anyone there could change the gateway: "
           "say admin_token = secret \"NAME\" (or set LUNETTE_ADMIN_TOKEN), or listen on loopback (127.0.0.1, [::1] or unix:)" },
    { TOP, "admin_token = \"abc\"", "gateway.lua:4: admin_token: must not stand here as text: write secret \"NAME\" and put the token into that environment variable" },
    { TOP, "state = 5", "gateway.lua:4: state: must be text or false, not 5" },
    { TOP, "admin = \"127.0.0.1:4000\"", "gateway.lua:4: admin: is the address of listen too" },

    /* a later version's */
    { TOP, "webhook = \"ftp://x\"", "gateway.lua:4: webhook: must be a URL with http:// or https:// and a host" },
    { TOP, "webhook = \"https://\"", "gateway.lua:4: webhook: must be a URL with http:// or https:// and a host" },
    { TOP, "webhook = { url = \"https://x/a b\" }", "gateway.lua:4: webhook.url: must be a URL of at most 2048 characters, without blanks" },
    { TOP, "webhook = {}", "gateway.lua:4: webhook.url: is missing" },
    { TOP, "webhook = 5", "gateway.lua:4: webhook: must be a URL with http:// or https://, as text or secret \"NAME\"" },
    { TOP, "webhook = { url = \"https://x\", secret = \"abc\" }", "gateway.lua:4: webhook.secret: must not stand here as text: write secret \"NAME\" and put it into that environment variable" },
    { TOP, "webhook = { url = \"https://x\", secret = secret \"NONE\" }", "gateway.lua:4: webhook.secret: NONE is not set: set the environment variable, or put it into the file SECRETS/NONE" },
    { TOP, "prices = \"p.json\"", "gateway.lua:4: prices: \"p.json\" cannot be read: No such file or directory" },
    { TOP, "cache = true", "gateway.lua:4: cache: must be a table or false, not true" },
    { TOP, "cache = { size = 5 }", "gateway.lua:4: cache.size: must be a size, 65536 bytes or more, as a number or as in \"64MiB\", not 5" },
    { TOP, "cache = { ttl = 0 }", "gateway.lua:4: cache.ttl: must be a number of seconds over 0 and up to 31622400, not 0" },
    { TOP, "cache = { size = \"1MiB\", answer = \"2MiB\" }", "gateway.lua:4: cache.answer: is more than cache.size" },
    { TOP, "cache = { tll = 5 }", "gateway.lua:4: cache.tll: there is no such setting (did you mean ttl?)" },
    { TOP, "redis = \"localhost\"", "gateway.lua:4: redis: must begin with redis://, rediss:// or unix:/" },
    { TOP, "redis = true", "gateway.lua:4: redis: must be text or secret \"NAME\" or false" },
    { TOP, "redis = { secret \"A\" }", "gateway.lua:4: redis: must be text or secret \"NAME\" or false" },
    { TOP, "redis = secret \"NOT_SET\"", "gateway.lua:4: redis: NOT_SET is not set: set the environment variable, or put it into the file SECRETS/NOT_SET" },
    { TOP, "redis = \"redis://:pw@h\"", "gateway.lua:4: redis: must not hold a password as text: write secret \"NAME\" and put the whole URL into that environment variable, or into LUNETTE_REDIS" },
    { TOP, "redis = \"redis://:p/w@h\"", "gateway.lua:4: redis: must have its user and password percent-encoded (a / as %2F, an @ as %40, a : as %3A)" },
    { TOP, "redis_prefix = \"\"", "gateway.lua:4: redis_prefix: must not be empty" },
    { TOP, "routes = {}", "gateway.lua:4: routes: is not built yet" },
    { TOP, "zone = \"Europe/Berln\"", "gateway.lua:4: zone: \"Europe/Berln\": the system's database of time zones has none of that name (did you mean Europe/Berlin?)" },
    { TOP, "zone = \"../Europe/Berlin\"", "gateway.lua:4: zone: \"../Europe/Berlin\": the system's database of time zones has none of that name (did you mean Europe/Berlin?)" },
    { TOP, "zone = 1", "gateway.lua:4: zone: must be text, not 1" },
    { TOP, "budgets = { tags = { tenant = {} } }", "gateway.lua:4: budgets.tags.tenant.limit: is missing" },
    { TOP, "budgets = { tags = { tenant = 5 } }", "gateway.lua:4: budgets.tags.tenant: must be a table, not 5" },
    { TOP, "budgets = { tags = { key = { limit = 1 } } }", "gateway.lua:4: budgets.tags.key: is what policies call another budget (spend.key): give the tag another name" },
    { TOP, "budgets = { tags = { [\"a b\"] = { limit = 1 } } }", "gateway.lua:4: budgets.tags[\"a b\"]: is no name for a tag with a budget: 1 to 64 letters, digits, _ and -" },
    { TOP, "budgets = { tags = { a = { limit = 1 }, b = { limit = 1 }, c = { limit = 1 }, d = { limit = 1 }, e = { limit = 1 } } }",
           "gateway.lua:4: budgets.tags.e: is one too many: 4 tags can have budgets" },
    { TOP, "budgets = { tags = { tenant = { limit = 1, from = \"body\" } } }",
           "gateway.lua:4: budgets.tags.tenant.from: must be \"header:NAME\", \"metadata\", \"metadata:NAME\", \"tag\" or \"policy\", not \"body\"" },
    { TOP, "budgets = { tags = { tenant = { limit = 1, from = \"header:Authorization\" } } }",
           "gateway.lua:4: budgets.tags.tenant.from: is a header that carries secrets: its value would stand in logs" },
    { TOP, "budgets = { tags = { tenant = { limit = 1, values = 0 } } }", "gateway.lua:4: budgets.tags.tenant.values: must be a whole number from 1 to 1000000, not 0" },
    { TOP, "budgets = { total = { limit = 1, per = \"rolling\" } }", "gateway.lua:4: budgets.total.window: is missing: how many seconds per = \"rolling\" looks back" },
    { TOP, "budgets = { total = { limit = 1, window = 60 } }", "gateway.lua:4: budgets.total.window: is for per = \"rolling\"" },
    { TOP, "clients = { { name = \"a\", hash = H, budget = { limit = 1, per = \"rolling\" } } }",
           "gateway.lua:4: clients[1].budget.window: is missing: how many seconds per = \"rolling\" looks back" },
    { PROVIDER, "probe = true", "gateway.lua:2: providers.p.probe: must be a table or false, not true" },
    { PROVIDER, "probe = { every = 0.5 }", "gateway.lua:2: providers.p.probe.every: must be a number of seconds from 1 to 86400, not 0.5" },
    { PROVIDER, "probe = { with = \"model\" }", "gateway.lua:2: providers.p.probe.with: must be \"models\" or \"completion\", not \"model\"" },
    { PROVIDER, "probe = { path = \"health\" }", "gateway.lua:2: providers.p.probe.path: must begin with /" },
    { PROVIDER, "probe = { with = \"completion\", max_tokens = 6 }", "gateway.lua:2: providers.p.probe.max_tokens: must be a whole number from 1 to 5, not 6" },
    { PROVIDER, "probe = { with = \"completion\", model = \"nope\" }", "gateway.lua:2: providers.p.probe.model: no target of this provider has the model \"nope\"" },
    { PROVIDER, "probe = { model = \"x\" }", "gateway.lua:2: providers.p.probe.model: is for with = \"completion\"" },
    { PROVIDER, "probe = { with = \"completion\", path = \"/x\" }", "gateway.lua:2: providers.p.probe.path: is for with = \"models\": a completion has the path that its dialect says" },
    { PROVIDER, "probe = {}, health = false", "gateway.lua:2: providers.p.probe: cannot stand beside health = false: nothing is taken out that it could bring back" },
    { PROVIDER, "probe = { evry = 5 }", "gateway.lua:2: providers.p.probe.evry: there is no such setting (did you mean every?)" },
    { PROVIDER, "transport = \"native\"", "gateway.lua:2: providers.p.transport: must be \"auto\", \"curl\" or \"direct\", not \"native\"" },
    { PROVIDER, "transport = \"direct\", http2 = true", "gateway.lua:2: providers.p.transport: cannot be \"direct\" beside http2, which only libcurl speaks" },
    { PROVIDER, "cancel_stops_billing = 1", "gateway.lua:2: providers.p.cancel_stops_billing: must be true or false, not 1" },

    /* providers */
    { PROVIDER, "script = \"a.lua\"", "gateway.lua:2: providers.p.script: cannot stand beside base_url: the provider is asked, or simulated\n"
                "gateway.lua:2: providers.p.script: \"a.lua\" cannot be read: No such file or directory" },
    { PROVIDER, "dialect = \"opnai\"", "gateway.lua:2: providers.p.dialect: there is no dialect \"opnai\", neither here (dialects/opnai.lua) nor one that comes along (did you mean openai?)" },
    { PROVIDER, "dialect = \"../x\"", "gateway.lua:2: providers.p.dialect: must be a name of small letters, digits, _ and -" },
    { PROVIDER, "key = \"sk-123\"", "gateway.lua:2: providers.p.key: must not stand here as text: write secret \"NAME\" and put the key into that environment variable" },
    { PROVIDER, "key = env(\"KEY\", \"sk-123\")", "gateway.lua:2: providers.p.key: must not stand here as text: write secret \"NAME\" and put the key into that environment variable" },
    { PROVIDER, "key = { secret \"GOOD\", \"sk-123\" }", "gateway.lua:2: providers.p.key[2]: must not stand here as text: write secret \"NAME\" and put the key into that environment variable" },
    { PROVIDER, "key = {}", "gateway.lua:2: providers.p.key: must be a list of 1 to 64 secrets" },
    { PROVIDER, "key = { name = 1 }", "gateway.lua:2: providers.p.key: must be secret \"NAME\" or a list of them" },
    { PROVIDER, "key = 5", "gateway.lua:2: providers.p.key: must be secret \"NAME\", not 5" },
    { PROVIDER, "key = { secret \"GOOD\", secret \"SAME\" }", "gateway.lua:2: providers.p.key[2]: GOOD and SAME hold the same key" },
    { PROVIDER, "key = secret \"GOOD\", key_pattern = \"^xy%-\"", "gateway.lua:2: providers.p.key: GOOD does not fit key_pattern \"^xy%-\"" },
    { PROVIDER, "key = secret \"GOOD\", key_pattern = \"[\"", "gateway.lua:2: providers.p.key_pattern: is no Lua pattern: malformed pattern (missing ']')" },
    { PROVIDER, "key = secret \"GOOD\", key_length = { 20, 30 }", "gateway.lua:2: providers.p.key: GOOD is too short to be a key: key_length says at least 20 characters" },
    { PROVIDER, "key = secret \"GOOD\", key_length = { max = 3 }", "gateway.lua:2: providers.p.key: GOOD is too long to be a key: key_length says at most 3 characters" },
    { PROVIDER, "key_length = { 5, 3 }", "gateway.lua:2: providers.p.key_length: its least, 5, is more than its most, 3" },
    { PROVIDER, "key_length = 5", "gateway.lua:2: providers.p.key_length: must be a table, not 5" },
    { PROVIDER, "ca = \"no.pem\"", "gateway.lua:2: providers.p.ca: \"no.pem\" cannot be read: No such file or directory" },
    { PROVIDER, "ca = \".\"", "gateway.lua:2: providers.p.ca: \".\" is not a file" },
    { PROVIDER, "ca = \"no_pem.txt\"", "gateway.lua:2: providers.p.ca: \"no_pem.txt\" holds no certificate in PEM form, or one that is damaged" },
    { TOP, "redis_ca = \"no.pem\"", "gateway.lua:4: redis_ca: \"no.pem\" cannot be read: No such file or directory" },
    { PROVIDER, "proxy = \"ftp://x\"", "gateway.lua:2: providers.p.proxy: must begin with http://, https:// or socks5h://" },
    { PROVIDER, "proxy = \"http://u:p@x:1\"", "gateway.lua:2: providers.p.proxy: must not hold a user name or password" },
    { PROVIDER, "headers = { [\"x y\"] = \"1\" }", "gateway.lua:2: providers.p.headers[\"x y\"]: is no name that a header can have (RFC 9110, 5.6.2)" },
    { PROVIDER, "headers = { [\"x\\r\\na\"] = \"1\" }", "gateway.lua:2: providers.p.headers[\"x\\x0d\\na\"]: is no name that a header can have (RFC 9110, 5.6.2)" },
    { PROVIDER, "headers = { x = \"1\\r\\nevil: 2\" }", "gateway.lua:2: providers.p.headers.x: must be one line of printable ASCII" },
    { PROVIDER, "headers = { x = 1 }", "gateway.lua:2: providers.p.headers.x: must be text, not 1" },
    { PROVIDER, "headers = { Authorization = \"Bearer sk-1\" }", "gateway.lua:2: providers.p.headers.Authorization: must not stand here as text: write secret \"NAME\" and put it into that environment variable" },
    { PROVIDER, "headers = { [\"content-length\"] = \"1\" }", "gateway.lua:2: providers.p.headers[\"content-length\"]: is set by the gateway itself" },
    { PROVIDER, "headers = { a = \"1\", A = \"2\" }", "gateway.lua:2: providers.p.headers.a: is there twice, written differently" },
    { PROVIDER, "headers = { \"a\" }", "gateway.lua:2: providers.p.headers: must be a table of texts by name" },
    { PROVIDER, "headers = { x = secret \"NONE\" }", "gateway.lua:2: providers.p.headers.x: NONE is not set: set the environment variable, or put it into the file SECRETS/NONE" },
    { PROVIDER, "health = 5", "gateway.lua:2: providers.p.health: must be a table or false, not 5" },
    { PROVIDER, "connections = 0", "gateway.lua:2: providers.p.connections: must be a whole number from 1 to 100000, not 0" },
    { TOP, "teams = { a = 5 }", "gateway.lua:4: teams.a: must be a table, not 5" },

    /* models */
    { TARGET, "model = \"*\"", "gateway.lua:3: models.m[1].model: has a *, but the name that clients ask for has none to fill it with" },
    { TARGET, "provider = \"q\"", "gateway.lua:3: \"provider\" is said twice in this table (also in line 3)\ngateway.lua:3: models.m[1].provider: there is no provider \"q\"" },

    /* clients */
    { TOP, "clients = 5", "gateway.lua:4: clients: must be a list of tables, not 5" },
    { TOP, "clients = { name = \"a\" }", "gateway.lua:4: clients: must be a list of tables, not a table" },
    { TOP, "clients = { {} }", "gateway.lua:4: clients[1].name: is missing\ngateway.lua:4: clients[1].hash: is missing" },
    { TOP, "clients = { { name = \"a\", hash = \"sha256:12\" } }", "gateway.lua:4: clients[1].hash: must be \"sha256:\" and 64 hexadecimal digits: the output of  printf %s KEY | sha256sum" },
    { TOP, "clients = { { name = \"a\", hash = H, team = \"x\" } }, teams = { xy = {} }", "gateway.lua:4: clients[1].team: there is no team \"x\" in teams" },
    { TOP, "clients = { { name = \"a\", hash = H, models = { \"mm\" } } }", "gateway.lua:4: clients[1].models[1]: there is no model \"mm\" in models" },
    { TOP, "clients = { { name = \"a\", hash = H, models = {} } }", "gateway.lua:4: clients[1].models: allows none at all: leave it out for all, or name one" },
    { TOP, "clients = { { name = \"a\", hash = H, models = { \"a*b*\" } } }", "gateway.lua:4: clients[1].models[1]: can have one * only" },
    { TOP, "clients = { false, { name = \"a\", hash = H }, { name = \"b\", hash = H } }", "gateway.lua:4: clients[3].hash: is the key of another client (number 2) too" },
    { TOP, "clients = { { name = \"a\", hash = H }, { name = \"a\", hash = H } }", "gateway.lua:4: clients[2].name: another client (number 1) is called \"a\" already\n"
           "gateway.lua:4: clients[2].hash: is the key of another client (number 1) too" },
    { TOP, "clients = { { name = \"a\", hash = H, trust = { \"tsk\" } } }", "gateway.lua:4: clients[1].trust: must be a list out of \"task\", \"tags\", \"budget\", \"class\" or \"explain\"; \"tsk\" is none of them" },
    { TOP, "clients = { { name = \"a\", hash = H, tags = { x = 1 } } }", "gateway.lua:4: clients[1].tags.x: must be text, not 1" },
    { TOP, "clients = { { name = \"a\", hash = H, class = \"a b\" } }", "gateway.lua:4: clients[1].class: must be letters, digits, _ - and ." },
    { TOP, "clients = { { name = \"a\", hash = H, budget = { limit = 1, per = \"yaer\" } } }", "gateway.lua:4: clients[1].budget.per: must be \"ever\", \"hour\", \"day\", \"week\", \"month\" or \"rolling\", not \"yaer\"" },
    { TOP, "clients = { { name = \"a\", hash = H, budget = {} } }", "gateway.lua:4: clients[1].budget.limit: is missing" },
    { TOP, "budgets = { total = { limit = 1, soft = 1.5 } }", "gateway.lua:4: budgets.total.soft: must be a number over 0 and up to 1 or false, not 1.5" },
    { TOP, "budgets = { totl = { limit = 1 } }", "gateway.lua:4: budgets.totl: there is no such setting (did you mean total?)" },

    /* what is no plain data */
    { TOP, "limits = setmetatable({}, { __index = function() return 1 end })", "gateway.lua:4: limits: a table with a metatable, where only plain tables can stand" },
    { TOP, "policy = \"no.lua\"", "gateway.lua:4: policy: \"no.lua\" cannot be read: No such file or directory" },
    { TOP, "policy = 5", "gateway.lua:4: policy: must be text or false, not 5" },
};

static void each_mistake_is_told_with_its_line(void **state)
{
    const char *environment[] = { "GOOD=sk-good-1", "SAME=sk-good-1", NULL };
    (void)state;
    put_file("no_pem.txt", "x");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *texts[3] = { "", "", "" };
        texts[table[i].where] = table[i].text;
        char *text = lun_printf("local H = \"sha256:\" .. string.rep(\"0a\", 32) return {\n  providers = { p = { base_url = \"http://127.0.0.1:1/v1\", %s } },\n"
                                "  models = { m = { { provider = \"p\", %s } } },\n  %s\n}\n", texts[PROVIDER], texts[TARGET], texts[TOP]);
        const char *secrets = strstr(table[i].told, "SECRETS");
        char *told = secrets ? lun_printf("%.*s%s/run-secrets%s\n", (int)(secrets - table[i].told), table[i].told, folder, secrets + 7) : lun_printf("%s\n", table[i].told);
        refused_with(text, environment, told);
        free(text);
        free(told);
    }
}

static void whole_files_that_are_wrong(void **state)
{
    (void)state;
    refused("return {", "gateway.lua:1: unexpected symbol near '<eof>'\n");
    refused("\n\nx = = 1", "gateway.lua:3: unexpected symbol near '='\n");
    refused("error('stop')", "gateway.lua:1: stop\n");
    refused("local x\nreturn x.y", "gateway.lua:2: attempt to index local 'x' (a nil value)\n");
    refused("", "gateway.lua:1: must return a table of settings, not nothing\n");
    refused("\nreturn 5", "gateway.lua:2: must return a table of settings, not 5\n");
    refused("return function() end", "gateway.lua:1: must return a table of settings, not a function\n");
    refused("return {}", "gateway.lua:1: providers: is missing\ngateway.lua:1: models: is missing\n");
    refused("return { providers = {}, models = {} }", "gateway.lua:1: providers: there must be one at least\ngateway.lua:1: models: there must be one at least\n");
    refused("return setmetatable({}, {})", "gateway.lua:1: the table: a table with a metatable, where only plain tables can stand\n");
    refused("local x = require 'nothing'", "gateway.lua:1: require 'nothing': there is no such module here\n");
    refused("local x = require '../etc/passwd'", "gateway.lua:1: require '../etc/passwd': there is no such module here\n");
}

#define P "providers = { p = { base_url = \"http://127.0.0.1:1/v1\" } }"

static void models_that_are_wrong(void **state)
{
    (void)state;
    refused("return {\n" P ",\nmodels = {\n  a = {},\n  b = 5,\n  c = { provider = \"p\" },\n  d = { 5 },\n  auto = { { provider = \"p\" } },\n"
            "  [\"x*y\"] = { { provider = \"p\" } },\n  [\"é\"] = { { provider = \"p\" } },\n  e = { { provider = \"pp\" } },\n  f = { {} },\n  [\"g*\"] = { { provider = \"p\", model = \"**\" } },\n} }",
            "gateway.lua:4: models.a: has no target\n"
            "gateway.lua:5: models.b: must be a list of targets, not 5\n"
            "gateway.lua:6: models.c: must be a list of targets: put braces around it, { { provider = … } }\n"
            "gateway.lua:7: models.d[1]: must be a table, not 5\n"
            "gateway.lua:8: models.auto: is a name of the gateway's own: whoever asks for it leaves the choice to the policy\n"
            "gateway.lua:9: models[\"x*y\"]: can have one * only, at its end or alone\n"
            "gateway.lua:10: models[\"é\"]: must be printable ASCII\n"
            "gateway.lua:11: models.e[1].provider: there is no provider \"pp\"\n"
            "gateway.lua:12: models.f[1].provider: is missing\n"
            "gateway.lua:13: models[\"g*\"][1].model: can have one * only\n");
}

static void targets_of_one_name_must_be_one_target(void **state)
{
    (void)state;
    refused("return {\n" P ",\nmodels = {\n  a = { { provider = \"p\", model = \"x\" } },\n  b = { { provider = \"p\", model = \"x\", weight = 2 } },\n"
            "  c = { { provider = \"p\", name = \"n\" },\n        { provider = \"p\", name = \"n\" } },\n} }",
            "gateway.lua:5: models.b[1]: the target \"p/x\" stands at gateway.lua:4 with another weight: give one of the two a name of its own (name = \"…\")\n"
            "gateway.lua:7: models.c[2]: the target \"n\" is in this list already\n");
}

static void providers_that_are_wrong(void **state)
{
    static const struct { const char *url, *told; } urls[] = {
        { "api.x.com", "must begin with http:// or https://" }, { "ftp://x", "must begin with http:// or https://" },
        { "http://", "must name a host" }, { "http:///v1", "must name a host" }, { "http://:80", "must name a host" },
        { "http://x/", "must not end with a slash" }, { "http://x/v1/", "must not end with a slash" },
        { "http://x/v1?a=b", "must not hold a query (?) or fragment (#)" }, { "http://x#a", "must not hold a query (?) or fragment (#)" },
        { "http://u:p@x/v1", "must not hold a user name or password: say key = secret \"NAME\"" },
        { "http://x:0", "must have a port from 1 to 65535 behind the colon" }, { "http://x:/v1", "must have a port from 1 to 65535 behind the colon" },
        { "http://x:99999", "must have a port from 1 to 65535 behind the colon" }, { "http://x y", "must not hold blanks or characters that a URL has only encoded" },
        { "http://[::1", "must have an IPv6 address within the brackets" }, { "http://[x]:1", "must have an IPv6 address within the brackets" },
        { "http://[::1]x", "must have a port or a path behind the brackets" },
        { "http://ex!ample", "must have a host of letters, digits, - and . (names with others in their xn-- form)" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char *text = lun_printf("return { providers = {\np = { base_url = \"%s\" } }, models = { m = { { provider = \"p\" } } } }", urls[i].url);
        char *told = lun_printf("gateway.lua:2: providers.p.base_url: %s\n", urls[i].told);
        refused(text, told);
        free(text), free(told);
    }
    refused("return { providers = {\np = {},\n[\"a/b\"] = { base_url = \"http://x\" },\nq = 5 }, models = { m = { { provider = \"p\" } } } }",
            "gateway.lua:2: providers.p: must have base_url (or script, for a simulated provider)\n"
            "gateway.lua:3: providers[\"a/b\"]: a provider's name must be at most 64 letters, digits, _ - and .\n"
            "gateway.lua:4: providers.q: must be a table, not 5\n");
    refused("return { providers = { p = { base_url = \"http://x\" }, q = lunette.has_secret \"NONE\" and {} },\nmodels = { m = { { provider = \"q\" } } } }",
            "gateway.lua:2: models.m[1].provider: the provider \"q\" is switched off (providers says false)\n");
}

static void policies_that_are_wrong(void **state)
{
    static const struct { const char *text, *told; } policies[] = {
        { "return {\n clasify = function() end }", "policy.lua:2: clasify: there is no such hook (did you mean classify?)" },
        { "return {\n select = 5 }", "policy.lua:2: select: must be a function, not 5" },
        { "\nreturn 5", "policy.lua:2: must return a table of hooks, not 5" },
        { "return { function() end }", "policy.lua:1: [1]: has no name: a policy is a table of hooks by name" },
        { "return {\n on_error = \"refus\" }", "policy.lua:2: on_error: must be \"refuse\" or \"default\", not \"refus\"" },
        { "return {\n limits = { attempts = 0 } }", "policy.lua:2: limits.attempts: must be a whole number from 1 to 100, not 0" },
        { "return {\n limits = { atempts = 1 } }", "policy.lua:2: limits.atempts: a policy has no such limit (did you mean attempts?)" },
        { "return { settings = {\n a = 5 } }", "policy.lua:2: settings.a: must be a table: { default = …, min = …, max = … } or { default = …, choices = { … } }" },
        { "return { settings = { a = {\n default = \"x\", choices = {} } } }", "policy.lua:2: settings.a.choices: must be a list of 1 to 32 texts, not an empty one" },
        { "return { settings = { a = {\n default = \"x\", choices = \"x\" } } }", "policy.lua:2: settings.a.choices: must be a list of 1 to 32 texts, not \"x\"" },
        { "return { settings = { a = { default = \"x\",\n choices = { x = 1 } } } }", "policy.lua:2: settings.a.choices: must be a list of 1 to 32 texts, not a table" },
        { "return { settings = { a = { default = \"x\", choices = { \"x\",\n 5 } } } }", "policy.lua:2: settings.a.choices[2]: must be a text of 1 to 64 bytes, not 5" },
        { "return { settings = { a = { default = \"x\", choices = { \"x\",\n \"\" } } } }", "policy.lua:2: settings.a.choices[2]: must be a text of 1 to 64 bytes, not \"\"" },
        { "return { settings = { a = { default = \"x\", choices = { \"x\",\n \"x\" } } } }", "policy.lua:2: settings.a.choices[2]: \"x\" stands there twice" },
        { "return { settings = { a = {\n default = \"z\",\n choices = { \"x\", \"y\" } } } }", "policy.lua:2: settings.a.default: \"z\" is none of choices" },
        { "return { settings = { a = {\n default = 5,\n choices = { \"x\", \"y\" } } } }", "policy.lua:3: settings.a.choices: can stand only with a text as default" },
        { "return { settings = { a = { default = \"x\",\n choises = { \"x\" } } } }", "policy.lua:2: settings.a.choises: is not known here (did you mean choices?)" },
        { "return { settings = {\n a = {} } }", "policy.lua:2: settings.a: has no default" },
        { "return { settings = {\n a = { default = 5, max = 4 } } }", "policy.lua:2: settings.a.default: is outside of min and max" },
        { "return { settings = {\n a = { default = \"x\", max = 4 } } }", "policy.lua:2: settings.a: can have min and max only with a number as default" },
        { "return { settings = {\n a = { default = 1, mix = 4 } } }", "policy.lua:2: settings.a.mix: is not known here (did you mean min?)" },
        { "return {\n x = = 1 }", "policy.lua:2: unexpected symbol near '='" },
        { "local x\nreturn x.y", "policy.lua:2: attempt to index local 'x' (a nil value)" },
        { "return secret 'X'", "policy.lua:1: attempt to call global 'secret' (a nil value)" },
        { "local l = require 'lunette'\nif not l.has_model 'x' then\n error 'needs a model `x`' end\nreturn {}", "policy.lua:3: needs a model `x`" },
        { "local l = require 'lunette'\nlocal p = l.chain(\n 5)\nreturn p", "policy.lua:2: chain: argument 1 is to be a policy (a table of hooks), got number" },
        { "local l = require 'lunette'\nlocal function f() return 1 end\nreturn l.chain(f(), { classify = function() return 'x' end })", "policy.lua:3: chain: argument 1 is to be a policy (a table of hooks), got number" },
        { "local l = require 'lunette'\nlocal function mine()\n return l.chain(5) end\nlocal p = mine()\nreturn p", "policy.lua:4: chain: argument 1 is to be a policy (a table of hooks), got number" },
        { "local l = require 'lunette'\nlocal p = l.chain({ settings = { x = {} } }, { settings = { x = {} } })\nreturn p", "policy.lua:2: chain: two of the policies have a setting 'x'" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        put_file("policy.lua", policies[i].text);
        char *told = lun_printf("%s\n", policies[i].told);
        refused("return { policy = \"policy.lua\", " P ", models = { m = { { provider = \"p\" } } } }", told);
        free(told);
    }
}

static void all_mistakes_are_told_at_once_by_file_and_line(void **state)
{
    (void)state;
    put_file("policy.lua", "return {\n  juge = function() end,\n  retry = 1,\n}");
    put_file("more.lua", "return {\n  attempts = 0,\n}");
    const char *environment[] = { "LUNETTE_WORKERS=many", "LUNETTE_LISTN=:1", NULL };
    refused_with("return {\n  listn = 1,\n  policy = \"policy.lua\",\n  limits = require \"more\",\n  providers = { p = { base_url = \"x\" } },\n  models = { m = { { provider = \"q\" } } },\n}", environment,
                 "gateway.lua:2: listn: there is no such setting (did you mean listen?)\n"
                 "gateway.lua:5: providers.p.base_url: must begin with http:// or https://\n"
                 "gateway.lua:6: models.m[1].provider: there is no provider \"q\"\n"
                 "more.lua:2: limits.attempts: must be a whole number from 1 to 100, not 0\n"
                 "policy.lua:2: juge: there is no such hook (did you mean judge?)\n"
                 "policy.lua:3: retry: must be a function, not 1\n"
                 "LUNETTE_WORKERS: must be a whole number from 1 to 256 or \"auto\", not \"many\"\n"
                 "LUNETTE_LISTN: there is no such setting (did you mean LUNETTE_LISTEN?)\n");
}

static void no_mistake_shows_a_key(void **state)
{
    const char *environment[] = { "A=sk-verysecret\nx", "B=verysecret", NULL };
    char *told;
    (void)state;
    struct lun_snapshot *s = load_with("return { providers = { p = { base_url = \"http://verysecret@x\", key = { secret \"A\", secret \"B\", \"verysecret\" }, key_pattern = \"^x\",\n"
                                       "headers = { a = \"very\\1secret\", [\"x-api-key\"] = \"verysecret\" }, proxy = \"http://verysecret:x@h\" } }, models = { m = { { provider = \"p\" } } } }",
                                       environment, NULL, &told);
    assert_null(s);
    assert_null(strstr(told, "very"));
    assert_non_null(strstr(told, "gateway.lua:1: providers.p.key[1]: A has a line break, or another character that a key cannot have, in it (environment)"));
    assert_non_null(strstr(told, "gateway.lua:1: providers.p.key[2]: B does not fit key_pattern"));
    free(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_is_told_with_its_line),
        cmocka_unit_test(whole_files_that_are_wrong),
        cmocka_unit_test(models_that_are_wrong),
        cmocka_unit_test(targets_of_one_name_must_be_one_target),
        cmocka_unit_test(providers_that_are_wrong),
        cmocka_unit_test(policies_that_are_wrong),
        cmocka_unit_test(all_mistakes_are_told_at_once_by_file_and_line),
        cmocka_unit_test(no_mistake_shows_a_key),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* The commands: each parses its arguments and prints; what it does is done below. A command returns the exit status:
 * 0 fine, 1 the thing asked about is not fine, 2 wrong use. core/cli/README.md is made of this table and the usage texts. */
#ifndef LUN_CLI_CLI_H
#define LUN_CLI_CLI_H

/*  name, arguments, one line of help */
#define LUN_COMMANDS(X) \
    X(serve,    "[gateway.lua]",  "runs the gateway") \
    X(check,    "[gateway.lua]",  "everything that can be wrong with a configuration, at once") \
    X(test,     "[dir|file…]",    "runs specs of policies: real sandbox, virtual clock, scripted providers") \
    X(explain,  "[gateway.lua] FILE", "why a request would be decided as it would: a dry run, and what if each step failed") \
    X(provider, "[script.lua]",   "a scripted provider: answers, delays, fails and cuts as told") \
    X(replay,   "[config] LOG",   "what a policy would have made of the requests in a log, beside what really came of them") \
    X(set,      "[name=value]",   "settings of the policy of a running gateway: shows or changes them") \
    X(key,      "VERB [name]",    "keys of a running gateway: who may ask; made, listed, changed, rotated, revoked") \
    X(reload,   "",               "has a running gateway read its files again, and says what came of it") \
    X(shadow,   "[finish|stop]",  "a version that is asked beside the one of a running gateway: how it does, or did") \
    X(rollback, "",               "has a running gateway go back to the version before") \
    X(canary,   "[name [do]]",    "canaries of a running gateway: shows them, starts and rolls back") \
    X(versions, "",               "the versions that a running gateway has taken over, and what became of them") \
    X(report,   "",               "what was asked of a running gateway and what came of it: success, latency, cost, by model and more") \
    X(top,      "",               "the same, live in the terminal: rates, latencies, spend, budgets, providers, of the last seconds") \
    X(show,     "ID",             "why one of the last requests of a running gateway was decided as it was") \
    X(import,   "litellm FILE",   "a configuration of LiteLLM's proxy as gateway.lua and policy.lua, and what could not be carried over") \
    X(ledger,   "verify|export|…", "what was spent: verified, exported, reconciled; beside a running gateway, and without its secrets") \
    X(train,    "scores.csv",     "makes a small router out of two models' scores: which questions need the strong one")
#define X(name, ...) int lun_command_##name(int argc, char **argv); extern const char lun_usage_##name[];     /* what --help prints */
LUN_COMMANDS(X)
#undef X
#endif

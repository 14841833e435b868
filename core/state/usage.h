/* What an answer says it took: the tokens of providers' `usage` objects, brought to one meaning. What the names mean differs: OpenAI's
 * prompt_tokens include cached ones, Anthropic's input_tokens do not; Gemini's candidates leave thoughts out. This is the one place that knows.
 *
 *   form          told by                                     input                                    output
 *   OpenAI        prompt_tokens, completion_tokens            all of it; details and DeepSeek's        all of it; more, where total_tokens has
 *                                                             prompt_cache_hit_tokens are parts        more than both (xAI, Gemini: thinking)
 *   Responses     input_tokens with input_tokens_details      all of it                                output_tokens, likewise
 *   Anthropic     cache_read_input_tokens or cache_creation…  + both: input_tokens leave them out      output_tokens
 *                 without prompt_tokens_details.cached_tokens
 *   Gemini        promptTokenCount                            + toolUsePromptTokenCount                candidatesTokenCount + thoughtsTokenCount
 *
 * Where a claim can be read in two ways, the dearer one is taken: of two names for the cached part the smaller number, of all others the
 * larger; writes to a cache that do not say for how long are those of an hour; a part larger than its whole is taken to stand beside it. */
#ifndef LUN_STATE_USAGE_H
#define LUN_STATE_USAGE_H
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

/*  id, name in the body and in metrics: the class of service that an answer is billed as */
#define LUN_SERVICES(X) X(STANDARD, "standard") X(FLEX, "flex") X(PRIORITY, "priority") X(BATCH, "batch")
#define X(id, name) LUN_SERVICE_##id,
enum lun_service { LUN_SERVICES(X) LUN_SERVICE_COUNT };
#undef X
enum { LUN_SERVICES_ALL = (1 << LUN_SERVICE_COUNT) - 1 };      /* sets of them are bits, 1 << lun_service */

/*  id, name in metrics and logs, what about it cannot be true */
#define LUN_SUSPECTS(X) \
    X(NONE,        "",            "") \
    X(NEGATIVE,    "negative",    "a negative number of tokens") \
    X(NOT_A_COUNT, "not_a_count", "something that is no number of tokens") \
    X(TOO_LARGE,   "too_large",   "more tokens than there can be") \
    X(PARTS,       "parts",       "a part larger than its whole") \
    X(CONTEXT,     "context",     "more tokens than the context that it has") \
    X(OUTPUT,      "output",      "more output than was asked for") \
    X(HOLD,        "hold",        "more than the request could cost")
#define X(id, ...) LUN_SUSPECT_##id,
enum lun_suspect { LUN_SUSPECTS(X) LUN_SUSPECT_COUNT };
#undef X
const char *lun_suspect_name(enum lun_suspect);     /* static */
const char *lun_suspect_what(enum lun_suspect);     /* for people; follows "claimed ". Static */

struct lun_usage {              /* tokens */
    bool known;                 /* false: it said nothing, or nonsense */
    bool estimated;             /* counted by us, not by the provider */
    enum lun_suspect suspect;   /* what about the claim cannot be true */
    unsigned services;          /* what it may be billed as; 0: nobody says */
    int64_t input;              /* all of the input; the next five are parts of it */
    int64_t cached_input;       /* read from the provider's cache */
    int64_t cache_write, cache_write_1h;    /* written to it, for 5 minutes (or as long as it keeps it) and for an hour */
    int64_t audio_input, image_input;
    int64_t output;             /* all of the output; the next three are parts of it */
    int64_t reasoning, audio_output, image_output;
};

#define LUN_USAGE_MOST ((int64_t)1 << 40)       /* tokens; what claims more is no count of tokens */

/* Reads a `usage` (or usageMetadata) object under any of the names that providers give its members. False: it is none, or says nothing of
 * tokens, and *usage is as before. True with `known` false: it is nonsense, `suspect` says why, all counts are 0. */
bool lun_usage_read(struct lun_json usage, struct lun_usage *);

/* Which classes of service that name (a JSON string: `service_tier`) can mean: one, or all where it is "auto" or not known. 0: it is no string. */
unsigned lun_usage_services(struct lun_json name);
void lun_usage_add(struct lun_usage *sum, const struct lun_usage *);   /* saturates */
#endif

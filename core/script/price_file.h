/* A file of prices in the form of LiteLLM's model_prices_and_context_window.json: one object, a member for each model, its fields USD per token.
 * Every entry is read, or what of it was not understood is named. Pure: a text in, entries out.
 *
 * A field is a part of a price, and may end with `_above_200k_tokens` (any number) and then with `_flex`, `_priority` or `_batches`:
 *   input_cost_per_token, output_cost_per_token                          input, output
 *   cache_read_input_token_cost (input_cost_per_token_cache_hit)         cached_input
 *   cache_creation_input_token_cost, …_above_1hr                         cache_write, cache_write_1h
 *   output_cost_per_reasoning_token                                      reasoning
 *   input_cost_per_audio_token, output_cost_per_audio_token              audio_input, audio_output
 *   input_cost_per_image_token, output_cost_per_image_token              image_input, image_output
 *   input_cost_per_request                                               request (USD per call)
 *   max_input_tokens, max_output_tokens                                  context, max_output
 * Fields that say nothing of money (mode, supports_…, rpm …) are passed over, and so is what costs 0. */
#ifndef LUN_SCRIPT_PRICE_FILE_H
#define LUN_SCRIPT_PRICE_FILE_H
#include "base/json.h"
#include "state/price.h"

enum { LUN_PRICE_FILE_ENTRIES = 100000, LUN_PRICE_FILE_ODD = 10000, LUN_PRICE_FILE_NAME = 256, LUN_PRICE_FILE_TIERS = 16 };

struct lun_price_entry {
    const char *name;               /* "gpt-4.1", "azure/gpt-4.1" */
    struct lun_price price;         /* unknown where it cannot be used: an odd field says why */
    int64_t context, max_output;    /* tokens; 0: not given */
    int odd;                        /* how many of its fields were not understood */
};
struct lun_price_odd { const char *entry, *field, *why; };     /* field "": the entry as a whole */
struct lun_price_file {
    struct lun_price_entry *entries; int n;     /* by name, in byte order */
    struct lun_price_odd *odd; int n_odd;       /* in the order of the file; the first LUN_PRICE_FILE_ODD */
    int more_odd;                               /* beyond those */
    int whole, priced;                          /* entries without an odd field; with a known price */
};

/* False: it is no such file, and *error says why and where. Strings are in the arena, or static. */
bool lun_price_file_read(const char *text, size_t n, struct lun_arena *, struct lun_price_file *, struct lun_json_error *error);
const struct lun_price_entry *lun_price_file_find(const struct lun_price_file *, const char *name);     /* NULL: there is none */
#endif

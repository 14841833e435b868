/* How many tokens a text is, without a tokenizer: the most it can be, and about how many.
 *
 * The most. A tokenizer of bytes (all of OpenAI's, Llama 3's, Qwen's, DeepSeek's) makes no more tokens than the text has bytes; one of characters that
 * falls back to bytes (Llama 2's, Mistral's, Gemma's) one more for a text as a whole. But some bring the text into a normal form first (NFC: Qwen;
 * NFKC: Claude 2, most of SentencePiece; some fold case), and that can make it longer: U+FDFA is 3 bytes and becomes 33. `grows` is by how many bytes
 * at most the normal form of the text is longer than its JSON form.
 *
 * About how many. Each character weighs something by its class and that of the one before it: the start of a word, a case that changes, a digit, a
 * Chinese character, … The weights were fitted to real tokenizers (tests/tokens, which also measures how far off they are).
 *
 * One pass, no allocation, no state but the caller's. ASCII goes 32 bytes at a time (AVX2): 2 instructions a byte in English, 3 in JSON and code full of
 * escapes, where character by character they were 19; Vietnamese takes 18, Chinese 13. */
#ifndef LUN_BASE_TOKENS_H
#define LUN_BASE_TOKENS_H
#include "base/json.h"

struct lun_tokens {             /* zero-initialised: of nothing. Sums of any number of texts */
    uint64_t grows;             /* bytes */
    uint64_t weight;            /* in 1/LUN_TOKENS_WHOLE tokens */
};
#define LUN_TOKENS_WHOLE 1024

/* Adds what stands between the quotes of a JSON string, escapes and all. Other bytes stay within bounds and mean nothing. */
void lun_tokens_add(struct lun_tokens *, const char *text, size_t n);

/* By how many bytes its normal form is longer: what _add adds to `grows`. A quarter of an instruction a byte in ASCII, for who does not ask how many tokens it is about. */
uint64_t lun_tokens_grow(const char *text, size_t n);

/* Adds a whole JSON value as the text that it is (a schema, a tool's definition): quotes, brackets and commas count too. Nothing for {0}. */
void lun_tokens_add_json(struct lun_tokens *, struct lun_json value);

/* Adds a string without its quotes; anything else is nothing. */
void lun_tokens_add_string(struct lun_tokens *, struct lun_json value);

/* By how many tokens more than its bytes a structured value can be when a provider writes it anew, as its template does for tools, schemas and the
 * arguments of calls: on lines of their own, indented by its depth, with a blank behind each comma and colon; non-ASCII and < > & ' as \u escapes. */
uint64_t lun_tokens_rewritten(struct lun_json value);
#endif

/* The chunked transfer coding (RFC 9112 7.1), decoded in place and strictly, encoded by a line of hex. Pure.
 *
 * A size is 1 to 16 hex digits, below 2^60, nothing around them. Extensions are read, checked (`;name`, `;name=token`,
 * `;name="quoted"`, no blanks) and dropped; those of one body may be LUN_CHUNK_EXTENSIONS bytes in all. Lines end with CRLF.
 * Trailer fields are checked and dropped, LUN_CHUNK_TRAILERS bytes in all (431); those that would frame, route,
 * authorise or describe the message (RFC 9110 6.5.1: Content-Length, Transfer-Encoding, Host, Authorization, …) are refused. */
#ifndef LUN_BASE_HTTP_CHUNKED_H
#define LUN_BASE_HTTP_CHUNKED_H
#include "base/http.h"

enum { LUN_CHUNK_EXTENSIONS = 4096, LUN_CHUNK_TRAILERS = 8192, LUN_CHUNK_LINE = 20 };

struct lun_chunks {                 /* zero-initialise for each body */
    int state;
    uint64_t left;                  /* of the chunk being read */
    int digits;
    size_t extra, trailer;          /* bytes of extensions, of trailers so far */
    unsigned name_n; char name[28]; /* of the trailer being read, lower case, as far as it fits */
    int status;                     /* after BAD: 400 or 431 */
    const char *why;                /* after BAD: static, for people */
};

/* Takes `n` new bytes at `bytes`, moves what is data to their front (*data bytes), and says how many it used: all of them
 * unless it is DONE, then what follows belongs to the next request. After BAD: *data is 0. The answer does not depend on how
 * the bytes were cut; O(n). */
enum lun_http_result lun_chunks_decode(struct lun_chunks *, char *bytes, size_t n, size_t *data, size_t *used);

/* The line before `n` bytes of data (n > 0; then follow the data and CRLF); returns its length, at most LUN_CHUNK_LINE. The
 * last chunk is "0\r\n", trailers, "\r\n". */
size_t lun_chunk_line(char out[LUN_CHUNK_LINE], size_t n);
#endif

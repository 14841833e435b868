/* Pages of the tree that are made from tables of the code. A part is what stands between <!-- name --> and <!-- end of name --> of a page, or,
 * without a name, the whole file. Each page's test compares its parts with the code and, with `--write`, puts them right (`make docs`).
 * Paths are relative to the top of the tree, where tests are run. */
#ifndef TESTS_PAGE_H
#define TESTS_PAGE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"

struct page_part { const char *path, *name; void (*put)(struct lun_buf *); };      /* `put` appends what the code says */

/* The whole text, yours to free(); NULL: there is no such file. */
static inline char *page_text(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) return NULL;
    struct lun_buf page = { 0 };
    size_t n;
    while ((n = fread(lun_buf_space(&page, 65536), 1, 65536, f))) page.n += n;
    fclose(f);
    return lun_buf_text(&page);
}

static inline char *page_read(const char *path)
{
    char *page = page_text(path);
    if (!page) fail_msg("%s: not here; run this from the top of the source tree", path);
    return page;
}

/* Where the part begins and ends in the page's text; NULL: the page has no such part. */
static inline char *page_find(const struct page_part *part, char *page, char **end)
{
    char from[64], to[64];
    if (!part->name) return *end = page + strlen(page), page;
    snprintf(from, sizeof from, "<!-- %s -->\n", part->name);
    snprintf(to, sizeof to, "<!-- end of %s -->", part->name);
    char *at = strstr(page, from);
    *end = at ? strstr(at, to) : NULL;
    return *end ? at + strlen(from) : NULL;
}

/* Fails unless the page says what the code says. */
static inline void page_is_current(const struct page_part *part)
{
    struct lun_buf now = { 0 };
    char *page = page_read(part->path), *end, *at = page_find(part, page, &end);
    if (!at) fail_msg("%s has no part <!-- %s -->", part->path, part->name);
    part->put(&now);
    if ((size_t)(end - at) != now.n || memcmp(at, now.at, now.n))
        fail_msg("%s%s%s is not what the code says; `make docs` puts it right", part->path, part->name ? ": the part " : "", part->name ? part->name : "");
    lun_buf_free(&now);
    free(page);
}

/* Puts it right. False, and told on stderr: it cannot. A whole file need not be there yet. */
static inline int page_write(const struct page_part *part)
{
    struct lun_buf out = { 0 };
    char *page = page_text(part->path), *end, *at = NULL;
    if (page) at = page_find(part, page, &end);
    if (!at && part->name) return fprintf(stderr, "%s has no part <!-- %s -->\n", part->path, part->name), 0;
    if (part->name) lun_buf_add(&out, page, (size_t)(at - page));
    part->put(&out);
    if (part->name) lun_buf_puts(&out, end);
    FILE *f = fopen(part->path, "w");
    if (!f) return perror(part->path), 0;
    fwrite(out.at, 1, out.n, f);
    fclose(f);
    lun_buf_free(&out);
    free(page);
    return 1;
}

static inline int page_write_all(const struct page_part *parts, size_t n)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) bad |= !page_write(&parts[i]);
    return bad;
}

/* A cell of a table: a bar inside of it would end it. */
static inline void page_cell(struct lun_buf *out, const char *text)
{
    lun_buf_puts(out, " ");
    for (; *text; text++) {
        if (*text == '|') lun_buf_putc(out, '\\');
        lun_buf_putc(out, *text);
    }
    lun_buf_puts(out, " |");
}

/* For a test's `main`: `test_x --write` writes instead of testing. */
#define PAGE_WRITES(argc, argv, parts) if (argc == 2 && !strcmp(argv[1], "--write")) return page_write_all(parts, sizeof parts / sizeof *parts)
#endif

/* Memory. These never return NULL: a machine that gives out no memory at all is not survived, it is said and left.
 * What a client or a provider may take is bounded by explicit limits where it is taken, never by a failing malloc. */
#ifndef LUN_BASE_ALLOC_H
#define LUN_BASE_ALLOC_H
#include <stddef.h>

void *lun_alloc(size_t n);                  /* not cleared */
void *lun_zalloc(size_t n);                 /* cleared */
void *lun_realloc(void *p, size_t n);
void *lun_memdup(const void *p, size_t n);
char *lun_strdup(const char *s);            /* NULL gives NULL */
char *lun_strndup(const char *s, size_t n); /* n bytes and a NUL; the bytes may hold NULs */
char *lun_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));    /* yours to free() */
#endif

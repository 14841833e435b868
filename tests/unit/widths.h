/* For tests of what looks through texts: all of a group, however many bytes are looked at at once (base/wide.h). */
#include "base/wide.h"

#define RUN_EACH_WIDTH(tests) __extension__ ({ \
    int failed_ = 0; \
    for (int bytes_ = lun_wide_most(); bytes_ >= 0; bytes_ -= 32) { \
        lun_wide_bytes = bytes_; \
        failed_ += cmocka_run_group_tests(tests, NULL, NULL); \
    } \
    failed_; \
})

#include "gateway/version.h"
#include "lunette.h"

const char *lun_version(void) { return LUN_VERSION; }

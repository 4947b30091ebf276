/* What the feature `bindgen` reads: the public headers of libdtrace for Linux. */
#include <sys/types.h>
#include <sys/param.h>
#include <dtrace.h>
#include <dtrace/arg.h>

/* quanthost.h compiles alone, as C99. */
#include <quanthost/quanthost.h>

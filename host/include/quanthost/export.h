/* What libquanthost.so shows: everything else in it is hidden. */
#ifndef QUANTHOST_EXPORT_H
#define QUANTHOST_EXPORT_H

#if defined(__GNUC__)
#define QUANTHOST_API __attribute__((visibility("default")))
#define QUANTHOST_LOCAL __attribute__((visibility("hidden")))
#else
#define QUANTHOST_API
#define QUANTHOST_LOCAL
#endif

#endif

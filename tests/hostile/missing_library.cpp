// What needs_library.cpp is linked with; it lies in a directory that the loader never looks at.
extern "C" __attribute__((visibility("default"))) int qh_test_from_missing_library() { return 0; }

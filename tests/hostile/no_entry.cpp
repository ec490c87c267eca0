// A manifest, and no entry point.
extern "C" __attribute__((visibility("default"))) int something_else() { return 1; }

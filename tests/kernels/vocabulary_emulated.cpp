// The vocabulary inside the test program.
#include "vocabulary.cu"

#pragma once

// getopt_long is not in the Swift toolchain's Glibc module.
#include <getopt.h>

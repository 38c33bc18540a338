// The scan with what every processor of the platform has.

#include "json_walk.h"

enum millrace_json_end json_portable(struct millrace_json_scan *scan, enum millrace_json_mode mode) {
    return json_find(scan, mode);
}

internal import CJSONScan

/// Events found by marks of whole blocks (CJSONScan). What is found is JSON within the limits, for sure; what is not found
/// is for a `JSONScanner`, which knows what is wrong and where.
///
/// Both take the same texts. The scanner goes from token to token and mispredicts at each kind that it did not expect; here a
/// block costs the same whatever is in it, and only its brackets are gone through.
enum JSONBlocks {
    /// Events that one call finds at most. Another call goes on.
    private static let maxEvents = 2 * MILLRACE_JSON_ROOM

    /// Finds the only value of `text`, without the whitespace around it.
    static func value(of text: UnsafeRawBufferPointer, limits: JSONLimits) -> JSONRange? {
        withScan(of: text, from: 0, limits) { scan in
            guard millrace_json_find(&scan, MILLRACE_JSON_VALUE) == MILLRACE_JSON_FINISHED, scan.count == 1 else {
                return nil
            }
            return JSONRange(Int(scan.ranges[0].start), Int(scan.ranges[0].end))
        }
    }

    /// Appends the elements of the array whose bracket is in front of `start`, with nothing but whitespace behind it. False:
    /// some of them were appended, and nothing is said about the rest.
    static func elements(
        of text: UnsafeRawBufferPointer, from start: Int, limits: JSONLimits, into ranges: inout [JSONRange]
    ) -> Bool {
        withScan(of: text, from: start, limits) { scan in
            var mode = MILLRACE_JSON_ELEMENTS
            while true {
                let end = millrace_json_find(&scan, mode)
                append(scan, to: &ranges)
                guard ranges.count <= limits.elements else { return false }
                guard end == MILLRACE_JSON_FULL else { return end == MILLRACE_JSON_FINISHED }
                mode = MILLRACE_JSON_MORE_ELEMENTS
            }
        }
    }

    /// Appends the lines that begin at `start` and behind, up to one that may be unsound, or to some more than the limit.
    /// Returns the position behind the last of them.
    static func lines(
        of text: UnsafeRawBufferPointer, from start: Int, limits: JSONLimits, into ranges: inout [JSONRange]
    ) -> Int {
        withScan(of: text, from: start, limits) { scan in
            while true {
                let end = millrace_json_find(&scan, MILLRACE_JSON_LINES)
                append(scan, to: &ranges)
                guard end == MILLRACE_JSON_FULL, ranges.count <= limits.elements else { return scan.position }
            }
        }
    }

    private static func append(_ scan: millrace_json_scan, to ranges: inout [JSONRange]) {
        // Both are two numbers of 32 bits.
        scan.ranges.withMemoryRebound(to: JSONRange.self, capacity: scan.count) {
            ranges.append(contentsOf: UnsafeBufferPointer(start: $0, count: scan.count))
        }
    }

    private static func withScan<Result>(
        of text: UnsafeRawBufferPointer, from start: Int, _ limits: JSONLimits,
        _ body: (inout millrace_json_scan) -> Result
    ) -> Result {
        var scan = millrace_json_scan()
        scan.text = text.baseAddress?.assumingMemoryBound(to: UInt8.self)
        scan.length = text.count
        scan.max_depth = UInt32(limits.depth)
        scan.max_tokens = UInt32(limits.tokens)
        scan.max_keys = UInt32(limits.keys)
        // Not on the stack, where Swift puts no more than 1 KiB: it would be an allocation for each request. `body` scans nothing else.
        scan.ranges = millrace_json_room()
        scan.capacity = Int(maxEvents)
        scan.position = start
        return body(&scan)
    }
}

import ByteBuffers
import CJSONScan
import HTTPWire

@testable import IngestGateway

/// A text as one value, as an array, as an envelope and as lines: what each of these accepts, the others must, too.
@Sendable func fuzzJSON(_ bytes: UnsafeRawBufferPointer) {
    let limits = JSONLimits()
    var scanner = JSONScanner(bytes, limits: limits)
    let kind = try? scanner.onlyValue()
    blocks(bytes, limits, isValue: kind != nil)
    if kind == .array { elements(bytes, limits) }
    if let kind { envelope(bytes, limits, kind) }
    lines(bytes, limits)
}

/// The elements of an array that is JSON are JSON, unless there are too many of them or a limit counts for each.
private func elements(_ bytes: UnsafeRawBufferPointer, _ limits: JSONLimits) {
    var scanner = JSONScanner(bytes, limits: limits)
    var ranges: [JSONRange] = []
    do {
        try scanner.elements(into: &ranges)
    } catch {
        insist(error.reason == .tooManyElements, "an array was accepted, its elements were not: \(error)")
        return
    }
    var quick = JSONScanner(bytes, limits: limits)
    var same: [JSONRange] = []
    insist((try? quick.onlyElements(into: &same)) != nil && same == ranges, "elements differ")
    for range in ranges {
        let element = UnsafeRawBufferPointer(rebasing: bytes[Int(range.start)..<Int(range.end)])
        var inner = JSONScanner(element, limits: limits)
        guard let kind = try? inner.onlyValue() else { fatalError("an element was accepted, alone it is not") }
        if kind == .string, element.count >= 2 {
            _ = JSONText.unescaped(UnsafeRawBufferPointer(rebasing: element[1..<element.count - 1]))
        }
    }
}

private func envelope(_ bytes: UnsafeRawBufferPointer, _ limits: JSONLimits, _ kind: JSONKind) {
    var scanner = JSONScanner(bytes, limits: limits)
    var envelope = JSONEnvelope(["id", "type", "a"])
    do {
        try envelope.read(&scanner)
    } catch {
        insist(
            kind != .object || error.reason == .duplicateKey || error.reason == .loneSurrogate
                || error.reason == .nulInText, "an object was accepted, as an envelope it was not: \(error)")
        return
    }
    insist(kind == .object, "an envelope that is no object")
    for place in 0..<3 {
        if let member = envelope[place] { insist(Int(member.range.end) <= bytes.count) }
    }
}

/// The quick way through lines and the careful one give the same lines.
private func lines(_ bytes: UnsafeRawBufferPointer, _ limits: JSONLimits) {
    var quick = NDJSONLines(bytes, limits: limits)
    var careful = NDJSONLines(bytes, limits: limits)
    while true {
        var sound: [JSONRange] = []
        quick.appendSound(to: &sound)
        for line in sound {
            insist(careful.next() == line, "the line at \(line.start) differs")
            insist(isValue(bytes, line, limits), "the line at \(line.start) was called sound")
        }
        guard let line = quick.next() else { break }
        insist(careful.next() == line, "the line at \(line.start) differs")
    }
    insist(careful.next() == nil)
}

private func isValue(_ bytes: UnsafeRawBufferPointer, _ range: JSONRange, _ limits: JSONLimits) -> Bool {
    var scanner = JSONScanner(
        UnsafeRawBufferPointer(rebasing: bytes[Int(range.start)..<Int(range.end)]), limits: limits)
    return (try? scanner.onlyValue()) != nil
}

/// Marks of whole blocks and the scanner take the same texts, by every implementation that this CPU has.
private func blocks(_ bytes: UnsafeRawBufferPointer, _ limits: JSONLimits, isValue: Bool) {
    for index in 0..<millrace_json_count() {
        withUnsafeTemporaryAllocation(of: millrace_json_range.self, capacity: MILLRACE_JSON_ROOM) { ranges in
            var scan = millrace_json_scan()
            scan.text = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            scan.length = bytes.count
            (scan.max_depth, scan.max_tokens) = (UInt32(limits.depth), UInt32(limits.tokens))
            (scan.max_keys, scan.ranges, scan.capacity) = (UInt32(limits.keys), ranges.baseAddress, ranges.count)
            let end = millrace_json_find_by(index, &scan, MILLRACE_JSON_VALUE)
            insist((end == MILLRACE_JSON_FINISHED && scan.count == 1) == isValue, "implementation \(index) differs")
            scan.position = 0
            _ = millrace_json_find_by(index, &scan, MILLRACE_JSON_LINES)
        }
    }
}

/// Cuts the text of a JSON array into its elements, part by part: what of a part is no whole element is left for the next call. However
/// the text comes in parts, the same elements come of it.
///
/// ```
///   start ─ [ ─► first ─ value ─► behind ─ , ─► next ─ value ─► behind … ─ ] ─► over
///                                   └ what is no comma: an element that is wrong
/// ```
/// An element that cannot be read ends where its brackets and quotes say: at the next comma of the array, or the bracket that closes that.
/// Nothing within it is ever taken for an element.
struct JSONElements {
    private enum State { case start, first, next, behind, over }

    /// A line and its byte, both from 1.
    struct Place: Equatable {
        var line = 1
        var column = 1

        mutating func pass(_ text: UnsafeRawBufferPointer) {
            line += CSVEvents.lines(of: text)
            if let last = text.lastIndex(of: 0x0a) { column = text.count - last } else { column += text.count }
        }
    }

    /// What a call has come to.
    struct Outcome {
        /// Bytes of the text whose elements were taken, and of what stands between them.
        var used = 0
        /// Why the text is not read on. The elements before are taken.
        var problem: Problem?
    }

    private var state = State.start
    /// Where the text of the last call begins, and where that of the next one will.
    private(set) var start = Place()
    private(set) var end = Place()

    /// The last line of which everything is taken.
    var lastLine: Int { state == .over && end.column > 1 ? end.line : end.line - 1 }

    /// Appends the ranges of the text's elements, wrong ones as well, which are in `rejections`.
    ///
    /// - Parameters:
    ///   - isLast: nothing comes behind `text`.
    ///   - most: elements, after which the rest is left.
    mutating func read(
        _ text: UnsafeRawBufferPointer, isLast: Bool, most: Int, _ limits: JSONLimits,
        into events: inout [JSONRange], _ rejections: inout [Rejection]
    ) -> Outcome {
        start = end
        var scanner = JSONScanner(text, limits: limits)
        var outcome = Outcome()
        var at = 0
        loop: while true {
            at = scanner.skipSpace(at)
            guard at < text.count else { break }
            switch (state, text[at]) {
            case (.start, UInt8(ascii: "[")):
                state = .first
                at += 1
            case (.first, UInt8(ascii: "]")), (.behind, UInt8(ascii: "]")):
                state = .over
                at += 1
            case (.behind, UInt8(ascii: ",")):
                state = .next
                at += 1
            case (.start, _), (.over, _):
                outcome.problem = Problem(
                    .invalidJSON,
                    state == .over
                        ? "Something follows the JSON array."
                        : "The file is no JSON array: it does not begin with a bracket. One with a value in each line is ndjson."
                )
                break loop
            default:
                guard events.count < most, let next = take(at, text, &scanner, isLast, &events, &rejections) else {
                    break loop
                }
                at = next
            }
        }
        if outcome.problem == nil, isLast, at == text.count, state != .over {
            outcome.problem = Problem(.invalidJSON, "The JSON array does not end: a part of the file is missing.")
        }
        outcome.used = at
        end.pass(UnsafeRawBufferPointer(rebasing: text[..<at]))
        return outcome
    }

    /// Takes what begins at a byte that is no space. Gives the position behind it; nil: more of the text is wanted.
    private mutating func take(
        _ at: Int, _ text: UnsafeRawBufferPointer, _ scanner: inout JSONScanner, _ isLast: Bool,
        _ events: inout [JSONRange], _ rejections: inout [Rejection]
    ) -> Int? {
        var failure = JSONFailure(reason: .unexpectedByte, position: at)
        if state != .behind {
            do throws(JSONFailure) {
                let range = try scanner.element(at: at)
                let end = Int(range.end)
                // Nobody knows whether a number at the end of the file is all of it.
                let isCut = end == text.count && isLast && Self.isOfNumber(text[end - 1])
                if isCut { throw JSONFailure(reason: .unexpectedEnd, position: end) }
                if end == text.count ? isLast : Self.mayFollow(text[end]) {
                    events.append(range)
                    state = .behind
                    return end
                }
                // The number may go on, or what stands behind the value belongs to it.
                if end == text.count { return nil }
                failure.position = end
            } catch {
                failure = error
            }
        }
        guard let end = BracketWalk.end(of: text, from: at) ?? (isLast ? text.count : nil) else { return nil }
        rejections.append(
            Rejection(
                index: events.count, kind: ProblemKind(failure), detail: failure.detail,
                position: min(failure.position, end) - at))
        events.append(JSONRange(at, end))
        state = .behind
        return end
    }

    /// Of the last byte of a value.
    private static func isOfNumber(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func mayFollow(_ byte: UInt8) -> Bool {
        [UInt8(ascii: ","), UInt8(ascii: "]"), 0x20, 0x0a, 0x0d, 0x09].contains(byte)
    }
}

/// Finds the end of a text that is no JSON by its brackets and quotes alone.
private struct BracketWalk {
    private var open: [UInt8] = []
    private var openArrays = 0

    /// The comma behind it, or the bracket that closes the array around it; nil: neither is there.
    static func end(of text: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var walk = BracketWalk()
        var at = start
        while at < text.count {
            let byte = text[at]
            switch byte {
            case UInt8(ascii: "\""):
                guard let end = endOfString(text, at + 1) else { return nil }
                at = end
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                walk.open.append(byte)
                if byte == UInt8(ascii: "[") { walk.openArrays += 1 }
            case UInt8(ascii: "]"):
                if walk.openArrays == 0 { return at }
                walk.close(UInt8(ascii: "["))
            case UInt8(ascii: "}"):
                if walk.open.count > walk.openArrays { walk.close(UInt8(ascii: "{")) }
            case UInt8(ascii: ","):
                if walk.open.isEmpty { return at }
            default: break
            }
            at += 1
        }
        return nil
    }

    /// Closes the innermost of this kind, which is there, and what is open within it.
    private mutating func close(_ bracket: UInt8) {
        while let last = open.popLast() {
            if last == UInt8(ascii: "[") { openArrays -= 1 }
            if last == bracket { return }
        }
    }

    /// The quote that ends a string; nil: it is not there. Line ends, which JSON has not in strings, are what is wrong most often.
    private static func endOfString(_ text: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        var at = start
        while at < text.count {
            if text[at] == UInt8(ascii: "\"") { return at }
            at += text[at] == UInt8(ascii: "\\") ? 2 : 1
        }
        return nil
    }
}

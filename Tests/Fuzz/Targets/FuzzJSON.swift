import ByteBuffers
import HTTPWire

@testable import IngestGateway

/// A text as one value, as an array, as an envelope and as lines: what each of these accepts, the others must, too.
@Sendable func fuzzJSON(_ bytes: UnsafeRawBufferPointer) {
    let limits = JSONLimits()
    var scanner = JSONScanner(bytes, limits: limits)
    let kind = try? scanner.onlyValue()
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
        let sound = quick.nextSound()
        guard let line = sound ?? quick.next() else { break }
        insist(careful.next() == line && careful.number == quick.number, "line \(quick.number) differs")
        guard sound != nil else { continue }
        var scanner = JSONScanner(
            UnsafeRawBufferPointer(rebasing: bytes[Int(line.start)..<Int(line.end)]), limits: limits)
        insist((try? scanner.onlyValue()) != nil, "line \(quick.number) was called sound")
    }
    insist(careful.next() == nil)
}

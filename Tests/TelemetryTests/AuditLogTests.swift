import ByteBuffers
import Testing

@testable import Telemetry

/// What is told of who did what: the first at once, the same again as a number, and no flood hides a change.
@Suite struct AuditLogTests {
    private func entry(_ kind: AuditEntry.Kind, _ who: String, on: String = "TOPIC orders") -> AuditEntry {
        AuditEntry(kind, who: who, from: "10.0.0.1", what: "WRITE", on: on, result: "DENIED")
    }

    @Test func theSameIsToldAtOnceAndThenOnceAMinute() {
        var folding = AuditFolding()
        let same = entry(.refusal, "User:alice")
        #expect(folding.note(same, nowMs: 0) == .init(kind: .refusal, entry: same, count: 1))
        for _ in 0..<1_000 { #expect(folding.note(same, nowMs: 1) == nil) }
        #expect(folding.sweep(nowMs: AuditFolding.windowMs - 1).isEmpty)
        #expect(folding.sweep(nowMs: AuditFolding.windowMs) == [.init(kind: .refusal, entry: same, count: 1_000)])
        // A minute without it, and it is news again.
        #expect(folding.sweep(nowMs: 2 * AuditFolding.windowMs).isEmpty && folding.isEmpty)
        #expect(folding.note(same, nowMs: 2 * AuditFolding.windowMs)?.count == 1)
    }

    @Test func aFloodOfRefusalsIsANumberAndHidesNoChange() {
        var folding = AuditFolding()
        let many = AuditFolding.maxEntries + 10
        let told = (0..<many).compactMap { folding.note(entry(.refusal, "User:alice", on: "\($0)"), nowMs: 0) }
        #expect(told.count == AuditFolding.maxEntries)
        #expect(folding.note(entry(.change, "User:admin"), nowMs: 0)?.kind == .change)
        #expect(folding.sweep(nowMs: 1) == [.init(kind: .refusal, entry: nil, count: 10)])
    }

    @Test func aLineIsOneObject() {
        let long = String(repeating: "x", count: 1_000) + "\u{e9}"
        let told = AuditEntry(.change, who: "User:a\"\n\u{1}", from: long, what: "CreateTopics", on: "", result: "NONE")
        let line = AuditLog.bytes(.init(kind: .change, entry: told, count: 1), "T")
        let cut = String(repeating: "x", count: AuditEntry.maxText)
        #expect(
            String(decoding: line, as: UTF8.self)
                == #"{"time":"T","kind":"change","who":"User:a\"\n\u0001","from":"\#(cut)","what":"CreateTopics","result":"NONE"}"#
                + "\n")
        let more = AuditLog.bytes(.init(kind: .refusal, entry: nil, count: 7), "T")
        #expect(String(decoding: more, as: UTF8.self).hasSuffix("\"more\":7}\n"))
    }

    @Test func whatIsLeftIsWrittenAtTheEnd() {
        let (lines, metrics) = (Lock<[UInt8]>([]), MetricsRegistry())
        let log = AuditLog(metrics: metrics) { bytes in
            lines.withLock { $0 += bytes }
            return true
        }
        for _ in 0..<3 { log.note(entry(.refusal, "User:alice")) }
        log.stop()
        log.note(entry(.refusal, "User:bob"))
        let text = String(decoding: lines.withLock { $0 }, as: UTF8.self)
        #expect(text.split(separator: "\n").count == 2 && text.contains("\"more\":2}") && !text.contains("bob"))
    }
}

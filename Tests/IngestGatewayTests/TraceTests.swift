import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import Testing

@testable import IngestGateway

/// Traces of requests, by W3C Trace Context: what is read, what is handed on, what is dropped.
@Suite struct TraceTests {
    private static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    private static func read(_ text: String) -> String? {
        Array(text.utf8).withUnsafeBytes { TraceParent($0)?.text }
    }

    @Test func aParentIsReadStrictly() {
        #expect(Self.read(Self.parent) == Self.parent)
        #expect(Self.read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff")?.hasSuffix("-ff") == true)
        for wrong in [
            "", "00", Self.parent + "-", Self.parent + "-01", String(Self.parent.dropLast()), Self.parent.uppercased(),
            "ff" + Self.parent.dropFirst(2), "0x" + Self.parent.dropFirst(2), "00_" + Self.parent.dropFirst(3),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01", "01" + Self.parent.dropFirst(2) + ".extra",
        ] {
            #expect(Self.read(wrong) == nil, "\(wrong)")
        }
        // Each half of an identifier may be zero.
        let half = "00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-00"
        #expect(Self.read(half) == half)
    }

    @Test func aVersionToComeIsHandedOnAsFarAsItIsKnown() {
        let rest = Self.parent.dropFirst(2).dropLast(2)
        #expect(Self.read("01\(rest)ff") == "00\(rest)01")
        #expect(Self.read("cc\(rest)02-what-the-future-will-be-like") == "00\(rest)00")
    }

    private static func state(_ fields: String...) -> String? {
        var state = TraceState()
        for field in fields {
            guard Array(field.utf8).withUnsafeBytes({ state.take($0) }) else { return "dropped" }
        }
        return state.text
    }

    @Test func aStateIsHandedOnInItsOrder() {
        #expect(Self.state("a=1,b=2") == "a=1,b=2")
        #expect(Self.state(" a=1 ,\tb=2,,", "tenant@system=x/y:z") == "a=1,b=2,tenant@system=x/y:z")
        #expect(Self.state("") == nil && Self.state(" , ") == nil)
        #expect(Self.state("k-_*/9=with a space") == "k-_*/9=with a space")
        let longest = String(repeating: "k", count: 255)
        #expect(Self.state("a\(longest)=v") == "a\(longest)=v")
        let members = (0..<32).map { "k\($0)=v" }.joined(separator: ",")
        #expect(Self.state(members) == members)
    }

    @Test func aStateThatIsNoneIsDroppedWhole() {
        let longest = String(repeating: "k", count: 257)
        for wrong in [
            "a", "a=", "=1", "A=1", "1=1", "a=1,a=2", "a=b=c", "a b=1", "a=\u{e9}", "a@=1", "@s=1", "a@b@c=1", "a@1=1",
            "\(longest)=1", "a=\(longest)", "a@\(String(repeating: "s", count: 15))=1",
            (0..<33).map { "k\($0)=v" }.joined(separator: ","),
        ] {
            #expect(Self.state(wrong) == "dropped", "\(wrong)")
        }
        #expect(Self.state("a=1", "a=2") == "dropped")
    }

    @Test func ofALongStateLongMembersGoFirst() {
        let (long, short) = (String(repeating: "v", count: 130), String(repeating: "v", count: 120))
        #expect(
            Self.state("a=\(short),b=\(long),c=\(short),d=\(short)")
                == "a=\(short),b=\(long),c=\(short),d=\(short)")
        #expect(
            Self.state("a=\(short),b=\(long),c=\(short),d=\(long),e=\(short)")
                == "a=\(short),b=\(long),c=\(short),e=\(short)")
        #expect(
            Self.state("a=\(short),b=\(short),c=\(short),d=\(short),e=\(short)")
                == "a=\(short),b=\(short),c=\(short),d=\(short)")
    }

    private static let yaml = """
        routes:
          - path: /in
            to: t
            enrich:
              headers: {traceparent: traceparent, tracestate: tracestate, event_id: uuidv7}
              members: {trace: traceparent}
        """

    private static func node(_ started: GatewayOptions.StartedTraces? = nil) throws -> GatewayHarness {
        var options = GatewayOptions()
        options.startedTraces = started
        return try GatewayHarness(options, configuration: GatewayConfiguration(yaml: yaml, options))
    }

    private static func headers(_ node: GatewayHarness, _ fields: String...) throws -> [String: String] {
        #expect(try node.call("POST", "/in", "{}", fields: fields).status == 201)
        return try #require(try node.stored("t").records.last).headers
    }

    @Test func whatCameStandsBesideTheEvent() throws {
        let node = try Self.node()
        let headers = try Self.headers(node, "Traceparent: \(Self.parent)", "tracestate: a=1", "TraceState: b=2")
        #expect(headers["traceparent"] == Self.parent && headers["tracestate"] == "a=1,b=2")
        #expect(headers["event_id"]?.utf8.count == 36)
        #expect(try node.values("t").last == "{\"trace\":\"\(Self.parent)\"}")
        #expect(node.traces("continued") == 1 && node.traces("dropped") == 0)
    }

    @Test func whatIsDroppedStandsNowhere() throws {
        let node = try Self.node()
        let wrong = Self.parent.uppercased()
        for fields in [["traceparent: \(wrong)"], ["traceparent: \(Self.parent)", "traceparent: \(Self.parent)"]] {
            let reply = try node.call("POST", "/in", "{}", fields: fields + ["tracestate: a=1"])
            #expect(reply.status == 201 && reply.string("request_id")?.utf8.count == 36)
            let record = try #require(try node.stored("t").records.last)
            #expect(Set(record.headers.keys) == ["event_id"] && record.value == "{}")
        }
        #expect(node.traces("dropped") == 2 && node.traces("continued") == 0)
        // A state without its trace says nothing, and one that is none does not take the trace with it.
        #expect(try Set(Self.headers(node, "tracestate: a=1").keys) == ["event_id"])
        let alone = try Self.headers(node, "traceparent: \(Self.parent)", "tracestate: A=1")
        #expect(alone["traceparent"] == Self.parent && alone["tracestate"] == nil)
        #expect(node.traces("state_dropped") == 1 && node.traces("started") == 0)
    }

    @Test func aTraceBeginsHereOnlyWhereItIsWanted() throws {
        let node = try Self.node(.sampled)
        let began = try #require(try Self.headers(node)["traceparent"])
        #expect(Self.read(began) == began && began.hasSuffix("-01"))
        let other = try #require(try Self.headers(node, "traceparent: nothing", "tracestate: a=1")["traceparent"])
        #expect(Self.read(other) == other && other != began)
        #expect(try node.stored("t").records.last?.headers["tracestate"] == nil)
        // One that came goes on.
        #expect(try Self.headers(node, "traceparent: \(Self.parent)")["traceparent"] == Self.parent)
        #expect(node.traces("started") == 2 && node.traces("continued") == 1 && node.traces("dropped") == 1)
        // Requests of one correlation are one trace.
        let first = try Self.headers(node, "X-Correlation-Id: c-1")["traceparent"]
        #expect(try Self.headers(node, "X-Correlation-Id: c-1")["traceparent"] == first)
        let quiet = try Self.node(.unsampled)
        #expect(try Self.headers(quiet)["traceparent"]?.hasSuffix("-00") == true)
    }

    /// Of a reply that goes on the head is gone: a trace begun for it would be another than the one that came.
    @Test func aLineWithoutTheHeadNamesNoTrace() throws {
        let node = try Self.node(.sampled)
        let loop = GatewayLoop(gateway: node.gateway, index: 0, pool: ChunkPool())
        loop.continueReply(now: 1, wallClockMs: 1)
        #expect(loop.currentTrace != nil && loop.traceFields.isEmpty)
        loop.begin(now: 1, wallClockMs: 1)
        #expect(loop.traceFields.count == 4)
    }

    @Test func aWorkersRequestHasTheSameTrace() throws {
        let node = try Self.node()
        let event = "{\"a\":\"\(String(repeating: "x", count: 200 << 10))\"}"
        let reply = try node.call("POST", "/in", event, fields: ["traceparent: \(Self.parent)"])
        #expect(reply.status == 201)
        #expect(try node.stored("t").records.last?.headers["traceparent"] == Self.parent)
        #expect(node.traces("continued") == 1)
    }
}

extension GatewayHarness {
    fileprivate func traces(_ outcome: String) -> Int? { metric("millrace_http_traces_total{outcome=\"\(outcome)\"}") }
}

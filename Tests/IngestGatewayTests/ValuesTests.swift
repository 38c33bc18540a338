import ByteBuffers
import Configuration
import Security
import Testing

@testable import IngestGateway

@Suite struct UUIDv7Tests {
    private func text(_ id: UUIDv7) -> String {
        String(unsafeUninitializedCapacity: UUIDv7.textLength) {
            id.write(to: $0.baseAddress!)
            return UUIDv7.textLength
        }
    }

    @Test func theTextFormHasVersionVariantAndTime() throws {
        var generator = UUIDv7Generator()
        let id = text(generator.next(atMs: 0x0192_3456_789a))
        #expect(id.hasPrefix("01923456-789a-7"))
        #expect(id.utf8.count == 36)
        #expect("89ab".contains(try #require(id.dropFirst(19).first)))
    }

    @Test func identifiersOfALoopAscendEvenWhenTheClockStandsOrGoesBack() {
        var generator = UUIDv7Generator()
        var last = ""
        for (time, count) in [(5, 1), (5, 3), (5, 1), (6, 100_000), (6, 1), (4, 1), (7, 1)] {
            let id = generator.next(atMs: Int64(time), count: count)
            for index in [0, count - 1] where index >= 0 {
                let text = text(id.advanced(by: index))
                #expect(text > last || index == 0 && count == 1 && text > last)
                last = text
                if count == 1 { break }
            }
        }
    }
}

@Suite struct RateLimiterTests {
    @Test func aBurstPassesAndThenTheRate() throws {
        let limiter = try #require(RateLimiter(rate: 10, burst: 3))
        let start: Int64 = 1_000_000_000
        for _ in 0..<3 { #expect(limiter.take(now: start) == nil) }
        #expect(limiter.take(now: start) == 100_000_000)
        #expect(limiter.take(now: start + 99_999_999) == 1)
        #expect(limiter.take(now: start + 100_000_000) == nil)
        #expect(limiter.take(now: start + 100_000_000) != nil)
        // Rest fills the bucket, and not beyond its size.
        let later = start + 60_000_000_000
        #expect(limiter.remaining(now: later) == 3)
        for _ in 0..<3 { #expect(limiter.take(now: later) == nil) }
        #expect(limiter.take(now: later) != nil)
    }

    @Test func withoutARateThereIsNoLimiter() {
        #expect(RateLimiter(rate: 0, burst: 5) == nil)
        #expect(RateLimiter(rate: 7, burst: 0)?.burst == 7)
    }
}

@Suite struct CallerLimitsTests {
    private static let start: Int64 = 1_000_000_000

    @Test func callersHaveALimitByThemselves() throws {
        let options = GatewayOptions(try Configuration.load(file: nil, environment: [:], flags: []))
        #expect(options.callerRate == GatewayOptions().callerRate && options.callerBurst == 0)
        #expect(options.maxOpenRequestsPerCaller == GatewayOptions().maxOpenRequestsPerCaller)
        let limits = try #require(CallerLimits(rate: options.callerRate, burst: options.callerBurst, maxOpen: 0))
        #expect(!limits.isTold)
        let address = CallerLimits.Caller.address(NetworkAddress("192.0.2.1")!)
        let share = limits.share(of: address, now: Self.start)
        #expect((0..<100_000).allSatisfy { _ in share.take(now: Self.start) == nil })
        #expect(share.take(now: Self.start) != nil)
        // Of the same caller, whichever connection asks; another has his own.
        #expect(limits.share(of: address, now: Self.start) === share)
        #expect(limits.share(of: .principal(.user("a")), now: Self.start).take(now: Self.start) == nil)
        for (rate, burst) in [(100_000, 1), (7, 0)] {
            #expect(CallerLimits(rate: rate, burst: burst, maxOpen: 0)?.isTold == true)
        }
        #expect(CallerLimits(rate: 0, burst: 9, maxOpen: 0) == nil)
        let open = try #require(CallerLimits(rate: 0, burst: 9, maxOpen: 5))
        #expect(!open.isTold && open.share(of: address, now: Self.start).remaining(now: Self.start) == nil)
    }

    /// Whoever comes from ever new addresses neither makes the table grow nor gets those forgotten who are counted.
    @Test func callersWhoAskAreKeptAtTheBound() throws {
        let limits = try #require(CallerLimits(rate: 1, burst: 1, maxOpen: 5))
        let (busy, waiting) = (
            CallerLimits.Caller.principal(.user("busy")), CallerLimits.Caller.principal(.user("waiting"))
        )
        let later = Self.start + 3_600_000_000_000
        let (first, second) = (limits.share(of: busy, now: Self.start), limits.share(of: waiting, now: Self.start))
        #expect(first.take(now: later) == nil)
        let place = CallerPlace(second)
        for index in 0..<UInt32(CallerLimits.maxCallers + 1000) {
            _ = limits.share(of: .address(NetworkAddress(v4: index)), now: later)
        }
        #expect(limits.share(of: busy, now: later) === first && limits.share(of: waiting, now: later) === second)
        #expect(second.open == 1)
        withExtendedLifetime(place) {}
    }
}

@Suite struct SmallValuesTests {
    @Test func momentsAreWrittenAsRFC3339() {
        #expect(ReceivedAt.text(ofMs: 0) == "1970-01-01T00:00:00.000Z")
        #expect(ReceivedAt.text(ofMs: 1_700_000_000_987) == "2023-11-14T22:13:20.987Z")
        var value = ReceivedAt()
        value.update(toMs: 1_700_000_000_987)
        value.update(toMs: 1_700_000_001_001)
        #expect(String(decoding: value.text, as: UTF8.self) == "2023-11-14T22:13:21.001Z")
    }

    @Test func correlationIDsAreHarmless() {
        func isHarmless(_ text: String) -> Bool { Array(text.utf8).withUnsafeBytes { GatewayLoop.isHarmless($0) } }
        #expect(isHarmless("trace-1.a:b_c"))
        #expect(isHarmless(String(repeating: "a", count: 128)))
        for text in ["", "a b", "a\nb", "<script>", "é", "a\"b", String(repeating: "a", count: 129)] {
            #expect(!isHarmless(text), "\(text)")
        }
    }

    @Test func pathsLeadToTheirRoutes() {
        func name(_ path: String) -> Route.Name? { Array(path.utf8).withUnsafeBytes { Route.match($0)?.name } }
        #expect(name("/v1/topics/t/events") == .events)
        #expect(name("/v1/topics/t/records") == .records)
        #expect(name("/v1/topics/t/partitions/3/records") == .records)
        #expect(name("/ingest") == .ingest)
        #expect(name("/") == .ingest)
        #expect(name("/events") == .webhook)
        for path in [
            "/v1/topics//events", "/v1/topics/t", "/v1/topics/t/", "/v1/topics/t/eventsx",
            "/v1/topics/t/partitions/records",
            "/v1/topics/t/partitions//records", "/events/", "/v2/topics/t/events", "/Events", "/ingest/x", "x",
        ] {
            #expect(name(path) == nil, "\(path)")
        }
    }
}

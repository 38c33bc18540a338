import BrokerTestKit
import ByteBuffers
import KafkaModel
import Testing

@testable import QueueLedger

/// The log makes the state again: at every place where a crash may cut it, from snapshots, and whatever bytes it is
/// given.
@Suite struct LedgerReplayTests {
    /// What was seen after a step: how many records there were, when, and the messages.
    private struct Moment {
        var records: Int
        var nowMs: Int64
        var scan: [ScannedMessage]
    }

    @Test(arguments: deliveryOrders) func everyPrefixMakesTheStateOfItsMoment(_ order: DeliveryOrder) throws {
        for seed in testSeeds(25) {
            var random = SeededRandom(seed: seed)
            var settings = LedgerSettings(order: order, maxReceives: 3)
            settings.backoffMs = [50]
            var queue = LedgerDriver(settings)
            for index in 0..<30 { queue.send(group: UInt64(index % 4)) }
            var moments: [Moment] = []
            var given: [LeasedMessage] = []
            for _ in 0..<40 {
                switch random.below(7) {
                case 0, 1: given += queue.receive(random.number(in: 1...4), visibilityMs: 100)
                case 2: _ = queue.acknowledge(Array(given.suffix(random.below(3))))
                case 3: _ = queue.release(Array(given.suffix(random.below(3))))
                case 4: _ = queue.changeVisibility(Array(given.suffix(1)), to: 300)
                case 5: queue.snapshot()
                default: queue.pass(40)
                }
                queue.pass(0)
                moments.append(Moment(records: queue.log.count, nowMs: queue.nowMs, scan: queue.ledger.scan()))
            }
            for moment in moments {
                var then = queue
                then.nowMs = moment.nowMs
                for compacted in [false, true] {
                    let loaded = try then.loaded(first: moment.records, compacted: compacted)
                    #expect(loaded.scan() == moment.scan, "seed \(seed), \(moment.records) records")
                }
            }
        }
    }

    /// A crash in the middle of writing a snapshot leaves the one before it and its changes, compacted or not.
    @Test func aSnapshotThatWasCutOffChangesNothing() throws {
        var queue = LedgerDriver(LedgerSettings(maxInFlight: 100_000))
        queue.send(40_000)
        // Every other one is in flight for itself: many entries, so many parts.
        var given: [LeasedMessage] = []
        for _ in 0..<20 { given += queue.receive(1_000) }
        _ = queue.acknowledge(given.filter { $0.receipt.offset.rawValue % 2 == 0 })
        queue.snapshot()
        _ = queue.acknowledge(Array(given.suffix(100)))
        let whole = queue.log.count
        let before = queue.ledger.scan()
        queue.snapshot()
        #expect(queue.log.count > whole + 2, "a snapshot of several parts")
        for cut in whole...queue.log.count {
            for compacted in [false, true] {
                let loaded = try queue.loaded(first: cut, compacted: compacted)
                #expect(loaded.scan() == before, "cut behind \(cut - whole) parts")
            }
        }
        // Those parts are there still when a shorter snapshot is written after a restart.
        var restarted = queue
        restarted.log = Array(queue.log.prefix(whole + 1))
        restarted.ledger = try queue.loaded(first: whole + 1)
        restarted.perform { ledger, _ in ledger.purge() }
        restarted.snapshot()
        #expect(try restarted.loaded(compacted: true).counters.live == 0)
    }

    /// The compacted log stays as small as what is alive.
    @Test func snapshotsKeepTheLogSmall() throws {
        var queue = LedgerDriver()
        for _ in 0..<3_000 {
            queue.send(10)
            _ = queue.acknowledge(queue.receive(10))
            if queue.ledger.wantsSnapshot { queue.snapshot() }
        }
        let compacted = LedgerDriver.compact(queue.log)
        let bytes = compacted.reduce(0) { $0 + $1.key.count + $1.value.count }
        #expect(bytes < 256 << 10, "\(bytes) bytes for nothing alive")
        queue.log = compacted
        #expect(try queue.loaded().counters == LedgerCounters())
    }

    @Test func changesWithoutTheirSnapshotAreRefused() throws {
        var queue = LedgerDriver()
        queue.send(3)
        _ = queue.receive()
        queue.snapshot()
        _ = queue.receive()
        let log = queue.log.filter { entry in
            (try? entry.key.withUnsafeBytes { try LedgerKey($0).kind }) == .change
        }
        #expect(throws: DecodeError.self) { try queue.loaded(from: log) }
    }

    /// What takes the offset of a message that is gone would count as given out, or as ended.
    @Test(arguments: [false, true]) func aLogThatHasLostItsEndIsRefused(_ isEnded: Bool) throws {
        var queue = LedgerDriver()
        queue.send(3)
        let given = queue.receive(3)
        if isEnded { _ = queue.acknowledge(given) }
        queue.messages.removeLast()
        #expect(throws: DecodeError.self) { try queue.loaded() }
        queue.snapshot()
        #expect(throws: DecodeError.self) { try queue.loaded() }
    }

    /// A lease that a crash forgot is given again under another number, so the first receipt is an old one.
    @Test func aLostLeasesReceiptIsOld() throws {
        var queue = LedgerDriver()
        queue.send(1)
        let lost = queue.receive()
        queue.log = []
        queue.ledger = try queue.loaded()
        let again = queue.receive()
        #expect(again.offsets == [0])
        #expect(queue.acknowledge(lost) == [.noEffect])
        #expect(queue.acknowledge(again) == [.done])
    }

    /// The first lease of the first leader epoch is one like the others, also in a snapshot.
    @Test func theFirstLeaseOfGenerationZeroIsALease() throws {
        var queue = LedgerDriver()
        queue.ledger = try queue.loaded(generation: 0)
        queue.send(2)
        let given = queue.receive(1)
        #expect(given[0].receipt.lease.rawValue != 0)
        queue.snapshot()
        let loaded = try queue.loaded()
        #expect(loaded.counters.inFlight == 1)
        #expect(loaded.scan() == queue.ledger.scan())
    }

    /// The straggler's price is one message's, whatever came after it.
    @Test func oneStragglerKeepsNoStateOfOthers() throws {
        var queue = LedgerDriver()
        queue.send(1)
        let straggler = queue.receive(visibilityMs: 43_200_000)
        for _ in 0..<200 {
            queue.send(1_000)
            _ = queue.acknowledge(queue.receive(1_000))
        }
        #expect(queue.ledger.floor == .zero && queue.counters.live == 1)
        #expect(queue.ledger.memoryBytes < 1 << 20)
        #expect(queue.ledger.snapshot().reduce(0) { $0 + $1.value.count } < 200)
        let loaded = try queue.loaded()
        #expect(loaded.scan() == queue.ledger.scan())
        #expect(queue.acknowledge(straggler) == [.done])
        #expect(queue.ledger.floor == Offset(200_001))
    }

    /// A ledger whose last messages are ended knows so: a snapshot of it would bring them back.
    @Test func theLastMessagesStayEndedOverARestartAndASnapshot() throws {
        var queue = LedgerDriver()
        queue.send(5)
        _ = queue.acknowledge(queue.receive(5))
        queue.ledger = try queue.loaded()
        queue.snapshot()
        #expect(try queue.loaded().counters.live == 0)
        queue.send(1)
        #expect(queue.receive(10).offsets == [5])
    }

    // MARK: Hostile bytes

    @Test func decodersTakeAnyBytes() throws {
        var queue = LedgerDriver(LedgerSettings(maxReceives: 2))
        queue.send(60)
        let given = queue.receive(20)
        _ = queue.acknowledge(Array(given.prefix(5)))
        _ = queue.release(Array(given[5..<8]), delayMs: 50)
        _ = queue.changeVisibility(Array(given[8..<9]), to: 900)
        _ = queue.reject(Array(given[9..<10]))
        queue.perform { ledger, _ in ledger.retain(from: Offset(1)) }
        queue.snapshot()
        var random = SeededRandom(seed: 11)
        var refused = 0
        for _ in 0..<6_000 {
            let entry = random.pick(queue.log)
            var ledger = try DeliveryLedger(id: LedgerDriver.id, settings: queue.settings, start: .zero)
            let value = Self.damaged(entry.value, &random)
            do {
                try value.withUnsafeBytes { bytes in
                    try entry.key.withUnsafeBytes { try ledger.replay(try LedgerKey($0), bytes) }
                }
                ledger.arrive(OffsetRange(.zero, Offset(99)), nowMs: 0)
                try ledger.finishLoading(generation: 1, logEndOffset: Offset(100), nowMs: queue.nowMs)
                #expect(ledger.faults() == [])
            } catch { refused += 1 }
            let key = Self.damaged(entry.key, &random)
            _ = try? key.withUnsafeBytes { try LedgerKey($0) }
        }
        #expect(refused > 1_000 && refused < 6_000)
    }

    private static func damaged(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(3) where !bytes.isEmpty {
            let at = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[at] ^= UInt8(1 << random.below(8))
            case 1: bytes[at] = random.pick([0, 0x7f, 0x80, 0xff])
            case 2: bytes.removeLast(bytes.count - at)
            case 3: bytes.insert(contentsOf: random.bytes(random.below(11)), at: at)
            default: bytes.remove(at: at)
            }
        }
        return bytes
    }

    @Test func valuesAreReadByteByByte() throws {
        var queue = LedgerDriver()
        queue.send(5)
        _ = queue.acknowledge(queue.receive(3))
        queue.snapshot()
        for entry in queue.log {
            for length in 0..<entry.value.count {
                #expect(throws: DecodeError.self) {
                    try Array(entry.value[..<length]).withUnsafeBytes { _ = try LedgerValue.decode($0) }
                }
            }
            for length in 0..<entry.key.count {
                #expect(throws: DecodeError.self) {
                    try Array(entry.key[..<length]).withUnsafeBytes { _ = try LedgerKey($0) }
                }
            }
        }
    }
}

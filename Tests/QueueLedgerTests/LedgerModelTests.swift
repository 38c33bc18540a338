import BrokerTestKit
import KafkaModel
import Testing

@testable import QueueLedger

/// Random calls on a ledger and on the model: every answer, and the state of every message after every call; then that
/// the log alone makes the same state again, whole, from a snapshot, compacted, and cut off anywhere.
@Suite struct LedgerModelTests {
    @Test(arguments: deliveryOrders) func theLedgerDoesWhatTheModelSays(_ order: DeliveryOrder) throws {
        for seed in testSeeds(400) {
            var world = LedgerWorld(seed: seed, order: order)
            try world.run(steps: 50)
            if let failure = world.failure {
                Issue.record("seed \(seed), \(order): \(failure)")
                return
            }
        }
    }

    /// Each fault is one that a change of this code might bring; a check that would not see it is worth nothing.
    @Test(arguments: PlantedFault.allCases) func aPlantedFaultIsSeen(_ fault: PlantedFault) throws {
        var seen = false
        for seed in 1...60 where !seen {
            var world = LedgerWorld(seed: UInt64(seed), order: fault.order)
            world.plant(fault)
            try world.run(steps: 50)
            seen = world.failure != nil
        }
        #expect(seen, "nothing saw \(fault)")
    }
}

/// All of them.
let deliveryOrders: [DeliveryOrder] = [.standard, .fair, .fifo]

enum PlantedFault: CaseIterable {
    case acknowledgementIsLost
    case leaseEndsLate
    case deliveryIsNotCounted
    case groupIsNotBlocked
    case extensionIsIgnored
    case rejectedComesAgain
    case delayIsForgotten
    case replayLosesAnEnd
    case purgeLeavesOne

    var order: DeliveryOrder { self == .groupIsNotBlocked ? .fifo : .standard }
}

private struct LedgerWorld {
    var random: SeededRandom
    var driver: LedgerDriver
    var model: ModelQueue
    /// Receipts that were ever given, old ones included.
    var receipts: [LeasedMessage] = []
    var failure: String?
    var losesAnEnd = false
    var generation: Int32 = 2

    init(seed: UInt64, order: DeliveryOrder) {
        random = SeededRandom(seed: seed)
        var settings = LedgerSettings(order: order, maxReceives: random.chance(0.6) ? random.number(in: 1...3) : nil)
        settings.maxInFlight = random.chance(0.5) ? random.number(in: 1...6) : 1000
        if order == .standard, random.chance(0.3) { settings.maxWindow = Int64(random.number(in: 1...8)) }
        if random.chance(0.4) { settings.backoffMs = [10, 200] }
        driver = LedgerDriver(settings)
        model = ModelQueue(settings: settings)
    }

    mutating func plant(_ fault: PlantedFault) {
        switch fault {
        case .acknowledgementIsLost:
            driver.fault = { if case .ended(_, .acknowledged) = $0 { nil } else { $0 } }
        case .leaseEndsLate:
            driver.fault = { record in
                guard case .leased(var lease) = record else { return record }
                lease.terms.deadlineMs += 1
                return .leased(lease)
            }
        case .deliveryIsNotCounted:
            driver.fault = { record in
                guard case .leased(var lease) = record else { return record }
                for index in lease.ranges.indices where lease.ranges[index].receives > 1 {
                    lease.ranges[index].receives -= 1
                }
                return .leased(lease)
            }
        case .groupIsNotBlocked: driver.ledger.settings.order = .fair
        case .extensionIsIgnored: driver.fault = { if case .extended = $0 { nil } else { $0 } }
        case .rejectedComesAgain:
            driver.fault = { record in
                guard case .rejected(let ranges) = record else { return record }
                return .released(ranges, visibleAtMs: 0, isUncounted: false)
            }
        case .delayIsForgotten:
            driver.fault = { record in
                guard case .released(let ranges, _, let isUncounted) = record else { return record }
                return .released(ranges, visibleAtMs: 0, isUncounted: isUncounted)
            }
        case .replayLosesAnEnd: losesAnEnd = true
        case .purgeLeavesOne:
            driver.fault = { if case .started(let offset) = $0, offset > 0 { .started(at: offset - 1) } else { $0 } }
        }
    }

    mutating func run(steps: Int) throws {
        for step in 0..<steps where failure == nil {
            act()
            compare("step \(step)")
            if failure == nil, random.chance(0.15) { try reload("step \(step)") }
        }
        if failure == nil { try reload("at the end") }
    }

    private mutating func fail(_ text: String) { if failure == nil { failure = text } }

    private mutating func compare(_ context: String) {
        if failure != nil { return }
        if driver.ledger.scan() != model.scan() {
            fail("\(context): \(driver.ledger.scan()) and not \(model.scan())")
        } else {
            if let wrong = driver.ledger.faults().first { fail("\(context): \(wrong)") }
        }
        let told = driver.counters
        let endedInModel = model.messages.count { $0.state == .ended }
        if told.live + endedInModel != model.messages.count { fail("\(context): the sum of all states") }
    }

    // MARK: Calls

    private mutating func act() {
        switch random.below(20) {
        case 0...4: send()
        case 5...9: receive()
        case 10...12: acknowledge()
        case 13: changeVisibility()
        case 14: release()
        case 15: reject()
        case 16, 17: pass(Int64(random.pick([1, 10, 50, 100, 500])))
        case 18: moveDeadLetters()
        default: rare()
        }
    }

    private mutating func rare() {
        switch random.below(5) {
        case 0:
            driver.perform { ledger, _ in ledger.purge() }
            model.end(below: Int64(driver.messages.count))
        case 1:
            let start = Int64(random.below(driver.messages.count + 1))
            driver.perform { ledger, _ in ledger.retain(from: Offset(start)) }
            model.end(below: start)
        case 2: driver.snapshot()
        case 3: dropGap()
        default: pass(400_000)
        }
    }

    private mutating func send() {
        for _ in 0...random.below(4) {
            if random.chance(0.1) {
                driver.sendGap()
                model.messages.append(
                    ModelQueue.Message(offset: Int64(model.messages.count), group: 0, state: .ended))
                continue
            }
            let delay =
                driver.settings.maxWindow == nil && random.chance(0.3) ? Int64(random.pick([5, 100, 1_000])) : 0
            let group = UInt64(random.below(3))
            driver.send(delayMs: delay, group: group)
            model.messages.append(
                ModelQueue.Message(
                    offset: Int64(model.messages.count), group: group,
                    state: delay == 0 ? .available : .delayed(until: driver.nowMs + delay)))
        }
    }

    private mutating func receive() {
        let count = random.number(in: 1...5)
        let visibility = Int64(random.pick([0, 20, 100, 43_200_000]))
        model.pass(driver.nowMs)
        let deliverable = model.deliverable(count)
        let owner = UInt32(random.below(3))
        switch driver.tryReceive(count, visibilityMs: visibility, owner: owner) {
        case .overLimit:
            let full = driver.settings.order != .fifo && driver.counters.inFlight >= driver.settings.maxInFlight
            if !full || deliverable > 0 { fail("over the limit with \(driver.counters)") }
        case .messages(let given):
            receipts += given
            let wrong = model.received(
                given, requested: count, visibilityMs: visibility, owner: owner, nowMs: driver.nowMs)
            if let wrong { fail("receive: \(wrong)") }
        }
    }

    /// Some receipts: mostly the newest, some of them twice, and now and then one of nothing.
    private mutating func someReceipts() -> [LeasedMessage] {
        guard !receipts.isEmpty else { return [] }
        var some = (0...random.below(3)).map { _ in
            random.chance(0.7)
                ? receipts[receipts.count - 1 - random.below(min(5, receipts.count))] : random.pick(receipts)
        }
        if random.chance(0.05) { some[0].receipt.offset = Offset(Int64(driver.messages.count + 5)) }
        return some
    }

    /// Holds outcomes against the model's. All receipts of a batch are looked at before any has an effect: one that it
    /// names twice is settled once, and told so twice.
    private mutating func settle(
        _ what: String, _ some: [LeasedMessage], _ outcomes: [SettleOutcome],
        _ inModel: (inout ModelQueue, Receipt) -> SettleOutcome
    ) {
        let before = model
        var settled: Set<Receipt> = []
        for (message, outcome) in zip(some, outcomes) {
            var alone = before
            let expected = inModel(&alone, message.receipt)
            if settled.insert(message.receipt).inserted { _ = inModel(&model, message.receipt) }
            if outcome != expected { fail("\(what) of \(message): \(outcome) and not \(expected)") }
        }
    }

    private mutating func acknowledge() {
        let some = someReceipts()
        model.pass(driver.nowMs)
        settle("acknowledge", some, driver.acknowledge(some)) { $0.acknowledge($1) }
    }

    private mutating func changeVisibility() {
        let some = someReceipts()
        let ms = Int64(random.pick([0, 30, 43_200_000]))
        let nowMs = driver.nowMs
        model.pass(nowMs)
        settle("change", some, driver.changeVisibility(some, to: ms)) {
            $0.changeVisibility($1, ms, nowMs: nowMs)
        }
    }

    private mutating func release() {
        let some = someReceipts()
        let delay: Int64? = random.pick([nil, 0, 40])
        let nowMs = driver.nowMs
        model.pass(nowMs)
        settle("release", some, driver.release(some, delayMs: delay)) {
            $0.release($1, delayMs: delay, nowMs: nowMs)
        }
    }

    private mutating func reject() {
        let some = someReceipts()
        model.pass(driver.nowMs)
        settle("reject", some, driver.reject(some)) { $0.reject($1) }
    }

    private mutating func pass(_ ms: Int64) {
        driver.pass(ms)
        model.pass(driver.nowMs)
    }

    private mutating func moveDeadLetters() {
        let named = driver.ledger.deadLetters(max: random.number(in: 1...3)).map(\.offset)
        for offset in named where model.messages[Int(offset.rawValue)].state != .ending { fail("\(offset) moved") }
        driver.perform { ledger, _ in ledger.confirmDeadLetters(named) }
        for offset in named { model.messages[Int(offset.rawValue)].state = .ended }
    }

    private mutating func dropGap() {
        guard !driver.messages.isEmpty else { return }
        let offset = random.below(driver.messages.count)
        driver.perform { ledger, _ in ledger.dropGaps([OffsetRange(Offset(Int64(offset)))]) }
        model.messages[offset].state = .ended
    }

    // MARK: Reading back

    private mutating func reload(_ context: String) throws {
        driver.pass(0)
        model.pass(driver.nowMs)
        let compacted = random.chance(0.5)
        let log = losesAnEnd ? try withoutAnEnd() : driver.log
        let other = try driver.loaded(compacted: compacted, from: log)
        if other.scan() != driver.ledger.scan() {
            return fail("\(context), loaded anew: \(other.scan()) and not \(driver.ledger.scan())")
        }
        if let wrong = other.faults().first { fail("\(context), loaded anew: \(wrong)") }
        // Every prefix can be loaded: a crash leaves one.
        _ = try driver.loaded(first: random.below(driver.log.count + 1), compacted: random.chance(0.3))
        if random.chance(0.3) {
            generation += 1
            driver.ledger = try driver.loaded(compacted: compacted, generation: generation)
        }
    }

    private func withoutAnEnd() throws -> [LedgerEntry] {
        try driver.log.filter { entry in
            try entry.value.withUnsafeBytes {
                if case .record(.ended(_, .acknowledged), _) = try LedgerValue.decode($0) { false } else { true }
            }
        }
    }
}

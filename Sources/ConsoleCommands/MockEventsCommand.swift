import ByteBuffers
import CommandSyntax

/// `millrace mock-events`.
enum MockEventsCommand {
    /// Between two looks at what is due.
    private static let stepMs: Int64 = 20

    static func run(_ invocation: Invocation, _ console: Console) throws {
        let count = invocation[MockEventsOptions.count] ?? 1_000
        var events = MockEvents(
            invocation[MockEventsOptions.kind] ?? .order, seed: UInt64(invocation[MockEventsOptions.seed] ?? 1))
        let rate = invocation[MockEventsOptions.rate].map(Double.init)
        console.interruption.begin()
        let start = MonotonicClock.milliseconds
        var made = 0
        while made < count, console.output.isIntact, !console.interruption.wasRequested {
            var due = min(count, made + 1_000)
            if let rate {
                let seconds = Double(MonotonicClock.milliseconds - start) / 1_000
                due = min(count, Int(seconds * rate) + 1)
            }
            while made < due {
                console.output.write(events.next(atMs: WallClock.milliseconds))
                made += 1
            }
            guard rate != nil, made < count else { continue }
            console.output.flush()
            console.output.checkReader()
            MonotonicClock.sleep(milliseconds: stepMs)
        }
        if console.interruption.wasRequested { throw console.interruption.failure }
    }
}

/// Events as the examples' routes take them.
struct MockEvents {
    private let kind: MockEventsOptions.Kind
    private var state: UInt64
    private var number = 0

    init(_ kind: MockEventsOptions.Kind, seed: UInt64) {
        self.kind = kind
        state = seed
    }

    /// The next event and the end of its line.
    mutating func next(atMs timeMs: Int64) -> String {
        number += 1
        let time = TimeText.iso(timeMs)
        switch kind {
        case .order:
            let type = pick(["order.created", "order.created", "order.paid", "order.shipped", "order.cancelled"])
            let (order, customer, pieces, cents) = (below(10_000), below(5_000), below(9) + 1, below(100_000))
            return #"{"type":"\#(type)","order":\#(order),"customer":"C-\#(customer)","items":\#(pieces),"#
                + #""total":\#(cents / 100).\#(cents / 10 % 10)\#(cents % 10),"currency":"EUR","timestamp":"\#(time)"}"#
                + "\n"
        case .fleet:
            let (car, charge) = (below(200), below(101))
            let status = pick(["available", "available", "in-use", "charging", "maintenance"])
            return #"{"type":"car","action":"status-update","vehicleId":"CAR-\#(padded(car))","status":"\#(status)","#
                + #""charge":\#(charge),"timestamp":"\#(time)"}"# + "\n"
        case .session:
            let type = pick(["session_started", "session_completed"])
            return #"{"event_type":"\#(type)","payload":{"session_id":"sess_\#(below(100_000))","#
                + #""student_id":"stu_\#(below(5_000))","tutor_id":"tut_\#(below(300))"},"timestamp":"\#(time)"}"#
                + "\n"
        case .item:
            return #"{"id":\#(number),"name":"Item \#(number)","value":\#(below(1_000))}"# + "\n"
        }
    }

    private func padded(_ number: Int) -> String {
        let text = "\(number)"
        return String(repeating: "0", count: max(0, 3 - text.count)) + text
    }

    private mutating func pick(_ words: [String]) -> String { words[below(words.count)] }

    /// From 0 up to, not including, `bound`: a linear congruence, whose high bits are good enough for examples.
    private mutating func below(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
}

public import BrokerCore
import Configuration
import KafkaModel
import QueueLedger

/// A queue that is made when it is missing, as the section `queues` writes it. The page Routes describes the keys.
public struct QueueDeclaration: Sendable {
    public let name: String
    /// nil: one.
    public let partitions: Int32?
    /// With what is not declared as it is by itself.
    public let settings: QueueSettings
    private let declared: [String]

    init?(_ name: String, _ place: ConfigurationPlace) {
        if let problem = QueueCoordinator.problem(ofName: name) { place.refuse(problem, remedy: "Choose another name") }
        guard let fields = place.fields(["partitions"] + Self.all.map(\.name)) else { return nil }
        var settings = QueueSettings()
        for setting in Self.all { if let field = fields[setting.name] { setting.read(field, &settings) } }
        partitions = fields["partitions"]?.integer(1...Int64(Int32.max)).map { Int32($0) }
        if let problem = settings.problem { place.refuse(problem, remedy: "Correct the queue") }
        if settings.deadLetterQueue == name {
            fields["dead_letter_queue"]?.refuse(
                "a queue does not take its own dead letters", remedy: "Name another queue")
        }
        self.name = name
        self.settings = settings
        declared = Self.all.map(\.name).filter { fields[$0] != nil }
    }

    /// What of a queue is not as it is declared, a line each:
    /// `queues.jobs.visibility: has 30000 ms, declared 45000 ms; change it by: PUT /v1/queues/jobs`.
    public func differences(from queue: QueueDescription) -> [String] {
        func line(_ key: String, _ has: String, _ declared: String, _ remedy: String) -> String {
            "queues.\(name).\(key): has \(has), declared \(declared); \(remedy)"
        }
        var lines: [String] = []
        if let partitions, partitions != queue.partitionCount {
            lines.append(line("partitions", "\(queue.partitionCount)", "\(partitions)", "a queue keeps its partitions"))
        }
        for setting in Self.all where declared.contains(setting.name) {
            let (has, declared) = (setting.text(queue.settings), setting.text(settings))
            if has == declared { continue }
            let remedy =
                setting.name == "order" ? "a queue keeps its order" : "change it by: PUT /v1/queues/\(name)"
            lines.append(line(setting.name, has, declared, remedy))
        }
        return lines
    }

    /// Declarations in such an order that a queue comes behind the one that takes its dead letters.
    static func inOrder(_ declarations: [QueueDeclaration]) -> [QueueDeclaration] {
        var left = declarations
        var ordered: [QueueDeclaration] = []
        while !left.isEmpty {
            let waiting = Set(left.map(\.name))
            let ready = left.filter { declaration in
                declaration.settings.deadLetterQueue.map { !waiting.contains($0) } ?? true
            }
            // A circle: whoever makes them says what is wrong with it.
            if ready.isEmpty { return ordered + left }
            ordered += ready
            let done = Set(ready.map(\.name))
            left.removeAll { done.contains($0.name) }
        }
        return ordered
    }

    // MARK: Settings

    private struct Setting {
        let name: String
        let read: @Sendable (ConfigurationPlace, inout QueueSettings) -> Void
        let text: @Sendable (QueueSettings) -> String
    }

    private static let scopes: KeyValuePairs<String, QueueSettings.DeduplicationScope> = [
        "queue": .queue, "message_group": .messageGroup,
    ]
    private static let orders: KeyValuePairs<String, DeliveryOrder> = [
        "standard": .standard, "fair": .fair, "fifo": .fifo,
    ]

    private static func duration(
        _ name: String, _ member: any WritableKeyPath<QueueSettings, Int64> & Sendable, _ range: ClosedRange<Int64>
    ) -> Setting {
        Setting(
            name: name,
            read: { place, settings in
                if let number = place.milliseconds(range) { settings[keyPath: member] = Int64(number) }
            }, text: { "\($0[keyPath: member]) ms" })
    }

    private static let all: [Setting] = [
        Setting(
            name: "order", read: { place, settings in settings.order = place.choice(orders) ?? settings.order },
            text: { $0.order.name }),
        Setting(
            name: "deduplication_scope",
            read: { place, settings in
                settings.deduplicationScope = place.choice(scopes) ?? settings.deduplicationScope
            }, text: { settings in scopes.first { $0.value == settings.deduplicationScope }?.key ?? "" }),
        Setting(
            name: "deduplicates_by_content",
            read: { place, settings in settings.deduplicatesByContent = place.boolean() ?? false },
            text: { "\($0.deduplicatesByContent)" }),
        duration("visibility", \.visibilityMs, 0...LedgerSettings.maxVisibilityMs),
        duration("delay", \.delayMs, 0...QueueSettings.maxDelayMs),
        duration("retention", \.retentionMs, QueueSettings.retentionLimitsMs),
        duration("receive_wait", \.receiveWaitMs, 0...QueueSettings.maxReceiveWaitMs),
        Setting(
            name: "max_message",
            read: { place, settings in
                let limits = QueueSettings.messageBytesLimits
                settings.maxMessageBytes =
                    place.bytes(Int64(limits.lowerBound)...Int64(limits.upperBound)) ?? settings.maxMessageBytes
            }, text: { "\($0.maxMessageBytes) bytes" }),
        Setting(
            name: "backoff",
            read: { place, settings in
                settings.backoffMs = (place.oneOrMore() ?? []).compactMap {
                    $0.milliseconds(0...LedgerSettings.maxVisibilityMs).map(Int64.init)
                }
            }, text: { "\($0.backoffMs) ms" }),
        Setting(
            name: "dead_letter_queue", read: { place, settings in settings.deadLetterQueue = place.text() },
            text: { $0.deadLetterQueue ?? "none" }),
        Setting(
            name: "max_receives",
            read: { place, settings in settings.maxReceives = place.integer(1...Int64(QueueSettings.maxReceivesLimit))
            },
            text: { $0.maxReceives.map { String($0) } ?? "any number" }),
        Setting(
            name: "dead_letter_breaker",
            read: { place, settings in
                let limits = QueueSettings.breakerLimits
                settings.deadLetterBreaker = place.integer(Int64(limits.lowerBound)...Int64(limits.upperBound))
            }, text: { $0.deadLetterBreaker.map { "\($0) of a hundred" } ?? "none" }),
    ]
}

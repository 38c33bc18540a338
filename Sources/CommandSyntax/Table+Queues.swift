extension CommandTable {
    static let queue = Command(
        "queue", "Make queues, send to them, receive from them",
        discussion: [
            "The gateway answers. A queue is a topic called q.QUEUE as well: its messages are records, and what is produced there is received "
                + "as messages."
        ],
        subcommands: [
            Command(
                "create", "Make a queue, or change one that is there", action: .queueCreate,
                operands: [Operand("QUEUE")],
                options: [
                    QueueOptions.order, QueueOptions.partitions, QueueOptions.visibility, QueueOptions.delay,
                    QueueOptions.retention, QueueOptions.deadLetters, QueueOptions.maxReceives, CommonOptions.json,
                ] + QueueOptions.gateway,
                rules: [.needs(QueueOptions.deadLetters, QueueOptions.maxReceives)]),
            Command(
                "list", aliases: ["ls"], "List queues by name", action: .queueList,
                options: [QueueOptions.prefix, CommonOptions.json] + QueueOptions.gateway),
            Command(
                "describe", "Show a queue's settings, and its messages by state", action: .queueDescribe,
                operands: [Operand("QUEUE")], options: [CommonOptions.json] + QueueOptions.gateway),
            Command(
                "capacity", "Tell how messages come and go, and how many receivers that needs", action: .queueCapacity,
                operands: [Operand("QUEUE")],
                options: [
                    QueueOptions.workers, QueueOptions.serviceTime, QueueOptions.arrivals, QueueOptions.backlog,
                    CommonOptions.json,
                ] + QueueOptions.gateway,
                discussion: [
                    "What was observed in the last minute, or, where an option says otherwise, what would be. A queue is observed when "
                        + "somebody asks something of it: the first look after a rest may know nothing."
                ]),
            Command(
                "send", "Send messages", action: .queueSend,
                operands: [Operand("QUEUE"), Operand("MESSAGE", .oneOrMore)],
                options: [
                    QueueOptions.group, QueueOptions.deduplicationID, QueueOptions.messageDelay, CommonOptions.json,
                ] + QueueOptions.gateway,
                discussion: ["A MESSAGE that is JSON is sent as it is, any other as a JSON string."]),
            Command(
                "receive", "Receive messages, and perhaps acknowledge them", action: .queueReceive,
                operands: [Operand("QUEUE")],
                options: [
                    QueueOptions.max, QueueOptions.wait, QueueOptions.visibility, QueueOptions.acknowledge,
                    CommonOptions.json,
                ] + QueueOptions.gateway,
                discussion: ["Messages that are not acknowledged come again when their visibility ends."]),
            Command(
                "purge", "End all messages of a queue", action: .queuePurge, operands: [Operand("QUEUE")],
                options: [CommonOptions.json] + QueueOptions.gateway),
            Command(
                "redrive", "Move the messages of a dead letter queue back", action: .queueRedrive,
                operands: [Operand("QUEUE")],
                options: [
                    QueueOptions.to, QueueOptions.rate, QueueOptions.from, QueueOptions.reason, QueueOptions.contains,
                    QueueOptions.moved, QueueOptions.isRehearsal, CommonOptions.json,
                ] + QueueOptions.gateway,
                discussion: ["How far it is, and how it has ended: millrace job describe, with the id that is written."]
            ),
            Command(
                "delete", "Remove a queue with all its messages", action: .queueDelete, operands: [Operand("QUEUE")],
                options: [CommonOptions.json] + QueueOptions.gateway),
        ])
}

extension CommandTable {
    static let forwarder = Command(
        "forwarder", "See how the forwarders from queues to topics do",
        discussion: [
            "Forwarders are made by the section forwarders of the configuration file. The gateway answers, by /stats: with admin.listener, --http "
                + "names that."
        ],
        subcommands: [
            Command(
                "list", aliases: ["ls"],
                "List forwarders: what they have forwarded, what is left, and what is in the way",
                action: .forwarderList, options: [CommonOptions.json] + QueueOptions.gateway)
        ])
}

extension CommandTable {
    static let subscription = Command(
        "subscription", "See how the subscriptions that push queues to receivers do",
        discussion: [
            "Subscriptions are made by the section subscriptions of the configuration file. The gateway answers, by /stats: with admin.listener, "
                + "--http names that."
        ],
        subcommands: [
            Command(
                "list", aliases: ["ls"],
                "List subscriptions: what their receivers have taken, what is left, and what is in the way",
                action: .subscriptionList, options: [CommonOptions.json] + QueueOptions.gateway)
        ])
}

/// Options of `millrace queue …`.
public enum QueueOptions {
    public static let order = Option<Order>(
        "order", nil, "ORDER", .choice, "In which order messages are given out (default: standard)")
    public static let partitions = Option(
        "partitions", "p", "N", .integer(1...1000), "Partitions of a queue that is made (default: 1)")
    public static let visibility = Option(
        "visibility", nil, "TIME", .time(0...43_200_000, bare: .seconds),
        "How long a received message is nobody else's (default: 30s)")
    public static let delay = Option(
        "delay", nil, "TIME", .time(0...900_000, bare: .seconds), "How long each message waits first")
    public static let retention = Option(
        "retention", nil, "TIME", .time(60_000...1_209_600_000, bare: .seconds),
        "How long messages are kept (default: 4d)")
    public static let deadLetters = Option(
        "dead-letters", nil, "QUEUE", .text, "The queue that gets messages which fail too often")
    public static let maxReceives = Option(
        "max-receives", nil, "N", .integer(1...1000), "Deliveries of a message at most")
    public static let workers = Option(
        "workers", "w", "N", .integer(1...1_000_000), "Receivers, of one message at a time each")
    public static let serviceTime = Option(
        "service-time", nil, "TIME", .time(1...43_200_000, bare: .seconds),
        "How long a receiver works on a message (default: as observed)")
    public static let arrivals = Option(
        "rate", nil, "N", .integer(0...1_000_000_000), "Messages that come a second (default: as observed)")
    public static let backlog = Option(
        "backlog", nil, "N", .integer(0...1_000_000_000_000), "Messages that wait (default: those that do)")
    public static let prefix = Option("prefix", nil, "TEXT", .text, "Only queues whose names begin so")
    public static let group = Option("group", "g", "GROUP", .text, "The message group, which a FIFO queue asks for")
    public static let deduplicationID = Option(
        "deduplication-id", nil, "ID", .text,
        "Of one message of a FIFO queue: sent again within five minutes it is the same")
    public static let messageDelay = Option(
        "delay", nil, "TIME", .time(0...900_000, bare: .seconds), "How long these messages wait first")
    public static let max = Option("max", "n", "N", .integer(1...1000), "Messages at most (default: 10)")
    public static let wait = Option(
        "wait", "w", "TIME", .time(0...20_000, bare: .seconds), "How long to wait for the first message (default: 0s)")
    public static let acknowledge = Switch("ack", nil, "Acknowledge what was received, once it is written out")
    public static let to = Option("to", nil, "QUEUE", .text, "To this queue, and not to where each message was")
    public static let rate = Option("rate", nil, "N", .integer(1...500), "Messages a second at most")
    public static let from = Option("from-queue", nil, "QUEUE", .text, "Only dead letters of this queue")
    public static let reason = Option(
        "reason", nil, "REASON", .text, "Only those that are dead for it: max_receives, rejected, forward_refused")
    public static let contains = Option("contains", nil, "TEXT", .text, "Only messages that have this in their body")
    public static let moved = Option("max", "n", "N", .integer(1...1_000_000_000), "Messages at most (default: all)")
    public static let isRehearsal = Switch("dry-run", nil, "Say what would be moved, and move nothing")
    /// A file, as every process of the machine could read an argument.
    public static let apiKeyFile = Option(
        "api-key-file", nil, "FILE", .text, "Where the API key is read from; - is standard input")
    static let gateway: [any DeclaredOption] = [
        BenchIngestOptions.http, apiKeyFile, BenchIngestOptions.timeout,
    ]

    public enum Order: String, CaseIterable, Sendable {
        case standard, fair, fifo
    }
}

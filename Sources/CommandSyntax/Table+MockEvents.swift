extension CommandTable {
    static let mockEvents = Command(
        "mock-events", "Write made-up events, a line of JSON each",
        action: .mockEvents,
        options: [
            MockEventsOptions.kind, MockEventsOptions.count, MockEventsOptions.rate, MockEventsOptions.seed,
        ],
        discussion: [
            "For trying routes, topics and queues without a source of one's own: pipe them to `millrace produce`, or to curl. The same seed gives "
                + "the same events, but for their times."
        ])
}

/// Options of `millrace mock-events`.
public enum MockEventsOptions {
    public static let kind = Option<Kind>(
        "kind", "k", "KIND", .choice, "What they tell of: orders, cars of a fleet, sessions, items (default: order)")
    public static let count = Option(
        "count", "n", "N", .integer(1...1_000_000_000), "Events (default: 1000)")
    public static let rate = Option(
        "rate", "r", "N", .integer(1...1_000_000), "Events a second (default: as fast as they are read)")
    public static let seed = Option(
        "seed", nil, "N", .integer(0...Int.max), "What chance begins with (default: 1)")

    public enum Kind: String, CaseIterable, Sendable {
        case order, fleet, session, item
    }
}

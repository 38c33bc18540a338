extension CommandTable {
    static let mockAPI = Command(
        "mock-api", "Serve pages of items that fail now and then, to try pulls on",
        action: .mockAPI,
        options: [
            MockAPIOptions.port, MockAPIOptions.pages, MockAPIOptions.rows, MockAPIOptions.failRate,
            MockAPIOptions.seed,
        ],
        discussion: [
            "At 127.0.0.1, under any path, until a signal comes. ?page=, ?offset= and ?cursor= name a page; each answer has its items under data, and "
                + "names the next page by next_cursor, by next and by the field Link. A request that fails is answered 500, 503 or 429, the "
                + "latter two with Retry-After; which ones do follows from the seed."
        ])
}

/// Options of `millrace mock-api`.
public enum MockAPIOptions {
    public static let port = Option(
        "port", "p", "PORT", .integer(UInt16(0)...65_535), "Port, 0: a free one (default: 3001)")
    public static let pages = Option("pages", nil, "N", .integer(1...1_000_000), "Pages (default: 7)")
    public static let rows = Option("rows", nil, "N", .integer(1...10_000), "Items of a page (default: 10)")
    public static let failRate = Option(
        "fail-rate", nil, "SHARE", .share, "Share of the requests that fail, 0.2 for a fifth (default: 0)")
    public static let seed = Option("seed", nil, "N", .integer(from: UInt64(0)), "Which ones fail (default: 1)")
}

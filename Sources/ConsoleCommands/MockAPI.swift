import ByteBuffers
import CommandSyntax

/// A service of numbered items in pages, to try pulls on: what it answers to a request, and how often it fails, which follows from the seed.
///
/// It has every kind of pages at once: `?page=`, `?offset=`, `?cursor=`, and in each answer a cursor, an address and a field Link of the next
/// page.
struct MockAPI: Sendable {
    let pages: Int
    let rows: Int
    /// Thousandths of requests that fail.
    let failures: Int
    let seed: UInt64
    /// How often each page was asked for.
    private var asked: [Int: UInt64] = [:]

    init(pages: Int, rows: Int, failures: Int, seed: UInt64) {
        (self.pages, self.rows, self.failures, self.seed) = (pages, rows, failures, seed)
    }

    struct Answer: Equatable {
        var status: String
        var fields: [String] = []
        var body: [UInt8]

        /// As it is sent.
        var bytes: [UInt8] {
            let lines =
                ["HTTP/1.1 \(status)", "Content-Type: application/json", "Content-Length: \(body.count)"] + fields
            return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
        }
    }

    /// - Parameter target: path and query of a GET.
    mutating func answer(_ target: String) -> Answer {
        let parts = target.split(separator: "?", maxSplits: 1).map(String.init)
        guard let page = page(parts.count > 1 ? parts[1] : "") else {
            return Self.problem("400 Bad Request", "page, offset and cursor are numbers from 1, 0 and 1 on")
        }
        if (1...pages).contains(page) {
            // What is not there has no number of its own, so that no more is remembered than there are pages.
            asked[page, default: 0] += 1
            if let failed = failure(page, asked[page, default: 0]) { return failed }
        }
        return content(page, parts.first ?? "/")
    }

    private func page(_ query: String) -> Int? {
        var page = 1
        for item in query.split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1).map(String.init)
            // "=" alone has no name.
            guard let name = pair.first, ["page", "offset", "cursor"].contains(name) else { continue }
            guard pair.count == 2, let number = Int(pair[1]), (0...1_000_000_000).contains(number) else { return nil }
            page = name == "offset" ? number / rows + 1 : number
        }
        return page >= 1 ? page : nil
    }

    private func failure(_ page: Int, _ attempt: UInt64) -> Answer? {
        // SplitMix64.
        var bits = seed &+ (UInt64(page) << 32 | attempt) &* 0x9e37_79b9_7f4a_7c15
        bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
        bits ^= bits >> 31
        guard Int(bits % 1000) < failures else { return nil }
        switch bits >> 32 % 3 {
        case 0: return Self.problem("500 Internal Server Error", "this request fails")
        case 1: return Self.problem("503 Service Unavailable", "busy", fields: ["Retry-After: 1"])
        default: return Self.problem("429 Too Many Requests", "too many requests", fields: ["Retry-After: 1"])
        }
    }

    private static func problem(_ status: String, _ words: String, fields: [String] = []) -> Answer {
        Answer(status: status, fields: fields, body: Array("{\"error\":\"\(words)\"}".utf8))
    }

    private func content(_ page: Int, _ path: String) -> Answer {
        var json = JSONWriter()
        json.object { json in
            json.array("data") { json in
                for row in 0..<(page <= pages ? rows : 0) {
                    let id = (page - 1) * rows + row + 1
                    json.object { json in
                        json.member("id", id)
                        json.member("name", "Item \(id)")
                        json.member("value", id * 42 % 1000)
                    }
                }
            }
            guard page < pages else { return }
            json.member("next_cursor", "\(page + 1)")
            json.member("next", "\(path)?page=\(page + 1)")
        }
        let fields = page < pages ? ["Link: <\(path)?page=\(page + 1)>; rel=\"next\""] : []
        return Answer(status: "200 OK", fields: fields, body: json.bytes)
    }
}

import ByteBuffers
import HTTPWire

/// What a server has answered.
public struct PullReply: Sendable {
    public var status: Int
    public var body: [UInt8]
    /// Fields as they are written.
    public var retryAfter: String?
    public var location: String?
    public var links: [String]

    public init(
        status: Int, body: [UInt8], retryAfter: String? = nil, location: String? = nil, links: [String] = []
    ) {
        (self.status, self.body, self.retryAfter) = (status, body, retryAfter)
        (self.location, self.links) = (location, links)
    }
}

/// Why there is no answer, for people.
public enum PullFailure: Error, Sendable {
    /// It may be otherwise the next time.
    case passing(String)
    case lasting(String)
}

/// Whoever asks the server of a pull, for its thread.
public protocol PullSource: AnyObject {
    /// Blocks for the pull's time at most, and less where `isStopping` says so. No redirection is followed.
    ///
    /// - Parameter headers: lines, `Name: value`.
    func get(_ address: WebAddress, headers: [String], isStopping: @escaping @Sendable () -> Bool)
        -> Result<PullReply, PullFailure>
}

/// The rows of an answer, and what it says of the next page.
struct PageReader {
    /// Where the rows are; nil: the whole is the list.
    let records: JSONPointer?
    let pagination: Pagination

    /// Rows of one page: their numbers are remembered while it is stored.
    static let maxRows = 100_000

    enum Outcome {
        case page(PulledPage, rows: [JSONRange])
        case wrong(String)
        /// The text ends in the middle.
        case cut
    }

    func read(_ reply: PullReply, from address: WebAddress) -> Outcome {
        var page = PulledPage(count: 0, next: nil, address: address, digest: PullPages.digest(of: reply.body))
        if case .link = pagination { page.next = Self.next(of: reply.links) }
        // No content.
        if reply.status == 204 { return .page(page, rows: []) }
        return reply.body.withUnsafeBytes { read($0, page) }
    }

    private func read(_ text: UnsafeRawBufferPointer, _ known: PulledPage) -> Outcome {
        // Of the page; each row is held to the limits of an event when it is stored.
        var limits = JSONLimits()
        (limits.tokens, limits.keys) = (.max, .max)
        var scanner = JSONScanner(text, limits: limits)
        do throws(JSONFailure) {
            _ = try scanner.onlyValue()
        } catch {
            if error.reason == .unexpectedEnd { return .cut }
            return .wrong("is no JSON: \(error.detail), at byte \(error.position)")
        }
        var page = known
        let walk = JSONWalk(text)
        let whole = JSONRange(0, text.count)
        let list = records.map { $0.find(in: walk, whole) } ?? walk.value(whole)
        guard let list, case .array = list.kind else {
            return .wrong(records.map { "has no list at \($0.text) (records)" } ?? "is no list (records)")
        }
        var rows: [JSONRange] = []
        walk.elements(of: list.range) { element in
            rows.append(element.range)
            return rows.count <= Self.maxRows
        }
        guard rows.count <= Self.maxRows else { return .wrong("has more than \(Self.maxRows) rows") }
        page.count = rows.count
        switch pagination {
        case .cursor(_, let pointer), .next(let pointer):
            guard let value = pointer.find(in: walk, whole) else { break }
            switch value.kind {
            case .string: page.next = walk.string(value).map { String(decoding: $0, as: UTF8.self) }
            case .number: page.next = String(decoding: value.range.bytes(of: text), as: UTF8.self)
            case .null, .false: break
            default: return .wrong("has no text at \(pointer.text), which is to lead to the next page")
            }
        case .link, .page, .offset: break
        }
        return .page(page, rows: rows)
    }

    /// The address of `<address>; rel="next"`, of several fields or of a list. Source: RFC 8288, 3.
    static func next(of links: [String]) -> String? {
        for link in links {
            var rest = Array(link.utf8)[...]
            while let start = rest.firstIndex(of: UInt8(ascii: "<")),
                let end = rest[start...].firstIndex(of: UInt8(ascii: ">"))
            {
                let address = String(decoding: rest[(start + 1)..<end], as: UTF8.self)
                rest = rest[(end + 1)...]
                // Its parameters end before the next address.
                let parameters = Array(rest[..<(rest.firstIndex(of: UInt8(ascii: "<")) ?? rest.endIndex)])
                let relations = parameters.withUnsafeBytes { FieldParameters($0).value(of: "rel") } ?? []
                let names = relations.split(separator: UInt8(ascii: " ")).map { name in
                    String(decoding: name, as: UTF8.self).trimmedOfCommas.lowercased()
                }
                if names.contains("next") { return address }
            }
        }
        return nil
    }

    /// The rows as lines: each in one, which nothing but space between values can keep it from. Those of `without` are empty lines.
    ///
    /// - Parameter line: the number of the first one.
    static func lines(_ rows: [JSONRange], of text: UnsafeRawBufferPointer, from line: Int64, without: Set<Int64>)
        -> [UInt8]
    {
        var out: [UInt8] = []
        out.reserveCapacity(rows.reduce(0) { $0 + $1.count + 1 })
        for (index, row) in rows.enumerated() {
            if !without.contains(line + Int64(index)) {
                for byte in row.bytes(of: text) { out.append(byte == 0x0a || byte == 0x0d ? 0x20 : byte) }
            }
            out.append(0x0a)
        }
        return out
    }
}

extension String {
    /// An unquoted value may stand before the comma of a list.
    fileprivate var trimmedOfCommas: String {
        var text = self[...]
        while text.last == "," || text.last == " " { text = text.dropLast() }
        return String(text)
    }
}

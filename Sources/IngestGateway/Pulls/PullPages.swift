import Security

/// How one page says where the next one is.
enum Pagination: Sendable, Equatable {
    /// By the field `Link` of the answer, `rel="next"`; without it there is no other page. Source: RFC 8288.
    case link
    /// Pages have numbers from `first` on; the first one without rows ends it.
    case page(parameter: String, first: Int64)
    /// Rows before a page have a number; the first page without rows ends it.
    case offset(parameter: String)
    /// A value of the page is a parameter of the next; none, null or nothing ends it.
    case cursor(parameter: String, JSONPointer)
    /// A value of the page is the address of the next, likewise.
    case next(JSONPointer)
}

/// A page as it was read.
struct PulledPage: Equatable {
    /// Of its rows.
    var count: Int
    /// What it says of the next page: a cursor or an address; nil or empty: nothing.
    var next: String?
    /// Where it has come from.
    var address: WebAddress
    /// Of its bytes.
    var digest: [UInt8]
}

/// Goes from page to page: a pure state machine.
///
/// ```
///   place nil ─► address ─(page)─► take ─► next: place is set ─► address …
///                                      ├─► last: the page's rows are the last ones
///                                      └─► wrong: and whether the page's rows are still to be stored
/// ```
/// Invalid is what a server says: a place twice, an address of another origin, pages without end. Places are known since this machine
/// was made: one that goes on where another stopped finds a circle a round later.
struct PullPages {
    enum Step: Equatable {
        case next, last
        case wrong(String, storesPage: Bool)
    }

    struct Plan: Sendable, Equatable {
        var address: WebAddress
        var pagination = Pagination.link
        /// A parameter that says how many rows a page is to have.
        var size: Size?
        /// Beside the address' own, where pages may be.
        var origins: [String] = []
        var maxPages = 10_000

        struct Size: Sendable, Equatable {
            var parameter: String
            var rows: Int64
        }

        func allows(_ other: WebAddress) -> Bool {
            other.origin == address.origin || origins.contains(other.origin)
        }
    }

    /// Bytes of a place, which each record of progress has.
    static let maxPlaceBytes = WebAddress.maxBytes

    private let plan: Plan
    /// Where the page at hand is; nil: it is the first one.
    private(set) var place: String?
    /// Pages that were taken.
    private(set) var count: Int64
    /// Digests of all places so far, of `plan.maxPages` at most.
    private var seen: Set<[UInt8]> = []
    private var newest: [UInt8]?

    init(_ plan: Plan, place: String? = nil, count: Int64 = 0) {
        self.plan = plan
        self.place = place
        self.count = count
        see(place ?? plan.address.text)
    }

    /// Of the page at hand; nil: its place leads nowhere, or is longer than an address may be.
    var address: WebAddress? {
        let sized = plan.size.map { plan.address.setting($0.parameter, String($0.rows)) } ?? plan.address
        switch plan.pagination {
        case .link, .next:
            guard let place else { return sized }
            return WebAddress(place).flatMap { plan.allows($0) ? $0 : nil }
        case .page(let parameter, let first): return sized?.setting(parameter, place ?? String(first))
        case .offset(let parameter): return sized?.setting(parameter, place ?? "0")
        case .cursor(let parameter, _):
            guard let place else { return sized }
            return sized?.setting(parameter, place)
        }
    }

    /// Takes the page at hand.
    mutating func take(_ page: PulledPage) -> Step {
        let next: String
        switch plan.pagination {
        case .page(let parameter, let first):
            if page.count == 0 { return end() }
            if let problem = repeats(page, parameter) { return problem }
            guard let number = Int64(place ?? String(first)), number < .max else {
                return wrong("Its place is no number.")
            }
            next = String(number + 1)
        case .offset(let parameter):
            if page.count == 0 { return end() }
            if let problem = repeats(page, parameter) { return problem }
            guard let number = Int64(place ?? "0"), number <= .max - Int64(page.count) else {
                return wrong("Its place is no number.")
            }
            next = String(number + Int64(page.count))
        case .cursor:
            guard let cursor = page.next, !cursor.isEmpty else { return end() }
            next = cursor
        case .link, .next:
            guard let reference = page.next, !reference.isEmpty else { return end() }
            guard let address = page.address.resolving(reference) else {
                return wrong("Page \(count + 1) leads to what is no address of http or https.")
            }
            guard plan.allows(address) else {
                return wrong("Page \(count + 1) leads to \(address.origin), which is not among its origins.")
            }
            next = address.text
        }
        guard next.utf8.count <= Self.maxPlaceBytes else {
            return wrong("Page \(count + 1) leads to a place of more than \(Self.maxPlaceBytes) bytes.")
        }
        guard see(next) else { return wrong("Page \(count + 1) leads to a page that was there before.") }
        guard count + 1 < plan.maxPages else {
            return wrong("There are more than \(plan.maxPages) pages (max_pages).")
        }
        (place, newest) = (next, page.digest)
        count += 1
        return .next
    }

    private mutating func end() -> Step {
        count += 1
        return .last
    }

    private mutating func wrong(_ reason: String) -> Step {
        count += 1
        return .wrong(reason, storesPage: true)
    }

    /// Who does not know the parameter answers each page alike.
    private func repeats(_ page: PulledPage, _ parameter: String) -> Step? {
        guard page.digest == newest else { return nil }
        return .wrong(
            "Page \(count + 1) is the one before it: the server seems not to know the parameter \(parameter).",
            storesPage: false)
    }

    /// False: it was there before.
    @discardableResult
    private mutating func see(_ place: String) -> Bool {
        seen.insert(Self.digest(of: Array(place.utf8))).inserted
    }

    static func digest(of bytes: [UInt8]) -> [UInt8] { Array(HashAlgorithm.sha256.hash(bytes).prefix(16)) }
}

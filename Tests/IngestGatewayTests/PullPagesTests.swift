import HTTPWire
import Testing

@testable import IngestGateway

/// From page to page, and from try to try: without a server.
@Suite struct PullPagesTests {
    private static func address(_ text: String) throws -> WebAddress { try #require(WebAddress(text)) }

    private static func plan(
        _ pagination: Pagination, _ text: String = "http://h/items", maxPages: Int = 100
    ) throws -> PullPages.Plan {
        PullPages.Plan(address: try address(text), pagination: pagination, maxPages: maxPages)
    }

    /// A page of so many rows, each with other bytes.
    private static func page(
        _ count: Int, next: String? = nil, from text: String = "http://h/items", _ digest: UInt8 = .random(in: 1...255)
    ) throws -> PulledPage {
        PulledPage(
            count: count, next: next, address: try address(text), digest: [digest, UInt8(truncatingIfNeeded: count)])
    }

    private static func pointer(_ text: String) throws -> JSONPointer { try #require(JSONPointer(text)) }

    private static func isWrong(_ step: PullPages.Step, _ words: String, storesPage: Bool = true) -> Bool {
        guard case .wrong(let reason, storesPage) = step else { return false }
        return reason.contains(words)
    }

    // MARK: Kinds of pages

    @Test func pagesHaveNumbersUntilOneIsEmpty() throws {
        var plan = try Self.plan(.page(parameter: "page", first: 1), "http://h/items?x=1&page=9")
        plan.size = PullPages.Plan.Size(parameter: "per page", rows: 50)
        var pages = PullPages(plan)
        #expect(pages.address?.text == "http://h/items?x=1&per%20page=50&page=1")
        #expect(pages.take(try Self.page(50, 1)) == .next)
        #expect(pages.place == "2" && pages.address?.text == "http://h/items?x=1&per%20page=50&page=2")
        // A short page is not the last one: servers may give less than is asked for.
        #expect(pages.take(try Self.page(3, 2)) == .next)
        #expect(pages.take(try Self.page(0, 3)) == .last)
        #expect(pages.count == 3 && pages.place == "3")
    }

    @Test func offsetsCountRows() throws {
        var pages = PullPages(try Self.plan(.offset(parameter: "skip")))
        #expect(pages.address?.text == "http://h/items?skip=0")
        #expect(pages.take(try Self.page(50, 1)) == .next)
        #expect(pages.take(try Self.page(7, 2)) == .next)
        #expect(pages.address?.text == "http://h/items?skip=57")
        #expect(pages.take(try Self.page(0, 3)) == .last)
    }

    @Test func aServerThatDoesNotKnowTheParameterIsFoundOut() throws {
        for kind in [Pagination.page(parameter: "page", first: 0), .offset(parameter: "page")] {
            var pages = PullPages(try Self.plan(kind))
            #expect(pages.take(try Self.page(5, 1)) == .next)
            #expect(Self.isWrong(pages.take(try Self.page(5, 1)), "not to know the parameter page", storesPage: false))
            #expect(pages.count == 1)
        }
    }

    @Test func aCursorLeadsOnUntilThereIsNone() throws {
        var pages = PullPages(try Self.plan(.cursor(parameter: "after", try Self.pointer("/next"))))
        #expect(pages.address?.text == "http://h/items")
        #expect(pages.take(try Self.page(5, next: "a/b=&c")) == .next)
        #expect(pages.address?.text == "http://h/items?after=a%2Fb%3D%26c")
        // A page may be empty and not the last.
        #expect(pages.take(try Self.page(0, next: "d")) == .next)
        for end in [nil, ""] {
            var last = pages
            #expect(last.take(try Self.page(5, next: end)) == .last)
        }
    }

    /// The page that leads back has rows of its own, which are stored.
    @Test func placesThatComeAgainEndIt() throws {
        var pages = PullPages(try Self.plan(.cursor(parameter: "after", try Self.pointer("/next"))))
        #expect(pages.take(try Self.page(5, next: "a")) == .next)
        #expect(Self.isWrong(pages.take(try Self.page(5, next: "a")), "was there before"))
        var circle = PullPages(try Self.plan(.link))
        for place in ["/2", "/3", "/4"] { #expect(circle.take(try Self.page(1, next: place)) == .next) }
        var other = circle
        #expect(Self.isWrong(circle.take(try Self.page(1, next: "http://h/2")), "Page 4 leads to a page"))
        #expect(Self.isWrong(other.take(try Self.page(1, next: "/items")), "was there before"), "the first page")
    }

    @Test func addressesLeadOnWithinTheirOrigin() throws {
        var plan = try Self.plan(.next(try Self.pointer("/next")), "https://h/a/items")
        plan.origins = ["https://other:8443"]
        var pages = PullPages(plan)
        for (reference, found) in [
            ("more?page=2", "https://h/a/more?page=2"), ("?page=3", "https://h/a/items?page=3"), ("/b", "https://h/b"),
            ("https://H:443/c", "https://H:443/c"), ("//h/d#x", "https://h/d"), ("HTTPS://h/e", "https://h/e"),
            ("https://other:8443/f", "https://other:8443/f"),
        ] {
            #expect(pages.take(try Self.page(1, next: reference, from: "https://h/a/items")) == .next, "\(reference)")
            #expect(pages.address?.text == found)
        }
        for (reference, words) in [
            ("http://h/g", "leads to http://h:80"), ("https://h:444/g", "origins"), ("https://other/g", "origins"),
            ("//evil/g", "leads to https://evil:443"), ("ftp://h/g", "no address"), ("mailto:a", "no address"),
            ("https://user@h/g", "no address"), ("https://h\\@evil/", "no address"), ("https://h /", "no address"),
        ] {
            var other = pages
            #expect(
                Self.isWrong(other.take(try Self.page(1, next: reference, from: "https://h/a/items")), words),
                "\(reference)")
        }
    }

    @Test func pagesHaveABound() throws {
        var pages = PullPages(try Self.plan(.page(parameter: "page", first: 1), maxPages: 3))
        #expect(pages.take(try Self.page(1, 1)) == .next)
        #expect(pages.take(try Self.page(1, 2)) == .next)
        #expect(Self.isWrong(pages.take(try Self.page(1, 3)), "more than 3 pages"))
        // As many as may be are no failure.
        var exact = PullPages(try Self.plan(.link, maxPages: 1))
        #expect(exact.take(try Self.page(1)) == .last)
        var long = PullPages(try Self.plan(.cursor(parameter: "c", try Self.pointer("/n"))))
        #expect(Self.isWrong(long.take(try Self.page(1, next: String(repeating: "x", count: 2049))), "2048 bytes"))
    }

    @Test func whoGoesOnBeginsAtThePlace() throws {
        var pages = PullPages(try Self.plan(.page(parameter: "page", first: 1)), place: "7", count: 6)
        #expect(pages.address?.text == "http://h/items?page=7" && pages.count == 6)
        #expect(pages.take(try Self.page(1, 1)) == .next)
        #expect(pages.place == "8" && pages.count == 7)
        // Of another configuration.
        #expect(PullPages(try Self.plan(.link), place: "http://elsewhere/").address == nil)
        #expect(PullPages(try Self.plan(.link), place: "7").address == nil)
        var words = PullPages(try Self.plan(.offset(parameter: "o")), place: "seven")
        #expect(Self.isWrong(words.take(try Self.page(1)), "no number"))
    }

    // MARK: Tries

    @Test func waitsDoubleUpToALimitAndARandomShareIsWaited() {
        var rule = PullRetry.Rule()
        (rule.attempts, rule.baseMs, rule.mostMs) = (6, 500, 3_000)
        var retry = PullRetry(rule)
        var ranges: [ClosedRange<Int64>] = []
        for _ in 1..<6 {
            #expect(
                retry.failed(random: { range in
                    ranges.append(range)
                    return range.upperBound / 2
                }) != nil)
        }
        #expect(ranges == [0...500, 0...1000, 0...2000, 0...3000, 0...3000])
        #expect(retry.failed(random: { $0.upperBound }) == nil, "six times are enough")
    }

    @Test func aServerThatSaysWhenIsAskedThenUpToALimit() {
        var rule = PullRetry.Rule()
        (rule.attempts, rule.mostAskedMs) = (100, 10_000)
        var retry = PullRetry(rule)
        for (asked, waited) in [(0, 0), (2_000, 2_000), (10_000, 10_000), (3_600_000, 10_000)] as [(Int64, Int64)] {
            #expect(retry.failed(askedMs: asked, random: { _ in -1 }) == waited)
        }
        // However many failures there were.
        var long = PullRetry(PullRetry.Rule(attempts: 100, baseMs: 3_600_000, mostMs: 3_600_000))
        for _ in 0..<99 { #expect(long.failed(random: { $0.upperBound }) == 3_600_000) }
    }

    @Test(arguments: [
        ("0", 0), ("120", 120_000), ("Mon, 30 Nov 2026 10:00:30 GMT", 30_000), ("Mon, 30 Nov 2026 09:00:00 GMT", 0),
        ("Tue, 30 Nov 2026 10:00:30 GMT", nil), ("Mon, 31 Nov 2026 10:00:30 GMT", nil), ("-1", nil), ("", nil),
        ("1.5", nil), ("soon", nil), ("9999999999", nil), ("Mon, 30 Nov 2026 10:00:30 UTC", nil),
        ("Sun, 29 Feb 2032 00:00:00 GMT", 165_592_800_000),
    ]) func retryAfterIsSecondsOrADate(_ text: String, _ expected: Int64?) throws {
        let now = try #require(HTTPDate.second(of: "Mon, 30 Nov 2026 10:00:00 GMT"))
        #expect(PullRetry.milliseconds(of: text, nowMs: Int64(now) * 1000) == expected, "\(text)")
    }

    // MARK: Answers

    private func read(
        _ body: String, records: String? = nil, _ pagination: Pagination = .link, status: Int = 200,
        links: [String] = []
    ) throws -> PageReader.Outcome {
        let reader = PageReader(records: try records.map { try Self.pointer($0) }, pagination: pagination)
        return reader.read(
            PullReply(status: status, body: Array(body.utf8), links: links), from: try Self.address("http://h/items"))
    }

    @Test func rowsAreAListOrAMemberThatIsOne() throws {
        for (body, records, count) in [
            ("[1,{\"a\":2}]", nil, 2), ("{\"data\":{\"items\":[{},{},{}]},\"x\":1}", "/data/items", 3), ("[]", nil, 0),
            (" [ ] ", nil, 0), ("[[1],[2]]", "/1", 1),
        ] as [(String, String?, Int)] {
            guard case .page(let page, let rows) = try read(body, records: records) else {
                Issue.record("\(body)")
                continue
            }
            #expect(page.count == count && rows.count == count, "\(body)")
        }
        guard case .page(let page, _) = try read("", status: 204) else { throw JobNote("no content") }
        #expect(page.count == 0)
        for (body, records, words) in [
            ("{}", nil, "is no list"), ("{\"a\":1}", "/a", "has no list at /a"), ("{}", "/a", "has no list at /a"),
            ("<html>", nil, "is no JSON"), ("[1,]", nil, "is no JSON"), ("[1] 2", nil, "is no JSON"),
            ("[" + String(repeating: "1,", count: 100_000) + "1]", nil, "more than 100000 rows"),
        ] as [(String, String?, String)] {
            guard case .wrong(let reason) = try read(body, records: records) else {
                Issue.record("\(body.prefix(20))")
                continue
            }
            #expect(reason.contains(words), "\(reason)")
        }
        for body in ["[1,2", "{\"data\":[{\"a\":\"b", ""] {
            guard case .cut = try read(body) else {
                Issue.record("\(body) is cut")
                continue
            }
        }
    }

    private struct JobNote: Error {
        let words: String
        init(_ words: String) { self.words = words }
    }

    @Test func aPageSaysWhatFollowsIt() throws {
        func next(_ body: String, _ pagination: Pagination, _ links: [String] = []) throws -> String? {
            guard case .page(let page, _) = try read(body, records: "/d", pagination, links: links) else {
                throw JobNote(body)
            }
            return page.next
        }
        let cursor = Pagination.cursor(parameter: "c", try Self.pointer("/n"))
        #expect(try next(#"{"d":[],"n":"a\u00e9\/"}"#, cursor) == "aé/")
        #expect(try next(#"{"d":[],"n":17}"#, cursor) == "17")
        for body in [#"{"d":[],"n":null}"#, #"{"d":[],"n":false}"#, #"{"d":[]}"#] {
            #expect(try next(body, cursor) == nil)
        }
        guard case .wrong = try read(#"{"d":[],"n":[]}"#, records: "/d", cursor) else { throw JobNote("a list") }
        for (links, address) in [
            ([#"</2>; rel="next""#], "/2"), ([#"</1>; rel=prev, </3>; rel=next, </9>; rel=last"#], "/3"),
            ([#"</1>; rel="first""#, #"<http://h/4?a,b>; title="x"; rel="prefetch next""#], "http://h/4?a,b"),
            ([#"</1>; rel="previous""#], nil), (["/1; rel=next"], nil), (["<"], nil), ([], nil),
        ] as [([String], String?)] {
            #expect(try next(#"{"d":[]}"#, .link, links) == address, "\(links)")
        }
    }

    @Test func rowsBecomeLines() throws {
        let body = Array("[{\"a\":\r\n 1}, \"x\\n\",\n[2]]".utf8)
        guard case .page(_, let rows) = try read(String(decoding: body, as: UTF8.self)) else { throw JobNote("a page") }
        body.withUnsafeBytes { text in
            let all = PageReader.lines(rows, of: text, from: 10, without: [])
            #expect(String(decoding: all, as: UTF8.self) == "{\"a\":   1}\n\"x\\n\"\n[2]\n")
            let some = PageReader.lines(rows, of: text, from: 10, without: [1, 11, 12])
            #expect(String(decoding: some, as: UTF8.self) == "{\"a\":   1}\n\n\n")
        }
    }
}

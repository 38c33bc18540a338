import Foundation
import Testing

@testable import ConsoleCommands

/// Pages to try pulls on.
@Suite struct MockAPITests {
    private func json(_ answer: MockAPI.Answer) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
    }

    private func ids(_ answer: MockAPI.Answer) throws -> [Int] {
        (try json(answer)["data"] as? [[String: Any]] ?? []).compactMap { $0["id"] as? Int }
    }

    @Test func eachKindOfPagesLeadsOverAllItems() throws {
        var api = MockAPI(pages: 3, rows: 4, failures: 0, seed: 1)
        for next: (Int, [String: Any], MockAPI.Answer) -> String? in [
            { page, _, _ in page <= 3 ? "/i?page=\(page + 1)" : nil },
            { page, _, _ in page <= 3 ? "/i?offset=\(page * 4)" : nil },
            { _, json, _ in (json["next_cursor"] as? String).map { "/i?cursor=\($0)" } },
            { _, json, _ in json["next"] as? String },
            { _, _, answer in
                answer.fields.first.map { String($0.dropFirst("Link: <".count).prefix { $0 != ">" }) }
            },
        ] {
            var (target, found, page) = (Optional("/i"), [Int](), 1)
            while let asked = target, page < 10 {
                let answer = api.answer(asked)
                #expect(answer.status == "200 OK")
                found += try ids(answer)
                target = next(page, try json(answer), answer)
                page += 1
            }
            #expect(found == Array(1...12))
        }
        #expect(
            api.answer("/i?page=x").status == "400 Bad Request" && api.answer("/i?page=0").status == "400 Bad Request")
        #expect(api.answer("/i?=").status == "200 OK", "a parameter without a name is none")
        let text = String(decoding: api.answer("/i?page=9").bytes, as: UTF8.self)
        #expect(text == "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"data\":[]}")
    }

    @Test func whichRequestsFailFollowsFromTheSeed() {
        func statuses(_ seed: UInt64, _ failures: Int) -> [String] {
            var api = MockAPI(pages: 1000, rows: 1, failures: failures, seed: seed)
            return (1...1000).map { api.answer("/i?page=\($0)").status }
        }
        #expect(statuses(1, 200) == statuses(1, 200) && statuses(1, 200) != statuses(2, 200))
        let failed = statuses(1, 200).filter { $0 != "200 OK" }
        #expect((150...250).contains(failed.count) && Set(failed).count == 3, "\(failed.count)")
        #expect(statuses(1, 0).allSatisfy { $0 == "200 OK" } && statuses(1, 1000).allSatisfy { $0 != "200 OK" })
    }
}

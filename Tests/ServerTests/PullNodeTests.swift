import BrokerCore
import BrokerTestKit
import ByteBuffers
import Configuration
import Foundation
import JobLedger
import Testing

@testable import Server

/// Pulls of running nodes, from a server over HTTP that does what servers do.
@Suite struct PullNodeTests {
    private static func configuration(_ folder: TemporaryFolder, _ url: String, _ more: String = "") throws
        -> Configuration
    {
        let text = """
            pulls:
              items:
                url: \(url)
                to: {topic: rows}
                pages: {by: page}
                timeout: 500ms
                retry: {attempts: 5, base: 1ms, cap: 5ms, retry_after: 10ms}
                \(more)
            """
        try text.write(toFile: folder("millrace.yaml"), atomically: true, encoding: .utf8)
        return try Configuration.load(
            file: folder("millrace.yaml"), environment: [:],
            flags: [
                ("log.dirs", folder("data"), "--data-dir"), ("listeners", "127.0.0.1:0", "--kafka"),
                ("http.listener", "127.0.0.1:0", "--http"), ("offsets.topic.num.partitions", "1", "--set"),
                ("transaction.state.log.num.partitions", "1", "--set"),
            ])
    }

    private static let allowed = "allow: 127.0.0.0/8"

    private static func run(_ node: Node) throws -> Job {
        let request = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        #expect(eventually { (try? node.ask("POST", "/v1/pulls/items:run", request).status) == 202 })
        #expect(eventually { (try? node.broker.jobs.jobs().first?.state).map { $0 != .running } ?? false })
        return try #require(try node.broker.jobs.jobs().first)
    }

    private static func page(_ number: Int, of pages: Int) -> String {
        number > pages ? "[]" : "[\((0..<10).map { "{\"id\":\(number * 10 + $0)}" }.joined(separator: ","))]"
    }

    private static func number(_ request: HTTPReceiver.Request) -> Int {
        let target = request.head.split(separator: " ").dropFirst().first ?? ""
        return Int(target.split(separator: "=").last ?? "") ?? 0
    }

    /// Fails, throttles, hangs, ends in the middle and closes: each page is there once.
    @Test func whateverTheServerDoesEachPageIsThereOnce() throws {
        let folder = try TemporaryFolder()
        let tries = Lock<[Int: Int]>([:])
        let isOver = Signal()
        let server = try HTTPReceiver { request in
            let number = Self.number(request)
            let attempt = tries.withLock { tries in
                tries[number, default: 0] += 1
                return tries[number, default: 0]
            }
            let text = Self.page(number, of: 7)
            guard attempt == 1 else { return HTTPReceiver.answer("200 OK", text) }
            switch number {
            case 1: return HTTPReceiver.answer("500 Internal Server Error", "oh")
            case 2: return HTTPReceiver.answer("429 Too Many Requests", fields: "Retry-After: 3600\r\n")
            case 3:
                isOver.wait()
                return nil
            case 4: return "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text.prefix(9))"
            case 5: return nil
            case 6: return HTTPReceiver.answer("200 OK", String(text.prefix(20)))
            default: return HTTPReceiver.answer("503 Service Unavailable")
            }
        }
        let node = try Node.start(try Self.configuration(folder, server.url, Self.allowed), pool: ChunkPool())
        let job = try Self.run(node)
        #expect(job.state == .finished && job.progress.accepted == 70 && job.pull?.pages == 8, "\(job)")
        #expect(Set(try node.consume("rows", 70)).count == 70)
        #expect(tries.withLock { Set($0.values) } == [2])
        isOver.raise()
        try node.stop()
        server.stop()
    }

    @Test func whereNobodyIsToBeAskedNobodyIs() throws {
        let server = try HTTPReceiver { request in
            switch request.head.split(separator: " ")[1] {
            case "/credentials?page=1":
                HTTPReceiver.answer("302 Found", fields: "Location: http://169.254.169.254/latest/meta-data/\r\n")
            case "/inside?page=1":
                HTTPReceiver.answer("307 Temporary Redirect", fields: "Location: http://10.0.0.1/\r\n")
            case "/mapped?page=1":
                HTTPReceiver.answer("302 Found", fields: "Location: http://[::ffff:a9fe:a9fe]/latest/\r\n")
            case "/file?page=1": HTTPReceiver.answer("302 Found", fields: "Location: file:///etc/passwd\r\n")
            default: HTTPReceiver.answer("200 OK", "[]")
            }
        }
        let origin = "http://127.0.0.1:\(server.port)"
        for (url, more, words) in [
            (origin + "/items", "", "127.0.0.1 is no address that may be called"),
            ("http://localhost:\(server.port)/items", "allow: \"::2\"", "is no address that may be called"),
            (origin + "/credentials", Self.allowed, "169.254.169.254 is no address that may be called"),
            (origin + "/inside", Self.allowed, "10.0.0.1 is no address that may be called"),
            (origin + "/mapped", Self.allowed, "169.254.169.254 is no address that may be called"),
            (origin + "/file", Self.allowed, "without an address of http or https"),
        ] {
            let folder = try TemporaryFolder()
            let node = try Node.start(try Self.configuration(folder, url, more), pool: ChunkPool())
            let job = try Self.run(node)
            #expect(job.state == .failed && job.reason?.contains(words) == true, "\(job)")
            #expect(job.progress.rows == 0)
            try node.stop()
        }
        #expect(!server.requests.contains { $0.head.contains("/items") })
        server.stop()
    }

    @Test func answersHaveABound() throws {
        let folder = try TemporaryFolder()
        let server = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK", "[\(String(repeating: " ", count: 2000))]") }
        let node = try Node.start(
            try Self.configuration(folder, server.url, Self.allowed + "\n    max_bytes: 1KiB"), pool: ChunkPool())
        let job = try Self.run(node)
        #expect(job.reason?.contains("longer than 1024 bytes") == true && server.requests.count == 1, "\(job)")
        try node.stop()
        server.stop()
    }

    /// A stop in order in the middle of a request, and a start.
    @Test func aRunGoesOnWithTheNextStart() throws {
        let folder = try TemporaryFolder()
        let isHung = Lock(true)
        let isOver = Signal()
        let server = try HTTPReceiver { request in
            let number = Self.number(request)
            if number == 3, isHung.withLock({ $0 }) {
                isOver.wait()
                return nil
            }
            return HTTPReceiver.answer("200 OK", Self.page(number, of: 4))
        }
        let configuration = try Self.configuration(
            folder, server.url, Self.allowed.replacing("allow", with: "every: 1h\n    allow"))
        let first = try Node.start(configuration, pool: ChunkPool())
        #expect(eventually { (try? first.broker.jobs.jobs().first?.pull?.pages) == 2 })
        try first.stop()
        isHung.withLock { $0 = false }
        isOver.raise()
        let second = try Node.start(configuration, pool: ChunkPool())
        #expect(eventually { (try? second.broker.jobs.jobs().first?.state) == .finished })
        let jobs = try second.broker.jobs.jobs()
        #expect(jobs.count == 1 && jobs[0].progress.accepted == 40, "\(jobs)")
        #expect(Set(try second.consume("rows", 40)).count == 40)
        try second.stop()
        server.stop()
    }
}

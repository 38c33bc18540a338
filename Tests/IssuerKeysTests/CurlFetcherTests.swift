import BrokerTestKit
import ByteBuffers
import Glibc
import Security
import Testing

@testable import IssuerKeys

/// Libcurl against a server of the test's on the loopback. TLS is tested with real certificates by `Tests/Clients`.
@Suite struct CurlFetcherTests {
    private let fetcher = CurlFetcher(authorities: nil)

    private func get(_ server: OneAnswerServer, host: String = "127.0.0.1") -> Result<String, KeyFetchError> {
        do throws(KeyFetchError) {
            let bytes = try fetcher.get(KeyAddress("http://\(host):\(server.port)/keys")!, isStopping: { false })
            return .success(String(decoding: bytes, as: UTF8.self))
        } catch {
            return .failure(error)
        }
    }

    private static func answer(_ status: String, _ body: String, headers: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)"
    }

    @Test func aDocumentIsFetched() throws {
        for host in ["127.0.0.1", "localhost"] {
            let server = try OneAnswerServer(Self.answer("200 OK", #"{"keys":[]}"#))
            #expect(get(server, host: host) == .success(#"{"keys":[]}"#))
            let request = server.request
            #expect(request.hasPrefix("GET /keys HTTP/1.1\r\n") && request.contains("User-Agent: millrace\r\n"))
        }
    }

    @Test(arguments: ["404 Not Found", "500 No", "204 None", "301 Moved", "206 Partial"])
    func onlyTwoHundredIsAnAnswer(_ status: String) throws {
        let server = try OneAnswerServer(Self.answer(status, "x", headers: "Location: http://127.0.0.1:1/\r\n"))
        #expect(get(server) == .failure(KeyFetchError("the answer is \(status.prefix(3))")))
    }

    @Test func redirectionsAreNotFollowed() throws {
        let target = try OneAnswerServer(Self.answer("200 OK", "secret"))
        let server = try OneAnswerServer(
            Self.answer("302 Found", "", headers: "Location: http://127.0.0.1:\(target.port)/\r\n"))
        #expect(get(server) == .failure(KeyFetchError("the answer is 302")))
        #expect(!target.wasAsked)
    }

    @Test func bodiesAndHeadersHaveABound() throws {
        let most = String(repeating: "x", count: CurlFetcher.maxBytes)
        #expect(get(try OneAnswerServer(Self.answer("200 OK", most))) == .success(most))
        let tooLong = KeyFetchError("the answer is longer than \(CurlFetcher.maxBytes) bytes")
        #expect(get(try OneAnswerServer(Self.answer("200 OK", most + "x"))) == .failure(tooLong))
        // Without a length that could tell before.
        #expect(get(try OneAnswerServer("HTTP/1.1 200 OK\r\n\r\n\(most)x")) == .failure(tooLong))
        let header = String(repeating: "X-Header: \(String(repeating: "x", count: 1_000))\r\n", count: 100)
        #expect(get(try OneAnswerServer(Self.answer("200 OK", "x", headers: header))) == .failure(tooLong))
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "no http at all"])
    func anAnswerThatEndsEarlyIsNone(_ answer: String) throws {
        guard case .failure = get(try OneAnswerServer(answer)) else {
            Issue.record("'\(answer)' was taken")
            return
        }
    }

    /// A stop does not wait for whoever does not answer.
    @Test func aStopEndsAFetch() throws {
        let server = try OneAnswerServer(nil)
        let isStopping = Lock(false)
        let fetch = Lock<KeyFetchError?>(nil)
        let address = KeyAddress("http://127.0.0.1:\(server.port)/keys")!
        let thread = Thread(name: "fetch") { [fetcher] in
            do throws(KeyFetchError) {
                _ = try fetcher.get(address, isStopping: { isStopping.withLock { $0 } })
            } catch {
                fetch.withLock { $0 = error }
            }
        }
        _ = server.request
        isStopping.withLock { $0 = true }
        thread.join()
        #expect(fetch.withLock { $0 } != nil)
    }

    @Test func anAuthorityThatIsNotThereIsAFailure() throws {
        let fetcher = CurlFetcher(authorities: "/nowhere/ca.pem")
        #expect(throws: KeyFetchError.self) {
            try fetcher.get(KeyAddress("https://127.0.0.1:1/keys")!, isStopping: { false })
        }
    }

    @Test func filesAreReadUpToABound() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/keys"
        func write(_ count: Int) {
            let file = fopen(path, "w")!
            fputs(String(repeating: "x", count: count), file)
            fclose(file)
        }
        write(StrictJSON.maxBytes)
        #expect(try KeyFile.read(path).count == StrictJSON.maxBytes)
        write(StrictJSON.maxBytes + 1)
        #expect(throws: KeyFetchError.self) { try KeyFile.read(path) }
        #expect(throws: KeyFetchError.self) { try KeyFile.read(folder.path + "/nothing") }
        #expect(throws: KeyFetchError.self) { try KeyFile.read(folder.path) }
    }
}

/// A listener that takes one connection, reads a request, answers and closes; nil: it never answers.
private final class OneAnswerServer: @unchecked Sendable {
    // SAFETY: written before the thread begins, and only read afterwards.
    private let listener: Int32
    private(set) var port: UInt16 = 0
    private let received = Lock("")
    private let arrived = Signal()
    private let accepted = Lock<Int32?>(nil)
    private var thread: Thread?

    init(_ answer: String?) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                guard bind(listener, pointer, length) == 0, listen(listener, 8) == 0,
                    getsockname(listener, pointer, &length) == 0
                else { throw KeyFetchError("no port for the test") }
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        thread = Thread(name: "test-server") { [listener, received, arrived, accepted] in
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { return }
            accepted.withLock { $0 = connection }
            var bytes: [UInt8] = []
            while !String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") {
                var buffer = [UInt8](repeating: 0, count: 4_096)
                let count = read(connection, &buffer, buffer.count)
                if count <= 0 { break }
                bytes += buffer[..<count]
            }
            received.withLock { $0 = String(decoding: bytes, as: UTF8.self) }
            arrived.raise()
            guard let answer else { return }
            var rest = Array(answer.utf8)[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes {
                    send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if sent <= 0 { break }
                rest = rest.dropFirst(sent)
            }
            shutdown(connection, Int32(SHUT_WR))
        }
    }

    /// What was asked; waits for it a second at most.
    var request: String {
        arrived.wait(timeoutMs: 1_000)
        return received.withLock { $0 }
    }

    var wasAsked: Bool { accepted.withLock { $0 != nil } }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        thread?.join()
        close(listener)
        if let connection = accepted.withLock({ $0 }) { close(connection) }
    }
}

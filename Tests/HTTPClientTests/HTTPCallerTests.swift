import BrokerTestKit
import ByteBuffers
import Security
import Testing

@testable import HTTPClient

/// Libcurl against a server of the test's on the loopback.
@Suite struct HTTPCallerTests {
    private func call(_ url: String, _ change: (inout HTTPCall) -> Void = { _ in }) -> HTTPCall {
        var call = HTTPCall(url: url, reach: .notMetadata(except: []), maxBodyBytes: 1000)
        call.body = Array("the body".utf8)
        change(&call)
        return call
    }

    private func perform(_ call: HTTPCall, _ caller: HTTPCaller? = nil) -> Result<HTTPAnswer, HTTPCallFailure> {
        do throws(HTTPCallFailure) {
            let caller = if let caller { caller } else { try HTTPCaller() }
            return .success(try caller.perform(call, isStopping: { false }))
        } catch { return .failure(error) }
    }

    private func kind(_ result: Result<HTTPAnswer, HTTPCallFailure>) -> HTTPCallFailure.Kind? {
        if case .failure(let failure) = result { failure.kind } else { nil }
    }

    @Test func aBodyIsPostedAndConnectionsAreKept() throws {
        let server = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK", "fine", fields: "Retry-After:  17 \r\n") }
        defer { server.stop() }
        let caller = try HTTPCaller()
        for _ in 0..<3 {
            let answer = try perform(call(server.url) { $0.headers = ["X-One: 1", "Content-Type: a/b"] }, caller).get()
            #expect(answer.status == 200)
            #expect(answer.body == Array("fine".utf8))
            #expect(answer.retryAfter == "17")
        }
        #expect(server.requests.count == 3)
        #expect(server.connectionCount == 1)
        let request = server.requests[0]
        #expect(request.head.hasPrefix("POST /batch HTTP/1.1\r\n"))
        #expect(request.body == Array("the body".utf8))
        #expect(request.field("x-one") == "1")
        #expect(request.field("content-type") == "a/b")
        #expect(request.field("expect") == nil)
    }

    @Test func longAndEmptyBodiesArriveWhole() throws {
        let server = try HTTPReceiver { _ in HTTPReceiver.answer("204 No Content") }
        defer { server.stop() }
        let long = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for body in [long, []] {
            #expect(try perform(call(server.url) { $0.body = body }).get().status == 204)
            #expect(server.requests.last?.body == body)
        }
        #expect(try perform(call(server.url) { $0.body = nil }).get().status == 204)
        #expect(server.requests.last?.head.hasPrefix("GET ") == true)
    }

    @Test func anyStatusIsAnAnswerAndRedirectionsAreNotFollowed() throws {
        let target = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK") }
        let server = try HTTPReceiver { request in
            HTTPReceiver.answer(
                "307 Temporary Redirect", fields: "Location: \(String(decoding: request.body, as: UTF8.self))\r\n")
        }
        defer {
            server.stop()
            target.stop()
        }
        let answer = try perform(call(server.url) { $0.body = Array(target.url.utf8) }).get()
        #expect(answer.status == 307)
        #expect(target.requests.isEmpty)
    }

    @Test func whatWasNotSentIsToldFromWhatWasLost() throws {
        let server = try HTTPReceiver { _ in nil }
        #expect(kind(perform(call(server.url))) == .lost)
        let url = server.url
        server.stop()
        #expect(kind(perform(call(url))) == .notSent)
        #expect(kind(perform(call("http://nobody.invalid/"))) == .notSent)
        #expect(kind(perform(call("ftp://127.0.0.1/"))) == .notSent)
    }

    @Test func whoHangsIsGivenUp() throws {
        let isOver = Signal()
        let server = try HTTPReceiver { _ in
            isOver.wait()
            return nil
        }
        #expect(kind(perform(call(server.url) { $0.timeoutMs = 100 })) == .timedOut)
        isOver.raise()
        server.stop()
    }

    @Test func answersHaveABound() throws {
        let server = try HTTPReceiver { request in
            HTTPReceiver.answer(
                "200 OK", String(repeating: "x", count: Int(String(decoding: request.body, as: UTF8.self)) ?? 0))
        }
        defer { server.stop() }
        func ask(_ count: Int) -> Result<HTTPAnswer, HTTPCallFailure> {
            perform(call(server.url) { $0.body = Array("\(count)".utf8) })
        }
        #expect(try ask(1000).get().body.count == 1000)
        #expect(kind(ask(1001)) == .tooLong)
    }

    @Test func addressesThatMayNotBeCalledAreNot() throws {
        let server = try HTTPReceiver { _ in HTTPReceiver.answer("200 OK") }
        defer { server.stop() }
        for url in [
            "http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]/",
            "http://[fd00:ec2::254]/", "http://[fd20:ce::254]/", "http://[64:ff9b::a9fe:a9fe]/",
        ] {
            let result = perform(call(url) { $0.timeoutMs = 2000 })
            guard case .failure(let failure) = result else {
                Issue.record("\(url) was called")
                continue
            }
            #expect(failure.kind == .forbidden && failure.reason.contains("may be called"), "\(failure)")
        }
        #expect(kind(perform(call(server.url) { $0.reach = .loopback })) == nil)
        #expect(kind(perform(call(server.url) { $0.reach = .anybody })) == nil)
        let listed = try #require(NetworkAddress("169.254.1.1"))
        #expect(HTTPCall.Reach.notMetadata(except: [listed]).contains(listed))
        #expect(!HTTPCall.Reach.notMetadata(except: []).contains(listed))
        #expect(!HTTPCall.Reach.loopback.contains(try #require(NetworkAddress("10.0.0.1"))))
        // This machine is not the internet at large, unless it is named.
        #expect(kind(perform(call(server.url) { $0.reach = .global(or: []) })) == .forbidden)
        let named = try #require(NetworkRange("127.0.0.0/8"))
        #expect(kind(perform(call(server.url) { $0.reach = .global(or: [named]) })) == nil)
    }

    @Test func fieldsOfAnAnswerAreTold() throws {
        let fields = "Location: /else?a=b \r\nLINK:  <http://h/2>; rel=\"next\"\r\nlink: <x>; rel=last\r\n"
        let server = try HTTPReceiver { _ in HTTPReceiver.answer("302 Found", fields: fields) }
        defer { server.stop() }
        let answer = try perform(call(server.url)).get()
        #expect(answer.location == "/else?a=b" && answer.retryAfter == nil)
        #expect(answer.links == ["<http://h/2>; rel=\"next\"", "<x>; rel=last"])
    }
}

import BrokerTestKit
import ByteBuffers
import COpenSSL
import Foundation
import Security
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    /// The client's side, against a listener's.
    @Suite struct ClientTests {
        private let folder = try! TemporaryFolder()

        private func file(_ name: String, _ text: String) -> String {
            try! text.write(toFile: folder(name), atomically: true, encoding: .utf8)
            return folder(name)
        }

        private func settings(
            trusting authority: String = TestCertificates.authority,
            _ change: (inout TLSClientSettings) -> Void = { _ in }
        ) -> TLSClientSettings {
            var settings = TLSClientSettings(authorityFile: file("ca.pem", authority))
            change(&settings)
            return settings
        }

        private struct Sides {
            let client: TLSClientSession
            let server: TLSStream
            let wire: MemoryWire

            /// What the server has opened.
            func serve() -> [UInt8] {
                let records = client.takeRecords()
                wire.state.withLock { $0.toServer += records }
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
                defer { buffer.deallocate() }
                var opened: [UInt8] = []
                loop: while true {
                    switch server.receive(into: buffer, from: 7, expectsEnd: false) {
                    case .bytes(let count), .more(let count): opened += buffer[..<count]
                    case .drained(let count):
                        opened += buffer[..<count]
                        break loop
                    default: break loop
                    }
                }
                while server.hasUnsent, server.flush(to: 7) == .sent {}
                return opened
            }

            /// Gives the client what the server has sent, so many bytes at once.
            func deliver(_ step: Int = .max) {
                let bytes = wire.state.withLock { state in
                    let bytes = Array(state.toClient.prefix(step))
                    state.toClient.removeFirst(bytes.count)
                    return bytes
                }
                bytes.withUnsafeBytes { client.feed($0) }
            }
        }

        private func connect(
            _ settings: TLSClientSettings, to host: String = "localhost", _ listener: TLSSettings = .test(),
            step: Int = .max
        ) throws -> Sides {
            let wire = MemoryWire()
            let server = try TLSTerminator(listener).stream(LoopBuffers(pool: Pair.pool), calls: wire.calls)
            let sides = Sides(client: try TLSClientSession(settings, host: host), server: server, wire: wire)
            for _ in 0..<10_000 {
                let isOver = try sides.client.shakeHands()
                _ = sides.serve()
                if isOver { return sides }
                sides.deliver(step)
            }
            throw TLSClientFailure(reason: "the handshake has no end")
        }

        private func problem(
            _ settings: TLSClientSettings, to host: String = "localhost", _ listener: TLSSettings = .test()
        ) -> String {
            do {
                _ = try connect(settings, to: host, listener)
                return "taken"
            } catch let error as TLSClientFailure {
                return error.reason
            } catch {
                return "\(error)"
            }
        }

        @Test(arguments: [["TLSv1.2"], ["TLSv1.3"]]) func bytesGoBothWaysHoweverTheyCome(versions: [String]) throws {
            for step in [1, 7, Int.max] {
                let sides = try connect(settings(), .test { $0.versions = versions }, step: step)
                let sent = pattern(40_000)
                try sent.withUnsafeBytes { try sides.client.seal($0) }
                #expect(sides.serve() == sent)
                #expect(pattern(16_000).withUnsafeBytes { sides.server.seal($0) })
                while sides.server.hasUnsent, sides.server.flush(to: 7) == .sent {}
                var received: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 5_000)
                for _ in 0..<100_000 where received.count < 16_000 {
                    let count = try buffer.withUnsafeMutableBytes { try sides.client.open(into: $0) }
                    received += buffer[..<count]
                    if count == 0 { sides.deliver(step) }
                }
                #expect(received == pattern(16_000))
                #expect(!sides.client.hasInput)
            }
        }

        @Test func aServerIsTakenByItsAuthorityAndItsHostAlone() {
            #expect(problem(settings()) == "taken")
            #expect(problem(settings(), to: "127.0.0.1") == "taken")
            #expect(problem(settings(), to: "a.example.org") == "taken")
            #expect(problem(settings(), to: "b.a.example.org").contains("ostname mismatch"))
            #expect(problem(settings(), to: "other.example.net").contains("ostname mismatch"))
            #expect(problem(settings(), to: "127.0.0.2").contains("IP address mismatch"))
            #expect(problem(settings(), to: "10.0.0.1").contains("IP address mismatch"))
            #expect(problem(settings { $0.serverName = "localhost" }, to: "10.0.0.1") == "taken")
            #expect(problem(settings { $0.serverName = "other.example.net" }).contains("ostname mismatch"))
            // No name is not any name.
            #expect(problem(settings(), to: "").contains("is no name"))
            #expect(problem(settings(), to: String(repeating: "a", count: 300)).contains("is no name"))
            let stranger = settings(trusting: TestCertificates.strangerCertificate)
            #expect(problem(stranger).contains("its certificate is not taken: unable to get"))
            let ended = TLSSettings.test { $0.certificateChain = TestCertificates.endedCertificate }
            #expect(problem(settings(trusting: TestCertificates.endedCertificate), ended).contains("expired"))
        }

        @Test func itShowsItsCertificateWhereItHasOne() throws {
            let listener = TLSSettings.test {
                ($0.clientAuthentication, $0.trustedCertificates) = (.required, TestCertificates.authority)
            }
            let own = TLSClientSettings.Identity(
                certificateFile: file("client.pem", TestCertificates.clientCertificate),
                keyFile: file("client.key", TestCertificates.clientKey))
            let sides = try connect(settings { $0.identity = own }, listener)
            #expect(sides.server.principal == .user("CN=alice,OU=Clients,O=Millrace tests"))
            // TLS 1.2 says it in the handshake, 1.3 behind it.
            #expect(
                problem(
                    settings(),
                    .test {
                        ($0.clientAuthentication, $0.trustedCertificates) = (.required, TestCertificates.authority)
                        $0.versions = ["TLSv1.2"]
                    }
                ).contains("TLS: "))
            let late = try connect(settings(), listener)
            late.deliver()
            var buffer = [UInt8](repeating: 0, count: 100)
            #expect {
                _ = try buffer.withUnsafeMutableBytes { try late.client.open(into: $0) }
            } throws: { error in
                (error as? TLSClientFailure)?.reason.contains("certificate required") == true
            }
        }

        @Test func filesThatCannotBeUsedAreNamedWithWhatIsWrong() {
            #expect(
                problem(TLSClientSettings(authorityFile: folder("none"))).hasPrefix("ca: \(folder("none")): No such"))
            #expect(problem(settings(trusting: "nothing")).contains("no certificate in it"))
            #expect(
                problem(settings(trusting: TestCertificates.authority + TestCertificates.serverKey)).contains(
                    "private key"))
            func own(_ certificate: String, _ key: String) -> TLSClientSettings {
                settings {
                    $0.identity = .init(certificateFile: file("c", certificate), keyFile: file("k", key))
                }
            }
            let (good, key) = (TestCertificates.clientCertificate, TestCertificates.clientKey)
            #expect(problem(own("", key)) == "certificate: \(folder("c")): no certificate in it")
            #expect(problem(own(good, "")) == "key: \(folder("k")): no private key in it")
            #expect(
                problem(own(good, TestCertificates.serverKey)).hasPrefix("certificate: \(folder("c")): the key is not"))
            #expect(
                problem(own(good, TestCertificates.serverKeyEncrypted)).hasPrefix("key: \(folder("k")): is encrypted"))
        }

        @Test func plainTextIsNoServerOfTLS() throws {
            let client = try TLSClientSession(settings(), host: "localhost")
            _ = try client.shakeHands()
            Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8).withUnsafeBytes { client.feed($0) }
            #expect(throws: TLSClientFailure.self) { _ = try client.shakeHands() }
        }
    }
}

import ByteBuffers
import COpenSSL
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    @Suite struct HandshakeTests {
        private let terminator = try! TLSTerminator(.test())

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func bytesGoBothWays(version: Int32) {
            let pair = Pair(terminator, .init(lowest: version, highest: version))
            pair.settle()
            #expect(!pair.server.isOpening)
            #expect(SSL_version(pair.client.session) == version)
            pair.client.write(pattern(100_000))
            pair.settle()
            #expect(pair.received == pattern(100_000))
            pair.write(pattern(200_000))
            pair.deliver()
            _ = pair.client.step()
            #expect(pair.client.received == pattern(200_000))
        }

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func everySplitOfWhatTheClientSendsWorks(version: Int32) {
            let lengths = flightLengths(version)
            for (flight, length) in lengths.enumerated() {
                for split in 1..<length {
                    let pair = Pair(terminator, .init(lowest: version, highest: version))
                    var number = 0
                    pair.settle { pair, bytes in
                        if number == flight {
                            pair.send(Array(bytes[..<split]))
                            pair.serve()
                            pair.send(Array(bytes[split...]))
                        } else {
                            pair.send(bytes)
                        }
                        number += 1
                    }
                    #expect(!pair.server.isOpening, "flight \(flight) split at \(split)")
                }
            }
        }

        private func flightLengths(_ version: Int32) -> [Int] {
            var lengths: [Int] = []
            let pair = Pair(terminator, .init(lowest: version, highest: version))
            pair.settle { pair, bytes in
                lengths.append(bytes.count)
                pair.send(bytes)
            }
            // Lengths vary by a few bytes with the signatures in them, and those are the server's.
            return lengths
        }

        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func byteByByteWorks(version: Int32) {
            let pair = Pair(terminator, .init(lowest: version, highest: version))
            pair.settle { pair, bytes in
                for byte in bytes {
                    pair.send([byte])
                    pair.serve()
                }
            }
            pair.client.write(pattern(3_000))
            pair.client.write(pattern(20))
            for byte in pair.client.takeOutput() {
                pair.send([byte])
                pair.serve(room: 100)
            }
            #expect(pair.received == pattern(3_000) + pattern(20))
        }

        @Test func theClientMayGoAtEachByteOfItsHandshake() {
            for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
                for (flight, length) in flightLengths(version).enumerated() {
                    for end in stride(from: 0, to: length, by: 7) {
                        let pair = Pair(terminator, .init(lowest: version, highest: version))
                        var number = 0
                        pair.settle { pair, bytes in
                            if number == flight {
                                pair.send(Array(bytes[..<end]))
                                pair.wire.state.withLock { $0.isFinished = true }
                            } else {
                                pair.send(bytes)
                            }
                            number += 1
                        }
                        #expect(pair.result == .end, "flight \(flight) cut at \(end)")
                    }
                }
            }
        }

        @Test func oneConnectionsErrorsAreNotAnothers() {
            for end in stride(from: 1, to: 300, by: 13) {
                let good = Pair(terminator)
                let bad = Pair(terminator)
                var isFirst = true
                good.settle { pair, bytes in
                    // Between the two steps of the good one, the other one meets garbage.
                    if isFirst { bad.send(Array(bad.client.step()[..<end]) + [UInt8](repeating: 0x16, count: 600)) }
                    isFirst = false
                    pair.send(Array(bytes.prefix(40)))
                    pair.serve()
                    bad.serve()
                    pair.send(Array(bytes.dropFirst(40)))
                }
                #expect(bad.result == .refused)
                #expect(!good.server.isOpening)
                #expect(ERR_peek_error() == 0)
            }
        }

        @Test func wordsAreAnsweredInWords() {
            let answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
            let terminator = try! TLSTerminator(.test { $0.plainTextAnswer = answer })
            let pair = Pair(terminator)
            pair.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            pair.serve()
            #expect(pair.result == .refused)
            #expect(pair.server.problem == "a client speaks plain text to a listener of TLS")
            #expect(pair.wire.state.withLock { $0.toClient } == answer)
        }

        @Test func aKafkaFrameIsRefused() {
            let pair = Pair(terminator)
            pair.send([0, 0, 0, 20, 0, 18, 0, 3])
            pair.serve()
            #expect(pair.result == .refused)
            #expect(pair.wire.state.withLock { $0.toClient } == [])
            // It says so as often as it is asked.
            pair.serve()
            #expect(pair.result == .refused)
        }

        @Test func oldVersionsGetAnAlert() {
            for version: Int32 in [0x0301, 0x0302] {
                let pair = Pair(terminator, .init(lowest: version, highest: version))
                pair.settle()
                #expect(pair.result == .refused)
                _ = pair.client.step()
                #expect(pair.client.failure?.contains("protocol version") == true)
            }
        }

        @Test func suitesWithoutForwardSecrecyAreRefused() {
            for suite in ["AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"] {
                let pair = Pair(terminator, .init(lowest: TLS1_2_VERSION, highest: TLS1_2_VERSION, suites: suite))
                pair.settle()
                #expect(pair.result == .refused, "\(suite)")
            }
        }

        @Test func onlyTheVersionsThatAreEnabledAreSpoken() throws {
            let terminator = try TLSTerminator(.test { $0.versions = ["TLSv1.3"] })
            let old = Pair(terminator, .init(lowest: TLS1_2_VERSION, highest: TLS1_2_VERSION))
            old.settle()
            #expect(old.result == .refused)
            let new = Pair(terminator)
            new.settle()
            #expect(!new.server.isOpening)
        }

        @Test func aHandshakeHasABoundInBytes() {
            // A hello that announces 100,000 bytes, in records of 16,000.
            var bytes: [UInt8] = [1, 1, 0x86, 0xa0, 3, 3] + [UInt8](repeating: 7, count: 32) + [0]
            bytes += [UInt8](repeating: 0, count: 99_900)
            let pair = Pair(terminator)
            var sent = 0
            while !bytes.isEmpty, pair.result == .drained(0) {
                let part = bytes.prefix(16_000)
                bytes.removeFirst(part.count)
                pair.send([22, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 255)] + part)
                sent += part.count + 5
                pair.serve()
            }
            #expect(pair.result == .refused)
            #expect(sent <= TLSStream.maxHandshakeBytes + 16_005)
        }

        @Test func aConnectionThatIsSilentHasNoSession() {
            let before = Pair.pool.outstandingBytes
            let pair = Pair(terminator)
            #expect(pair.server.isOpening && !pair.server.hasUnsent && !pair.server.isMidRecord)
            #expect(Pair.pool.outstandingBytes == before)
            pair.server.finish()
            #expect(!pair.server.hasUnsent)
        }
    }
}

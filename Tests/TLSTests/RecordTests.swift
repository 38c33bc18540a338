import ByteBuffers
import COpenSSL
import Glibc
import Testing

@testable import TLS
@testable import Transport

extension TLSTests {
    @Suite struct RecordTests {
        private let terminator = try! TLSTerminator(.test())

        private func open(_ version: Int32 = TLS1_3_VERSION) -> Pair {
            let pair = Pair(terminator, .init(lowest: version, highest: version))
            pair.settle()
            precondition(!pair.server.isOpening)
            return pair
        }

        @Test func outputLeavesInBoundedRecords() {
            for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
                let pair = open(version)
                pair.wire.state.withLock { ($0.toClient, $0.sends) = ([], 0) }
                pair.write(pattern(1_000_000))
                let (bytes, sends) = pair.wire.state.withLock { ($0.toClient, $0.sends) }
                let found = records(bytes)
                #expect(found?.allSatisfy { $0.type == 23 && $0.count <= 16_384 } == true)
                // Sixty-two full records and a rest, four to a call.
                #expect(found?.count == 63)
                #expect(sends == 16)
            }
        }

        @Test func aSocketThatTakesLittleGetsEverything() {
            let pair = open()
            pair.wire.state.withLock { $0.most = 37 }
            pair.write(pattern(100_000))
            pair.wire.state.withLock { $0.most = .max }
            pair.deliver()
            _ = pair.client.step()
            #expect(pair.client.received == pattern(100_000))
        }

        @Test func aSocketThatTakesNothingBoundsWhatIsSealed() {
            let before = Pair.pool.outstandingBytes
            let pair = open()
            pair.wire.state.withLock { $0.isBlocked = true }
            let room = pair.server.room
            #expect(room == 4 * TLSStream.largestRecord)
            #expect(pattern(room).withUnsafeBytes { pair.server.seal($0) })
            #expect(pair.server.room == 0)
            #expect(pair.server.flush(to: 7) == .wouldBlock)
            #expect(Pair.pool.outstandingBytes - before == 64 << 10)
            pair.wire.state.withLock { $0.isBlocked = false }
            pair.flush()
            #expect(Pair.pool.outstandingBytes == before)
            pair.deliver()
            _ = pair.client.step()
            #expect(pair.client.received == pattern(room))
        }

        @Test func smallRequestsTakeOneCallEach() {
            let pair = open()
            for _ in 0..<10 {
                pair.client.write(pattern(200))
                pair.send(pair.client.takeOutput())
                pair.wire.state.withLock { $0.receives = 0 }
                pair.serve()
                #expect(pair.wire.state.withLock { $0.receives } == 1)
            }
        }

        /// Records of 16 KB, and of 1 KiB, from which libssl would take its buffer a hundred times.
        @Test(arguments: [16_000, 1_041, 27])
        func muchIsReadInLargePieces(size: Int) {
            let before = Pair.pool.outstandingBytes
            for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
                let pair = open(version)
                let bytes = pattern(400_000)
                for start in stride(from: 0, to: bytes.count, by: size) {
                    pair.client.write(Array(bytes[start..<min(start + size, bytes.count)]))
                }
                let records = pair.client.takeOutput()
                pair.send(records)
                pair.wire.state.withLock { $0.receives = 0 }
                pair.serve(room: 1 << 20)
                #expect(pair.received == bytes)
                // The first call of `receive` has not known, and costs at most `maxCost`: four of libssl's buffers, each by two of the socket,
                // for what a record lacks is asked for alone. Behind it each brings a chunk, and a last one may find nothing.
                let calls = pair.wire.state.withLock { $0.receives }
                let chunks = (records.count + TLSStream.stagedChunk - 1) / TLSStream.stagedChunk
                #expect(calls <= 9 + chunks, "\(calls) calls")
                #expect(Pair.pool.outstandingBytes == before && pair.server.memory == 0)
                // Small requests are what they were.
                pair.client.write(pattern(200))
                pair.send(pair.client.takeOutput())
                pair.serve()
                for _ in 0..<3 {
                    pair.client.write(pattern(200))
                    pair.send(pair.client.takeOutput())
                    pair.wire.state.withLock { $0.receives = 0 }
                    pair.serve()
                    #expect(pair.wire.state.withLock { $0.receives } == 1)
                }
                #expect(pair.received == bytes + pattern(200) + pattern(200) + pattern(200) + pattern(200))
            }
        }

        @Test func whatWasReadAndNotOpenedIsCounted() {
            let before = Pair.pool.outstandingBytes
            let pair = open()
            let bytes = pattern(300_000)
            pair.client.write(bytes)
            pair.send(pair.client.takeOutput())
            var parts: [UInt8] = []
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 40_000, alignment: 16)
            defer { buffer.deallocate() }
            var mostHeld = 0
            while parts.count < bytes.count {
                switch pair.server.receive(into: buffer, from: 7, expectsEnd: false) {
                case .bytes(let count), .more(let count), .drained(let count): parts += buffer[..<count]
                default: Issue.record("the stream has ended")
                }
                mostHeld = max(mostHeld, pair.server.memory)
                #expect(Pair.pool.outstandingBytes - before == pair.server.memory)
            }
            #expect(parts == bytes)
            #expect(mostHeld == TLSStream.stagedChunk)
            #expect(pair.server.memory == 0)
        }

        @Test func roomsOfAnySizeAreFilled() {
            let pair = open()
            let bytes = pattern(900_000)
            pair.client.write(bytes)
            pair.send(pair.client.takeOutput())
            var parts: [UInt8] = []
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 100_000, alignment: 16)
            defer { buffer.deallocate() }
            var rooms = [100_000, 100_000, 1, 40_000, 3_000, 20_000, TLSStream.leastStagedRoom, 5]
            var calls = 0
            while parts.count < bytes.count, calls < 1_000 {
                calls += 1
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<rooms[0]])
                rooms.append(rooms.removeFirst())
                switch pair.server.receive(into: room, from: 7, expectsEnd: false) {
                case .bytes(let count), .more(let count), .drained(let count): parts += room[..<count]
                default: Issue.record("the stream has ended")
                }
            }
            #expect(parts == bytes)
            // Little room is for little at once.
            pair.client.write(pattern(200_000))
            pair.send(pair.client.takeOutput())
            pair.serve(room: TLSStream.leastStagedRoom - 1)
            #expect(pair.received == pattern(200_000))
            #expect(pair.server.memory == 0)
        }

        @Test func recordsThatComeInPiecesAreOpenedWhenTheyAreWhole() {
            let pair = open()
            let bytes = pattern(200_000)
            pair.client.write(bytes)
            var records = pair.client.takeOutput()[...]
            // Much at first, then pieces that end anywhere, amid headers too.
            var size = 100_000
            while !records.isEmpty {
                pair.send(Array(records.prefix(size)))
                records = records.dropFirst(size)
                pair.serve()
                size = size > 50_000 ? 20_003 : (size == 20_003 ? 2 : 20_003)
            }
            #expect(pair.received == bytes)
            #expect(!pair.server.isMidRecord && pair.server.memory == 0)
        }

        @Test func aDamagedRecordBehindMuchIsRefused() {
            let before = Pair.pool.outstandingBytes
            let pair = open()
            pair.client.write(pattern(200_000))
            var records = pair.client.takeOutput()
            records[150_000] ^= 1
            pair.send(records)
            pair.serve()
            #expect(pair.result == .refused)
            #expect(pair.server.memory == pair.server.unsent?.capacity ?? 0)
            pair.flush()
            #expect(Pair.pool.outstandingBytes == before)
        }

        @Test func anAnnouncedEndIsReadFor() {
            let pair = open()
            pair.client.write(pattern(10))
            pair.send(pair.client.takeOutput())
            pair.wire.state.withLock { $0.isFinished = true }
            pair.serve()
            #expect(pair.received == pattern(10))
            #expect(pair.result == .end)
        }

        @Test func aRecordWithoutItsEndIsKnown() {
            let pair = open()
            pair.client.write(pattern(100))
            let record = pair.client.takeOutput()
            #expect(!pair.server.isMidRecord)
            for count in [1, 4, 5, 6, record.count - 1] {
                let pair = open()
                pair.client.write(pattern(100))
                pair.send(Array(pair.client.takeOutput()[..<count]))
                pair.serve()
                #expect(pair.server.isMidRecord, "\(count) bytes")
                #expect(pair.received == [])
                pair.wire.state.withLock { $0.isFinished = true }
                pair.serve()
                #expect(pair.result == .end)
            }
        }

        @Test func garbageAfterTheHandshakeIsRefusedWithAnAlert() {
            for garbage in [pattern(50), [23, 3, 3, 0, 40] + pattern(40), [23, 3, 3, 0xff, 0xff] + pattern(200), [0]] {
                let pair = open()
                pair.client.write([1, 2, 3])
                pair.send(pair.client.takeOutput() + garbage + [UInt8](repeating: 1, count: 20))
                pair.serve()
                // What came right before goes with it: a reply could not be sealed any more.
                #expect(pair.received == [])
                #expect(pair.result == .refused)
                #expect(pair.server.hasFailed && pair.server.room == 0)
                pair.deliver()
                _ = pair.client.step()
                #expect(pair.client.failure != nil)
            }
        }

        /// A yes to the kernel's TLS would leave encryption to a kernel that knows nothing of it, and plain text would go out.
        @Test func theRecordLayerSaysNoToWhatItDoesNotKnow() {
            let layer = BIO_new(TLSStream.recordMethod)
            defer { BIO_free(layer) }
            for command in 1..<200 as Range<Int32> {
                #expect(BIO_ctrl(layer, command, 0, nil) == (command == BIO_CTRL_FLUSH ? 1 : 0), "\(command)")
            }
        }

        /// The same with the option for it set: all that leaves is records, and the client reads them.
        @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
        func withTheKernelsTLSAskedForNoPlainTextLeaves(version: Int32) {
            let pair = Pair(terminator, .init(lowest: version, highest: version))
            let hello = pair.client.step()
            // The session is made when the first byte is read.
            pair.send([hello[0]])
            pair.serve()
            millrace_tls_ask_the_kernel(pair.session)
            pair.send(Array(hello.dropFirst()))
            pair.serve()
            pair.deliver()
            pair.settle()
            #expect(!pair.server.isOpening)
            pair.write(pattern(40_000))
            let sent = pair.wire.state.withLock { $0.toClient }
            #expect(records(sent)?.allSatisfy { $0.type == 23 } == true)
            pair.deliver()
            _ = pair.client.step()
            #expect(pair.client.received == pattern(40_000))
        }

        @Test func newKeysAreTaken() {
            let pair = open()
            for round in 0..<40 {
                SSL_key_update(pair.client.session, SSL_KEY_UPDATE_REQUESTED)
                pair.client.write([UInt8](repeating: UInt8(round), count: TLSStream.bytesPerKeyUpdate))
                pair.settle()
                pair.write([UInt8(round)])
                pair.deliver()
                _ = pair.client.step()
            }
            #expect(pair.received == (0..<40).flatMap { [UInt8](repeating: $0, count: TLSStream.bytesPerKeyUpdate) })
            #expect(pair.client.received == Array(0..<40))
        }

        @Test func newKeysWithoutDataHaveABound() {
            let pair = open()
            var rounds = 0
            while rounds < 100, pair.result == .drained(0) {
                SSL_key_update(pair.client.session, SSL_KEY_UPDATE_NOT_REQUESTED)
                SSL_do_handshake(pair.client.session)
                pair.send(pair.client.takeOutput())
                pair.serve()
                rounds += 1
            }
            #expect(pair.result == .refused)
            #expect(rounds <= TLSStream.maxKeyUpdates + 2)
        }

        @Test func aClientsRenegotiationIsRefused() {
            let pair = open(TLS1_2_VERSION)
            SSL_renegotiate(pair.client.session)
            SSL_do_handshake(pair.client.session)
            pair.send(pair.client.takeOutput())
            pair.serve()
            #expect(pair.result == .refused)
            #expect(pair.server.problem == "renegotiation")
            pair.deliver()
            _ = pair.client.step()
            #expect(pair.client.failure == "no renegotiation")
        }

        @Test func eachSideEndsByItself() {
            for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
                let pair = open(version)
                pair.client.write([5])
                SSL_shutdown(pair.client.session)
                pair.send(pair.client.takeOutput())
                pair.serve()
                #expect(pair.received == [5])
                #expect(pair.result == .end)
                pair.write(pattern(5_000))
                pair.server.finish()
                pair.server.finish()
                pair.flush()
                #expect(pair.server.room == 0)
                pair.deliver()
                _ = pair.client.step()
                #expect(pair.client.received == pattern(5_000))
                #expect(pair.client.hasEnded)
            }
        }

        @Test func repliesLeaveBehindAnEndWithoutFarewell() {
            let pair = open()
            pair.client.write([5])
            pair.send(pair.client.takeOutput())
            pair.wire.state.withLock { $0.isFinished = true }
            pair.serve()
            #expect(pair.result == .end)
            pair.write([6])
            pair.server.finish()
            pair.flush()
            pair.deliver()
            _ = pair.client.step()
            #expect(pair.client.received == [6])
            #expect(pair.client.hasEnded)
        }
    }
}

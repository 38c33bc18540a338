import ByteBuffers
import Glibc

@testable import Transport

/// Not a cipher: enough to see that every byte passes through, in small pieces, with a handshake of one byte before.
final class Masking: StreamTransform {
    /// What the test wants of it, and what it saw.
    struct Script {
        var handshakeWork: Int64 = 0
        /// Whether the handshake never ends.
        var stalls = false
        /// Whether what comes is refused.
        var refuses = false
        /// Whether it has failed although what came was given out.
        var fails = false
        /// What each receive costs; 0: what it gives.
        var cost = 0
        /// How many receives each turn had.
        var receives: [Int64: Int] = [:]
        /// Whether the farewell, or anything, finds a full socket.
        var blocksFarewell = false
        var blocksSending = false
        /// Whether there is never room.
        var takesNothing = false
        var isMidRecord = false
        var peerEndsAt: Int64?
        var peerReviewSeconds: Int64 = 86_400
        var handshakes = 0
        var records: [Int] = []
        var farewells = 0
        /// For each turn in which a handshake was worked on, how many were.
        var turns: [Int64: Int] = [:]
    }

    let script: Lock<Script>
    unowned let loop: EventLoop
    var isOpening: Bool
    var unsent: [UInt8] = []
    var problem: String { "the test wants it" }
    var hasFailed: Bool { script.withLock { $0.fails } }
    private(set) var cost = 0
    var memory: Int { unsent.count }
    var hasUnsent: Bool { !unsent.isEmpty }
    var isMidRecord: Bool { script.withLock { $0.isMidRecord } }
    var peerEndsAt: Int64? { script.withLock { $0.peerEndsAt } }
    var peerReviewSeconds: Int64 { script.withLock { $0.peerReviewSeconds } }
    var room: Int { script.withLock { $0.fails || $0.takesNothing } ? 0 : max(0, 2_800 - unsent.count) }
    var recordSize: Int { 700 }

    init(_ script: Lock<Script>, _ loop: EventLoop, hasHandshake: Bool = false) {
        self.script = script
        self.loop = loop
        isOpening = hasHandshake
    }

    func receive(
        into buffer: UnsafeMutableRawBufferPointer, from socket: Int32, expectsEnd: Bool
    ) -> StreamResult {
        let isHandshake = isOpening
        let count = recv(socket, buffer.baseAddress, isHandshake ? 1 : min(buffer.count, 1000), 0)
        if count == 0 { return .end }
        if count < 0 { return errno == EAGAIN ? .drained(0) : .failed(errno: errno) }
        for index in 0..<count { buffer[index] ^= 0x5a }
        cost = script.withLock { script in
            script.receives[loop.now, default: 0] += 1
            return max(script.cost, count)
        }
        if script.withLock({ $0.refuses }) { return .refused }
        guard isHandshake else { return script.withLock { $0.cost > 0 } ? .more(count) : .bytes(count) }
        let (work, stalls) = script.withLock { script in
            script.handshakes += 1
            script.turns[loop.now, default: 0] += 1
            return (script.handshakeWork, script.stalls)
        }
        let end = EventLoop.clock() + work
        while EventLoop.clock() < end {}
        if !stalls {
            isOpening = false
            unsent.append(buffer[0] ^ 0x5a)
        }
        return .drained(0)
    }

    func seal(_ bytes: UnsafeRawBufferPointer) -> Bool {
        script.withLock { $0.records.append(bytes.count) }
        unsent += bytes.map { $0 ^ 0x5a }
        return true
    }

    func flush(to socket: Int32) -> FlushResult {
        if script.withLock({ $0.blocksSending || hasFinished && $0.blocksFarewell }) { return .wouldBlock }
        let count = Glibc.send(socket, unsent, unsent.count, Int32(MSG_NOSIGNAL))
        if count < 0 { return errno == EAGAIN ? .wouldBlock : .failed(errno: errno) }
        unsent.removeFirst(count)
        return .sent
    }

    private var hasFinished = false

    func finish() {
        if hasFinished { return }
        hasFinished = true
        script.withLock { $0.farewells += 1 }
        if !isOpening { unsent.append(0x5a) }
    }
}

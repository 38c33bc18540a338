import BrokerCore
import ByteBuffers
import HTTPWire
import RecordFormat
import Transport

/// How a body may be packed (`Content-Encoding`): one coding, never several around each other. Source: RFC 9110, 8.4.1.
enum BodyCoding {
    case gzip, zstd

    /// nil: it is not unpacked here.
    init?(_ value: UnsafeRawBufferPointer) {
        if RequestHead.equals(value, "gzip") || RequestHead.equals(value, "x-gzip") {
            self = .gzip
        } else if RequestHead.equals(value, "zstd") {
            self = .zstd
        } else {
            return nil
        }
    }

    var codec: Compression { self == .gzip ? .gzip : .zstd }

    /// For `Accept-Encoding`.
    static let names: StaticString = "gzip, zstd, identity"

    /// A body may come to this many times its size. JSON lines that repeat themselves reach 30.
    static let maxRatio = 100
    /// Up to here nobody asks for the ratio: small bodies of zeros are no attack.
    static let ratioFreeBytes = 1 << 20
    /// The window that a decoder of zstd must have room for. Source: RFC 9659.
    static let maxWindowBytes = 8 << 20

    /// Bytes that a body of `packed` bytes may come to where the route takes `most`.
    static func limit(packed: Int, most: Int) -> Int { min(most, max(ratioFreeBytes, packed * maxRatio)) }

    /// The coding of a body that begins as those of no other form do; nil: it does not.
    init?(of body: UnsafeRawBufferPointer) {
        if body.starts(with: [0x1f, 0x8b]) {
            self = .gzip
        } else if body.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
            self = .zstd
        } else {
            return nil
        }
    }

    /// Unpacks all of `body`, or says why not.
    func unpack(
        _ body: UnsafeRawBufferPointer, into out: inout ByteWriter, limit: Int, _ context: CompressionContext
    ) -> CompressionError? {
        if self == .zstd, let window = ZstdFrame.windowBytes(of: body), window > Self.maxWindowBytes {
            return .corrupt(.zstd)
        }
        do throws(CompressionError) {
            try context.decompress(codec, body, into: &out, outputLimit: limit)
            return nil
        } catch {
            return error
        }
    }

    /// - Parameters:
    ///   - limit: bytes that the body may have come to.
    ///   - most: those that the route takes.
    static func problem(_ error: CompressionError, limit: Int, most: Int) -> Problem {
        if case .outputLimit = error {
            let words =
                limit < most
                ? "That is more than \(maxRatio) times its size: send it unpacked."
                : "The route takes no more: send it in smaller parts."
            return Problem(
                .bodyTooLarge, "The body comes to more than \(limit) bytes when it is unpacked. \(words)", limit: limit)
        }
        return undecodable(error)
    }

    /// What is wrong with a body that is none of its coding.
    static func undecodable(_ error: CompressionError) -> Problem {
        if case .corrupt(.zstd) = error {
            return Problem(
                .undecodable,
                "The body is not whole in the Content-Encoding that it names, has more behind it, or needs a window of more than "
                    + "\(maxWindowBytes >> 20) MiB.")
        }
        return Problem(
            .undecodable, "The body is not whole in the Content-Encoding that it names, or has more behind it.")
    }
}

/// What the header of a zstd frame says. Source: RFC 8878, 3.1.1.1.
enum ZstdFrame {
    /// The window that its decoder needs; nil: it is no frame, or says its whole size instead.
    static func windowBytes(of bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= 6, bytes.loadUnaligned(as: UInt32.self).littleEndian == 0xfd2f_b528 else { return nil }
        // Single_Segment_flag: no window descriptor follows.
        if bytes[4] & 0x20 != 0 { return nil }
        let base = 1 << (10 + Int(bytes[5] >> 3))
        return base + base / 8 * Int(bytes[5] & 7)
    }
}

/// The unpacking of a body that may take longer than a loop should wait: on the broker's workers.
final class UnpackWork: ExchangeWork, @unchecked Sendable {
    // SAFETY: what changes is with one thread at a time: with the worker until it calls `done`, then with the loop.

    private let broker: Broker
    private let budget: InflightBudget
    private let coding: BodyCoding
    private let limit: Int
    /// Bytes that the route takes.
    private let most: Int
    /// What is longer than the limit may be taken in windows.
    private let becomesWindows: Bool
    private let pool: ChunkPool
    private var packed: ByteSlice?
    private var result: Result<ByteSlice, Problem> = .failure(UnpackWork.overloaded)
    private var isTooLong = false
    private var reservation: HandedReservation?
    private let end = WaitEnd()

    init(_ coding: BodyCoding, limit: Int, most: Int, becomesWindows: Bool, _ gateway: Gateway, _ pool: ChunkPool) {
        broker = gateway.broker
        budget = gateway.inflight
        self.coding = coding
        self.limit = limit
        self.most = most
        self.becomesWindows = becomesWindows
        self.pool = pool
    }

    func begin(_ exchange: Exchange, for peer: PeerKey, _ done: @escaping @Sendable () -> Void) -> Bool {
        guard let body = exchange.body else { preconditionFailure("nothing to unpack") }
        let reservation = HandedReservation(of: exchange, for: peer, budget)
        self.reservation = reservation
        if becomesWindows { packed = body }
        // What it is unpacked to takes its place, and what is reserved for it.
        return broker.workers.submit { [self] in
            if end.isCancelled { return }
            result = unpack(body.bytes, reservation)
            done()
        }
    }

    func cancel() { end.cancel() }

    private func unpack(
        _ body: UnsafeRawBufferPointer, _ reservation: HandedReservation
    ) -> Result<ByteSlice, Problem> {
        var out = ByteWriter(capacity: min(limit, 4 * body.count))
        if let error = coding.unpack(body, into: &out, limit: limit, CompressionContext()) {
            if case .outputLimit = error { isTooLong = true }
            return .failure(BodyCoding.problem(error, limit: limit, most: most))
        }
        // Until here the number of workers bounds what is more than the packed body; what waits for its loop is counted.
        if !reservation.grow(by: max(0, out.count - body.count)) { return .failure(Self.overloaded) }
        return .success(pool.slice(copying: out.bytes))
    }

    private static var overloaded: Problem {
        Problem(.overloaded, "Too many bodies are being unpacked at the moment.", retryAfter: 1)
    }

    func refuse() {}

    func handOver(to exchange: Exchange) {
        reservation?.handBack(to: exchange)
        if case .success(let body) = result { exchange.body = body }
    }

    func resume(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        switch result {
        case .failure where isTooLong && becomesWindows:
            switch loop.windows(seed: packed) {
            case .success(let body): return .suspended(.windows(body))
            case .failure(let problem): loop.answer(problem, instance: loop.head.path)
            }
            return .answered
        case .failure(let problem):
            loop.answer(problem, instance: loop.head.path)
            return .answered
        case .success: return loop.perform(body)
        }
    }

    var lateProblem: Problem {
        Problem(.overloaded, "The body was not unpacked in time; nothing of the request is stored.", retryAfter: 1)
    }
}

extension GatewayLoop {
    /// What of the body of the request at hand is kept while it waits for `work`: what its endpoint has, or what is to be unpacked.
    func kept(_ body: UnsafeRawBufferPointer, for work: any ExchangeWork) -> UnsafeRawBufferPointer {
        coding == nil || body.isEmpty || work is UnpackWork ? body : unpacked.bytes
    }

    private var coding: BodyCoding? { head[.contentEncoding].flatMap { BodyCoding($0) } }

    /// A body is unpacked by the loop up to this many bytes, packed and unpacked: a tenth of a millisecond.
    private static let unpackedInline = 64 << 10

    /// Unpacks the body of the request at hand and handles it; one that is long is unpacked by a worker.
    func handlePacked(_ body: UnsafeRawBufferPointer) -> Completion? {
        guard let coding, !body.isEmpty else { return nil }
        let most = routeRow.pointee.maxBodyBytes
        let limit = BodyCoding.limit(packed: body.count, most: most)
        let becomesWindows = limit == most && takesWindows
        unpacked.removeAll()
        let inline = min(limit, Self.unpackedInline)
        if body.count <= Self.unpackedInline {
            guard let error = coding.unpack(body, into: &unpacked, limit: inline, compression) else {
                return perform(unpacked.bytes)
            }
            guard case .outputLimit = error, inline < limit || becomesWindows else {
                answer(BodyCoding.problem(error, limit: limit, most: most), instance: head.path)
                return .answered
            }
        }
        return .suspended(
            .work(UnpackWork(coding, limit: limit, most: most, becomesWindows: becomesWindows, gateway, pool)))
    }
}

import ByteBuffers
import Security

/// 128 bits of a SHA-256: of what a key is valid for and the key itself, or of a body.
struct ShortDigest: Hashable {
    let high: UInt64
    let low: UInt64

    static let textLength = 32

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    init(of bytes: some Collection<UInt8>) {
        let hash = HashAlgorithm.sha256.hash(bytes)
        self = hash.withUnsafeBytes { hash in
            ShortDigest(
                high: UInt64(bigEndian: hash.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: hash.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    /// Reads 32 digits of base 16.
    init?(text: UnsafeRawBufferPointer) {
        guard text.count == Self.textLength else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for (place, digit) in text.enumerated() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            if place < 16 { words.0 = words.0 << 4 | UInt64(value) } else { words.1 = words.1 << 4 | UInt64(value) }
        }
        (high, low) = words
    }

    func write(into out: inout ByteWriter) {
        for word in [high, low] {
            for digit in 0..<16 {
                let value = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * digit) & 0xf)
                out.integer(value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10)
            }
        }
    }
}

/// The key of one event among others, and what it is the key of.
struct EventDigests: Equatable {
    let key: ShortDigest
    let fingerprint: ShortDigest

    /// Events with keys of one request: their line in the log of requests is 400 KB.
    static let most = 10_000
    /// Of them, those that are asked for, or remembered, while the table is held: 50 us.
    static let atOnce = 256
}

/// Where an event is that was stored before.
struct StoredPlace: Equatable {
    let partitionIndex: Int32
    let offset: Int64
    /// Milliseconds since 1970.
    let timeMs: Int64
}

/// In whose share of the table a key counts: half of the digest of a principal's name, or, of who has none, of an address.
struct KeyOwner: Hashable {
    let digest: UInt64

    /// Of a request that was stored before owners were, or found by its mark alone.
    static let nobody = KeyOwner(digest: 0)

    init(digest: UInt64) { self.digest = digest }

    init(named name: some Collection<UInt8>) { digest = max(1, ShortDigest(of: name).high) }
}

/// Where the key of a request comes from.
enum IdempotencySource: Sendable, Equatable {
    /// A field of its head, by name in lower case.
    case field(String)
    /// Values within an event, taken together.
    case pointers([JSONPointer])
    /// `source` and `id` of a CloudEvent.
    case cloudEvent
    /// What is signed of it: the same for each repeat, whoever sends it.
    case signature

    static let usual = IdempotencySource.field("idempotency-key")

    var isOfContent: Bool {
        switch self {
        case .pointers, .cloudEvent: true
        case .field, .signature: false
        }
    }

    /// Where a sender puts it, in words for him.
    var place: String {
        switch self {
        case .field(let name): "the header field \(name)"
        case .pointers(let pointers): pointers.map(\.text).joined(separator: " and ") + " of the event"
        case .cloudEvent: "source and id of the CloudEvent"
        case .signature: "what the sender has signed"
        }
    }
}

/// What a configured route says of keys.
struct IdempotencyRule: Sendable, Equatable {
    var source = IdempotencySource.usual
    /// A request without a key is refused.
    var isRequired = false

    /// Pointers of one rule.
    static let maxPointers = 8
}

/// Takes the framing off a chunked body (RFC 9112, 7.1), in whatever pieces it arrives.
///
///     size [ext] CRLF  data  CRLF   ...   0 [ext] CRLF  trailers  CRLF
///     ─size──ext──lf──►data─►cr─►lf─►size        └──────►trailerLine…──►finalLF
///
/// Extensions and trailers are checked, counted and dropped. A failure is final: the connection must be closed.
public struct ChunkedDecoder: Sendable {
    public enum Event: Equatable, Sendable {
        /// All of the input is used; the body has not ended.
        case needMore
        /// The bytes of the input in this range belong to the body.
        case data(Range<Int>)
        /// The body has ended; the position is behind its last byte.
        case end
        case failure(HTTPFailure)
    }

    private enum State: Sendable {
        case sizeStart, size, chunkExtension, sizeLF, data, dataCR, dataLF
        case trailerStart, trailerName, trailerValue, trailerLF, finalLF, done
    }

    /// Body bytes after which the body is refused.
    public let maxBody: Int
    private let limits: HTTPLimits
    private var state = State.sizeStart
    /// What is left of the chunk; within a size line, the size so far.
    private var remaining = 0
    private var sizeDigits = 0
    private var chunks = 0
    private var extensionBytes = 0
    private var allExtensionBytes = 0
    private var trailerBytes = 0
    private var trailerFields = 0
    /// Body bytes announced so far, by the sizes of all chunks.
    public private(set) var bodyBytes = 0

    public init(maxBody: Int, limits: HTTPLimits = HTTPLimits()) {
        self.maxBody = maxBody
        self.limits = limits
    }

    /// Counts chunks and their extensions anew: for a body that has no longest length, whose reader bounds its work in another way.
    public mutating func forgetChunks() { (chunks, allExtensionBytes) = (0, 0) }

    /// Returns the next event in `bytes` from `position` on, which moves behind what was used.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Event {
        while position < bytes.count {
            if state == .data {
                let count = min(remaining, bytes.count - position)
                let range = position..<position + count
                position += count
                remaining -= count
                if remaining == 0 { state = .dataCR }
                return .data(range)
            }
            let byte = bytes[position]
            position += 1
            if let failure = step(byte) { return .failure(failure) }
            if state == .done { return .end }
        }
        return state == .done ? .end : .needMore
    }

    private mutating func step(_ byte: UInt8) -> HTTPFailure? {
        switch state {
        case .sizeStart, .size: return stepSize(byte)
        case .chunkExtension:
            if byte == UInt8(ascii: "\r") {
                state = .sizeLF
                return nil
            }
            guard byte >= 0x20 && byte != 0x7f || byte == 0x09 else { return .badChunk }
            extensionBytes += 1
            allExtensionBytes += 1
            return extensionBytes > limits.chunkExtension || allExtensionBytes > limits.chunkExtensions
                ? .chunkExtensionTooLong : nil
        case .sizeLF:
            guard byte == UInt8(ascii: "\n") else { return .badChunk }
            return beginChunk()
        case .dataCR:
            guard byte == UInt8(ascii: "\r") else { return .badChunk }
            state = .dataLF
        case .dataLF:
            guard byte == UInt8(ascii: "\n") else { return .badChunk }
            state = .sizeStart
        case .trailerStart, .trailerName, .trailerValue, .trailerLF, .finalLF: return stepTrailer(byte)
        case .data, .done: preconditionFailure("no byte is stepped through in \(state)")
        }
        return nil
    }

    private mutating func stepSize(_ byte: UInt8) -> HTTPFailure? {
        let digit: UInt8? =
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
            default: nil
            }
        if let digit {
            if state == .sizeStart { (remaining, sizeDigits) = (0, 0) }
            state = .size
            // Eight digits are 4 GiB: far above any limit here, and no shift below can overflow. Leading zeros count,
            // or a size line could be endless.
            sizeDigits += 1
            guard sizeDigits <= 8 else { return .badChunk }
            remaining = remaining << 4 | Int(digit)
            return nil
        }
        guard state == .size else { return .badChunk }
        switch byte {
        case UInt8(ascii: "\r"): state = .sizeLF
        case UInt8(ascii: ";"):
            state = .chunkExtension
            extensionBytes = 0
        default: return .badChunk
        }
        return nil
    }

    private mutating func beginChunk() -> HTTPFailure? {
        if remaining == 0 {
            state = .trailerStart
            return nil
        }
        chunks += 1
        if chunks > limits.chunks { return .tooManyChunks }
        // By the announced size: a body over the limit is refused before it is sent.
        bodyBytes += remaining
        if bodyBytes > maxBody { return .bodyTooLarge }
        state = .data
        return nil
    }

    private mutating func stepTrailer(_ byte: UInt8) -> HTTPFailure? {
        trailerBytes += 1
        if trailerBytes > limits.trailers { return .trailersTooLong }
        switch state {
        case .trailerStart:
            if byte == UInt8(ascii: "\r") {
                state = .finalLF
                return nil
            }
            trailerFields += 1
            if trailerFields > limits.trailerFields { return .trailersTooLong }
            guard ByteScan.isTokenByte(byte) else { return .badTrailer }
            state = .trailerName
        case .trailerName:
            if byte == UInt8(ascii: ":") {
                state = .trailerValue
            } else if !ByteScan.isTokenByte(byte) {
                return .badTrailer
            }
        case .trailerValue:
            if byte == UInt8(ascii: "\r") {
                state = .trailerLF
            } else if byte < 0x20 && byte != 0x09 || byte == 0x7f {
                return .badTrailer
            }
        case .trailerLF:
            guard byte == UInt8(ascii: "\n") else { return .badTrailer }
            state = .trailerStart
        default:
            guard byte == UInt8(ascii: "\n") else { return .badTrailer }
            state = .done
        }
        return nil
    }
}

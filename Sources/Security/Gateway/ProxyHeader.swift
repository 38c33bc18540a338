/// The binary header that a proxy puts before a connection's first byte, to say whose connection it is.
///
/// ```
///  0            12     13       14      16
///  ┌────────────┬──────┬────────┬───────┬───────────────────────┬───────┐
///  │ signature  │ 2│cmd│fam│prot│ length│ source, dest, 2 ports │ TLVs… │
///  └────────────┴──────┴────────┴───────┴───────────────────────┴───────┘
/// ```
///
/// Read only where the listener requires it, from trusted addresses, before TLS; never guessed. Version 1, the text
/// form, is refused. Source: the PROXY protocol's specification, version 2, sections 2.2 to 2.2.3.
public enum ProxyHeader {
    /// Of what follows the first 16 bytes. Proxies send 12 to 36 and some hundred of TLVs; a longer header closes.
    public static let maxPayloadBytes = 2_048
    /// A proxy has this long to send it.
    public static let maxWait: Duration = .seconds(3)
    public static let prefixBytes = 16
    static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    public enum Outcome: Hashable, Sendable {
        case incomplete
        /// `source` nil: the socket's own address counts (LOCAL, or a family without addresses).
        case complete(length: Int, source: NetworkAddress?)
        case failure(Failure)
    }

    public enum Failure: String, Hashable, Sendable, CaseIterable {
        case noSignature, version, command, family, tooLong, tooShort, badTLV, badChecksum
    }

    /// When a connection that was accepted at `time` closes if its header is not complete.
    public static func deadline(acceptedAt time: MonotonicTime) -> MonotonicTime { time + maxWait }

    /// Looks at the first bytes of a connection; a wrong one is found as soon as it is there.
    public static func parse(_ bytes: some Collection<UInt8>) -> Outcome {
        let head = Array(bytes.prefix(prefixBytes + maxPayloadBytes))
        guard signature.starts(with: head.prefix(signature.count)) else { return .failure(.noSignature) }
        guard head.count >= prefixBytes else { return .incomplete }
        guard head[12] >> 4 == 2 else { return .failure(.version) }
        guard head[12] & 15 <= 1 else { return .failure(.command) }
        let length = Int(head[14]) << 8 | Int(head[15])
        guard length <= maxPayloadBytes else { return .failure(.tooLong) }
        let end = prefixBytes + length
        // Nobody's connection but the proxy's own, or one whose family the proxy does not know: what follows is skipped.
        if head[12] & 15 == 0 || head[13] == 0 {
            return head.count >= end ? .complete(length: end, source: nil) : .incomplete
        }
        guard let addressBytes = addressBytes(family: head[13]) else { return .failure(.family) }
        guard length >= addressBytes else { return .failure(.tooShort) }
        guard head.count >= end else { return .incomplete }
        if let failure = problem(ofTLVsIn: head[..<end], from: prefixBytes + addressBytes) { return .failure(failure) }
        return .complete(length: end, source: source(in: head, family: head[13]))
    }

    /// Both addresses and ports; nil for all but streams: a datagram is no connection, and passed for the proxy's own it
    /// would give a client the proxy's rights.
    private static func addressBytes(family: UInt8) -> Int? {
        switch family {
        case 0x11: 12
        case 0x21: 36
        case 0x31: 216
        default: nil
        }
    }

    /// A Unix socket has no address: whoever is there is on the proxy's machine.
    private static func source(in head: [UInt8], family: UInt8) -> NetworkAddress? {
        switch family {
        case 0x11: NetworkAddress(v4: head[16..<20].reduce(0) { $0 << 8 | UInt32($1) })
        case 0x21: NetworkAddress(v6: head[16..<32])
        default: nil
        }
    }

    /// Type, two bytes of length, value, one after another to the end. The checksum covers the header with its own
    /// value as zeros.
    private static func problem(ofTLVsIn header: ArraySlice<UInt8>, from start: Int) -> Failure? {
        let checksumType: UInt8 = 0x03
        var at = start
        while at < header.endIndex {
            guard at + 3 <= header.endIndex else { return .badTLV }
            let length = Int(header[at + 1]) << 8 | Int(header[at + 2])
            let value = at + 3..<at + 3 + length
            guard value.upperBound <= header.endIndex else { return .badTLV }
            if header[at] == checksumType {
                guard length == 4 else { return .badTLV }
                var zeroed = Array(header)
                zeroed.replaceSubrange(value, with: [0, 0, 0, 0])
                guard CyclicCheck.crc32c.sum(zeroed) == header[value].reduce(0, { $0 << 8 | UInt32($1) }) else {
                    return .badChecksum
                }
            }
            at = value.upperBound
        }
        return nil
    }
}

import KafkaModel

/// Makes member ids: the client's (or instance's) id, a dash, and a random version-4 UUID, as Kafka's coordinator does.
struct MemberIDSource: Sendable {
    /// Of a longer client id only so many bytes, of whole characters, begin the member id. (Not so many of Swift's
    /// characters: a letter and all the accents that are put on it are one.)
    static let prefixLimit = 255
    /// Bytes of the longest id: a dash and a UUID.
    static let longest = prefixLimit + 37

    private var random: any RandomNumberGenerator & Sendable

    init(_ random: any RandomNumberGenerator & Sendable) { self.random = random }

    /// An id of a UUID alone, in Kafka's form of 22 letters.
    mutating func nextUUID() -> String {
        TopicID.random(using: &random).description
    }

    mutating func next(prefix: String) -> String {
        let high = (random.next() & 0xffff_ffff_ffff_0fff) | 0x4000
        let low = (random.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000
        var text: [UInt8] = []
        text.reserveCapacity(Self.longest)
        for scalar in prefix.unicodeScalars {
            let bytes = UTF8.encode(scalar)!
            guard text.count + bytes.count <= Self.prefixLimit else { break }
            text.append(contentsOf: bytes)
        }
        for digit in 0..<32 {
            if [0, 8, 12, 16, 20].contains(digit) { text.append(UInt8(ascii: "-")) }
            let word = digit < 16 ? high : low
            text.append(Self.digits[Int(word >> UInt64(60 - digit % 16 * 4) & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static let digits = Array("0123456789abcdef".utf8)
}

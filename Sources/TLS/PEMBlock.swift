internal import Security

/// One block of a PEM text (RFC 7468), as OpenSSL reads it: with a line of its own for each part, whatever white space it was written
/// with. Kafka takes a block on one line, and so do environment variables.
struct PEMBlock {
    let label: String
    /// From 1, for messages.
    let line: Int
    /// With its first and last line.
    var text: [UInt8]
    /// Has lines of its own before the base64, as keys that are encrypted in OpenSSL's old manner do.
    let hasHeaders: Bool

    var isKey: Bool { label.hasSuffix("PRIVATE KEY") }
    var isCertificate: Bool { label == "CERTIFICATE" }
    var isRevocationList: Bool { label == "X509 CRL" }
    var isEncrypted: Bool { label == "ENCRYPTED PRIVATE KEY" || hasHeaders && isKey }

    /// A text is at most so long: a chain of some certificates and a key have 10 KiB, a bundle of all public authorities 220.
    static let maxBytes = 512 << 10

    struct Failure: Error {
        let problem: String
    }

    /// All blocks of a text. What stands between them is overlooked, as by everybody.
    static func all(in text: [UInt8]) throws(Failure) -> [PEMBlock] {
        guard text.count <= maxBytes else { throw Failure(problem: "longer than \(maxBytes) bytes: not a PEM file") }
        var scanner = Scanner(text: text)
        var blocks: [PEMBlock] = []
        while let block = try scanner.next() { blocks.append(block) }
        return blocks
    }

    /// Leaves zeros.
    mutating func wipe() { Secret.wipe(&text) }

    private struct Scanner {
        let text: [UInt8]
        var at = 0
        var line = 1

        static let begin = Array("-----BEGIN ".utf8)
        static let dashes = Array("-----".utf8)

        mutating func next() throws(Failure) -> PEMBlock? {
            guard skip(to: Self.begin) else { return nil }
            let first = line
            at += Self.begin.count
            let labelStart = at
            guard skip(to: Self.dashes) else { throw Failure(problem: "line \(first): BEGIN without dashes behind it") }
            let label = String(decoding: text[labelStart..<at], as: UTF8.self)
            guard label.utf8.count < 64, label.utf8.allSatisfy(Self.isOfALabel) else {
                throw Failure(problem: "line \(first): no label behind BEGIN")
            }
            at += Self.dashes.count
            let bodyStart = at
            let end = Array("-----END \(label)-----".utf8)
            guard skip(to: end) else { throw Failure(problem: "line \(first): BEGIN \(label) without its END") }
            let body = text[bodyStart..<at]
            at += end.count
            return PEMBlock(
                label: label, line: first, text: Self.rewritten(label, body),
                hasHeaders: body.contains(UInt8(ascii: ":")))
        }

        /// Capitals, digits and blanks.
        private static func isOfALabel(_ byte: UInt8) -> Bool {
            byte == 0x20 || 0x30...0x39 ~= byte || 0x41...0x5a ~= byte
        }

        /// Moves to the next occurrence of `word` and counts lines; false: there is none.
        private mutating func skip(to word: [UInt8]) -> Bool {
            var place = at
            var lines = line
            while place + word.count <= text.count {
                if text[place] == word[0], text[place..<place + word.count].elementsEqual(word) {
                    (at, line) = (place, lines)
                    return true
                }
                if text[place] == 0x0a { lines += 1 }
                place += 1
            }
            return false
        }

        private static let lineLength = 64

        private static func rewritten(_ label: String, _ body: ArraySlice<UInt8>) -> [UInt8] {
            // All of its room at once: an array that grows leaves pieces of a key behind, which nobody wipes.
            var text: [UInt8] = []
            text.reserveCapacity(body.count + body.count / lineLength + 2 * (label.utf8.count + 20))
            text += "-----BEGIN \(label)-----\n".utf8
            if body.contains(UInt8(ascii: ":")) {
                text += body.drop { $0 <= 0x20 }
            } else {
                var column = 0
                for byte in body where byte > 0x20 {
                    text.append(byte)
                    column += 1
                    if column % lineLength == 0 { text.append(0x0a) }
                }
                if column % lineLength != 0 { text.append(0x0a) }
            }
            text += "-----END \(label)-----\n".utf8
            return text
        }
    }
}

import KafkaModel

/// The writing of names in SCRAM and OAUTHBEARER: a comma is `=2C`, an equals sign `=3D`. Source: RFC 5802, section
/// 5.1.
enum SaslName {
    /// Nil when it is empty, is no UTF-8, holds NUL, or an equals sign that begins neither of the two.
    static func decode<Bytes: Collection<UInt8>>(_ bytes: Bytes) -> ExactString? where Bytes.SubSequence == Bytes {
        guard !bytes.isEmpty else { return nil }
        var name: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            switch byte {
            case 0, UInt8(ascii: ","): return nil
            case UInt8(ascii: "="):
                if rest.starts(with: "2C".utf8) {
                    name.append(UInt8(ascii: ","))
                } else if rest.starts(with: "3D".utf8) {
                    name.append(UInt8(ascii: "="))
                } else {
                    return nil
                }
                rest = rest.dropFirst(2)
            default: name.append(byte)
            }
        }
        return String(validating: name, as: UTF8.self).map { ExactString($0) }
    }

    /// What stands before the message itself: `n,,`, or `n,a=name,`. Channel binding (`p=`) is not offered, so a client
    /// that could do it says `y`.
    struct Header<Bytes: Collection<UInt8>> where Bytes.SubSequence == Bytes {
        let authorizationID: ExactString?
        /// As received, both commas included: SCRAM's last message must repeat it.
        let bytes: Bytes

        init?(takenFrom message: inout Bytes) {
            guard let first = message.firstIndex(of: UInt8(ascii: ",")),
                let second = message[message.index(after: first)...].firstIndex(of: UInt8(ascii: ",")),
                message[..<first].elementsEqual("n".utf8) || message[..<first].elementsEqual("y".utf8)
            else { return nil }
            let authorization = message[message.index(after: first)..<second]
            if authorization.isEmpty {
                authorizationID = nil
            } else {
                guard authorization.starts(with: "a=".utf8), let name = SaslName.decode(authorization.dropFirst(2))
                else { return nil }
                authorizationID = name
            }
            bytes = message[...second]
            message = message[message.index(after: second)...]
        }
    }
}

import COpenSSL

/// The subject of a certificate as text, exactly as Java's `X500Principal.getName()` writes it (RFC 2253), for ACLs and
/// mapping rules are written against that.
///
/// OpenSSL's own RFC 2253 printer differs: it knows other short names, escapes UTF-8, and leaves out other escapes.
public enum DistinguishedName {
    /// A longer name is refused: rules run over it, and every ACL is compared with it.
    public static let maxBytes = 1_024

    /// Of a Name in DER; nil for one that cannot be read, has a value of a type that names do not have, or is too long.
    public static func text(ofName der: [UInt8]) -> String? {
        der.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let name = d2i_X509_NAME(nil, &cursor, bytes.count) else {
                ERR_clear_error()
                return nil
            }
            defer { X509_NAME_free(name) }
            guard cursor == bytes.baseAddress! + bytes.count else { return nil }
            return text(of: name)
        }
    }

    /// Of the subject of a certificate in DER.
    public static func text(ofSubjectOf der: [UInt8]) -> String? {
        der.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let certificate = d2i_X509(nil, &cursor, bytes.count) else {
                ERR_clear_error()
                return nil
            }
            defer { X509_free(certificate) }
            return X509_get_subject_name(certificate).flatMap { text(of: $0) }
        }
    }

    private static func text(of name: OpaquePointer) -> String? {
        // Relative names from the last to the first; the parts of one in the order in which they are encoded.
        var relative: [[String]] = []
        var last: Int32 = -1
        for index in 0..<X509_NAME_entry_count(name) {
            guard let entry = X509_NAME_get_entry(name, index), let part = part(of: entry) else { return nil }
            if X509_NAME_ENTRY_set(entry) == last {
                relative[relative.count - 1].append(part)
            } else {
                last = X509_NAME_ENTRY_set(entry)
                relative.append([part])
            }
        }
        let text = relative.reversed().map { $0.joined(separator: "+") }.joined(separator: ",")
        return text.utf8.count <= maxBytes ? text : nil
    }

    private static func part(of entry: OpaquePointer) -> String? {
        guard let object = X509_NAME_ENTRY_get_object(entry), let value = X509_NAME_ENTRY_get_data(entry),
            let identifier = identifier(of: object)
        else { return nil }
        let type = ASN1_STRING_type(value)
        let bytes = Array(
            UnsafeBufferPointer(start: ASN1_STRING_get0_data(value), count: Int(ASN1_STRING_length(value))))
        // OpenSSL holds these without the bytes that Java would print.
        guard type > 0, type < 31, type != V_ASN1_BIT_STRING, type != V_ASN1_SEQUENCE, type != V_ASN1_SET else {
            return nil
        }
        guard let short = shortNames[identifier], textTypes.contains(type) else {
            let name = shortNames[identifier] ?? identifier
            return "\(name)=#\(Hexadecimal.encode([UInt8(type)] + length(bytes.count) + bytes))"
        }
        return "\(short)=\(escaped(String(decoding: bytes, as: UTF8.self)))"
    }

    /// The types whose bytes Java takes for UTF-8, whatever their own alphabet.
    private static let textTypes: Set<Int32> = [
        V_ASN1_PRINTABLESTRING, V_ASN1_UTF8STRING, V_ASN1_T61STRING, V_ASN1_IA5STRING, V_ASN1_BMPSTRING,
    ]

    private static let shortNames = [
        "2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
        "2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
    ]

    private static func identifier(of object: OpaquePointer) -> String? {
        var buffer = [CChar](repeating: 0, count: 256)
        let length = OBJ_obj2txt(&buffer, Int32(buffer.count), object, 1)
        guard length > 0, Int(length) < buffer.count else { return nil }
        return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A length of DER.
    private static func length(_ count: Int) -> [UInt8] {
        if count < 0x80 { return [UInt8(count)] }
        var octets: [UInt8] = []
        var rest = count
        while rest > 0 {
            octets.insert(UInt8(rest & 255), at: 0)
            rest >>= 8
        }
        return [0x80 | UInt8(octets.count)] + octets
    }

    private static func escaped(_ value: String) -> String {
        let special: Set<Unicode.Scalar> = [",", "=", "+", "<", ">", "#", ";", "\"", "\\"]
        var escaped: [String] = value.unicodeScalars.map { scalar in
            special.contains(scalar) ? "\\\(scalar)" : scalar == "\0" ? "\\00" : String(scalar)
        }
        // Blanks at both ends; a name of blanks alone is escaped once.
        let isBlank = { (text: String) in text == " " || text == "\r" }
        let leading = escaped.prefix(while: isBlank).count
        let trailing = leading == escaped.count ? 0 : escaped.reversed().prefix(while: isBlank).count
        for index in escaped.indices where index < leading || index >= escaped.count - trailing {
            escaped[index] = "\\" + escaped[index]
        }
        return escaped.joined()
    }
}

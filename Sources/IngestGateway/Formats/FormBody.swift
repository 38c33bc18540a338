import ByteBuffers
import HTTPWire

/// A form as browsers and webhooks post it (`application/x-www-form-urlencoded`), as an object of strings; a name that stands
/// several times has a list of them. Source: WHATWG URL, 5.1.
enum FormBody {
    /// Fields of one form.
    static let maxFields = 1024
    /// Bytes that one byte of an event may take in a form: `%41`.
    static let longestEscape = 3

    /// Writes the object into `out`, or says what is wrong.
    static func write(_ body: UnsafeRawBufferPointer, into out: inout ByteWriter) -> Problem? {
        var names: [[UInt8]] = []
        var values: [[[UInt8]]] = []
        var places: [[UInt8]: Int] = [:]
        var count = 0
        // One more than there may be, and not as many as there are.
        for field in body.split(separator: UInt8(ascii: "&"), maxSplits: maxFields) {
            count += 1
            guard count <= maxFields else {
                return Problem(.tooComplex, "A form has at most \(maxFields) fields.", limit: maxFields)
            }
            let parts = field.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decoded(parts[0]), let value = decoded(parts.count > 1 ? parts[1] : parts[0].suffix(0))
            else {
                return Problem(.invalidUTF8, "A field of the form is not percent-encoded UTF-8.")
            }
            if let place = places[name] {
                values[place].append(value)
            } else {
                places[name] = names.count
                names.append(name)
                values.append([value])
            }
        }
        if names.isEmpty { return Problem(.bodyRequired, "Request body is required") }
        for (place, name) in names.enumerated() {
            out.text(place == 0 ? "{" : ",")
            name.withUnsafeBytes { JSONText.write($0, into: &out) }
            out.text(":")
            write(values[place], into: &out)
        }
        out.text("}")
        return nil
    }

    private static func write(_ values: [[UInt8]], into out: inout ByteWriter) {
        if values.count > 1 { out.text("[") }
        for (place, value) in values.enumerated() {
            if place > 0 { out.text(",") }
            value.withUnsafeBytes { JSONText.write($0, into: &out) }
        }
        if values.count > 1 { out.text("]") }
    }

    private static func decoded(_ bytes: some Collection<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): result.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst().flatMap(JSONText.hex), let low = rest.popFirst().flatMap(JSONText.hex)
                else { return nil }
                result.append(high << 4 | low)
            default: result.append(byte)
            }
        }
        return result.withUnsafeBytes { JSONText.isUTF8($0) } ? result : nil
    }
}

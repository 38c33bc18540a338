/// Names of OpenSSL's parameters, which keeps a pointer to them beyond the call: a Swift string would be gone by then.
/// The values are those of `core_names.h`.
enum ParameterName {
    static let digest: StaticString = "digest"
    static let modulus: StaticString = "n"
    static let exponent: StaticString = "e"
    static let group: StaticString = "group"
    static let point: StaticString = "pub"
}

extension StaticString {
    /// A C string that lives as long as the process.
    var pointer: UnsafePointer<CChar> { UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}

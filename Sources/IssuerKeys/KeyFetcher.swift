import Glibc
import KafkaModel
import Security

/// Why keys could not be had: for the log.
public struct KeyFetchError: Error, Hashable, Sendable, CustomStringConvertible {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
    public var description: String { reason }
}

/// Gets a document from an address. Tests have one that is no network.
public protocol KeyFetcher: Sendable {
    /// Blocks, for ``CurlFetcher/maxTime`` at most; ends early once `isStopping` says so.
    func get(
        _ address: KeyAddress, isStopping: @escaping @Sendable () -> Bool
    ) throws(KeyFetchError) -> [UInt8]
}

extension KeyFetcher {
    /// The JWKS document of one issuer. Blocks.
    ///
    /// - Parameter names: what the issuer calls itself. Discovery has to agree, else whoever answers there would speak for another
    ///   issuer (OpenID Connect Discovery 1.0, section 4.3).
    func document(
        at location: KeyLocation, names: Set<ExactString>, isStopping: @escaping @Sendable () -> Bool
    ) throws(KeyFetchError) -> [UInt8] {
        switch location {
        case .file(let path): return try KeyFile.read(path)
        case .document(let address): return try get(address, isStopping: isStopping)
        case .discovery(let issuer):
            guard let address = issuer.appending(KeyLocation.discoveryPath) else {
                throw KeyFetchError("\(issuer) is too long for discovery")
            }
            guard let found = StrictJSON(parsing: try get(address, isStopping: isStopping)) else {
                throw KeyFetchError("what discovery answers is no JSON")
            }
            guard let name = found["issuer"]?.text, names.contains(ExactString(name)) else {
                throw KeyFetchError("discovery answers for another issuer")
            }
            // An issuer elsewhere has no say over this machine's own ports.
            guard let keys = found["jwks_uri"]?.text.flatMap({ KeyAddress($0) }), !keys.isPlain || issuer.isPlain else {
                throw KeyFetchError("discovery has no jwks_uri of https")
            }
            return try get(keys, isStopping: isStopping)
        }
    }
}

/// A small file of an operator's.
enum KeyFile {
    static func read(_ path: String) throws(KeyFetchError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw KeyFetchError(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: StrictJSON.maxBytes + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            if got < 0 {
                if errno == EINTR { continue }
                throw KeyFetchError(String(cString: strerror(errno)))
            }
            if got == 0 { return Array(bytes[..<count]) }
            count += got
        }
        throw KeyFetchError("it is longer than \(StrictJSON.maxBytes) bytes")
    }
}

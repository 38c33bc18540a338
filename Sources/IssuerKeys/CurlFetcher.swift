import HTTPClient
import Security

/// One GET by libcurl: TLS verified, no redirect followed, size and time bounded.
public struct CurlFetcher: KeyFetcher {
    /// A key set of a large provider has 10 KiB, what discovery says 3. Longer ones are cut off and refused.
    static let maxBytes = StrictJSON.maxBytes
    /// Of all headers.
    static let maxHeaderBytes = 64 << 10
    /// Until a connection stands, TLS included.
    static let maxConnectTime = Duration.seconds(5)
    /// From the look-up of the name to the last byte.
    static let maxTime = Duration.seconds(10)

    private let authorities: String?

    /// - Parameter authorities: a PEM file with the certificates that sign those of issuers; nil: the system's.
    public init(authorities: String?) { self.authorities = authorities }

    public func get(
        _ address: KeyAddress, isStopping: @escaping @Sendable () -> Bool
    ) throws(KeyFetchError) -> [UInt8] {
        var call = HTTPCall(
            url: address.text, reach: address.isPlain ? .loopback : .anybody, maxBodyBytes: Self.maxBytes)
        call.usesProxy = !address.isPlain
        call.authorities = authorities
        call.maxHeaderBytes = Self.maxHeaderBytes
        call.connectTimeoutMs = Int(Self.maxConnectTime.milliseconds)
        call.timeoutMs = Int(Self.maxTime.milliseconds)
        let answer: HTTPAnswer
        do throws(HTTPCallFailure) { answer = try HTTPCaller().perform(call, isStopping: isStopping) } catch {
            throw KeyFetchError(error.reason)
        }
        guard answer.status == 200 else { throw KeyFetchError("the answer is \(answer.status)") }
        return answer.body
    }
}

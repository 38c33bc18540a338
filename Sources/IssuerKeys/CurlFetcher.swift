import CCurl
import Glibc
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
        let curl = try CurlLibrary.opened.get()
        guard let transfer = curl.make() else { throw KeyFetchError("out of memory") }
        defer { curl.end(transfer) }
        let answer = CurlAnswer(isStopping)
        set(curl, transfer, address, answer)
        let code = withExtendedLifetime(answer) { curl.perform(transfer) }
        if answer.isTooLong { throw KeyFetchError("the answer is longer than \(Self.maxBytes) bytes") }
        guard code == CURLE_OK else {
            throw KeyFetchError(curl.errorText(code).map { String(cString: $0) } ?? "error \(code.rawValue) of libcurl")
        }
        let status = millrace_curl_status(curl.getInfo, transfer)
        guard status == 200 else { throw KeyFetchError("the answer is \(status)") }
        return answer.body
    }

    private func set(
        _ curl: CurlLibrary, _ transfer: UnsafeMutableRawPointer, _ address: KeyAddress, _ answer: CurlAnswer
    ) {
        func number(_ option: CURLoption, _ value: Int) {
            let code = millrace_curl_set_number(curl.setOption, transfer, option, value)
            // An option that is not known would leave a bound or a check out.
            precondition(code == CURLE_OK, "libcurl does not take option \(option.rawValue)")
        }
        func text(_ option: CURLoption, _ value: String) {
            let code = millrace_curl_set_text(curl.setOption, transfer, option, value)
            precondition(code == CURLE_OK, "libcurl does not take option \(option.rawValue)")
        }
        text(CURLOPT_URL, address.text)
        text(CURLOPT_PROTOCOLS_STR, address.isPlain ? "http" : "https")
        text(CURLOPT_USERAGENT, "millrace")
        // No signals: this is one of several threads.
        number(CURLOPT_NOSIGNAL, 1)
        number(CURLOPT_QUICK_EXIT, 1)
        number(CURLOPT_FOLLOWLOCATION, 0)
        number(CURLOPT_CONNECTTIMEOUT_MS, Int(Self.maxConnectTime.milliseconds))
        number(CURLOPT_TIMEOUT_MS, Int(Self.maxTime.milliseconds))
        number(CURLOPT_SSL_VERIFYPEER, 1)
        number(CURLOPT_SSL_VERIFYHOST, 2)
        number(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let authorities { text(CURLOPT_CAINFO, authorities) }
        if address.isPlain {
            text(CURLOPT_NOPROXY, "*")
            _ = millrace_curl_keep_to_loopback(curl.setOption, transfer)
        }
        let context = Unmanaged.passUnretained(answer).toOpaque()
        _ = millrace_curl_set_pointer(curl.setOption, transfer, CURLOPT_WRITEDATA, context)
        _ = millrace_curl_set_writer(curl.setOption, transfer, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            CurlAnswer.of(context).take(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        _ = millrace_curl_set_pointer(curl.setOption, transfer, CURLOPT_HEADERDATA, context)
        _ = millrace_curl_set_writer(curl.setOption, transfer, CURLOPT_HEADERFUNCTION) { _, size, count, context in
            CurlAnswer.of(context).takeHeader(size * count)
        }
        number(CURLOPT_NOPROGRESS, 0)
        _ = millrace_curl_set_pointer(curl.setOption, transfer, CURLOPT_XFERINFODATA, context)
        _ = millrace_curl_set_progress(curl.setOption, transfer) { context, _, _, _, _ in
            CurlAnswer.of(context).isStopping() ? 1 : 0
        }
    }
}

/// What has come so far. Seen by the thread of its transfer alone.
private final class CurlAnswer {
    var body: [UInt8] = []
    var isTooLong = false
    let isStopping: @Sendable () -> Bool
    private var headerBytes = 0

    init(_ isStopping: @escaping @Sendable () -> Bool) { self.isStopping = isStopping }

    static func of(_ context: UnsafeMutableRawPointer?) -> CurlAnswer {
        guard let context else { preconditionFailure("a transfer without what it was given") }
        return Unmanaged<CurlAnswer>.fromOpaque(context).takeUnretainedValue()
    }

    /// Less than was given ends the transfer.
    func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard body.count + bytes.count <= CurlFetcher.maxBytes else {
            isTooLong = true
            return 0
        }
        body += bytes
        return bytes.count
    }

    func takeHeader(_ count: Int) -> Int {
        headerBytes += count
        guard headerBytes <= CurlFetcher.maxHeaderBytes else {
            isTooLong = true
            return 0
        }
        return count
    }
}

internal import CCurl
internal import Glibc
internal import Security

/// Calls servers by libcurl, one after the other: TLS verified, no redirect followed, size and time bounded. Connections are kept for the
/// calls that follow. One thread uses it.
public final class HTTPCaller {
    private let curl: CurlLibrary
    private let transfer: UnsafeMutableRawPointer

    /// Throws where libcurl is not to be had.
    public init() throws(HTTPCallFailure) {
        curl = try CurlLibrary.opened.get()
        guard let made = curl.make() else { throw HTTPCallFailure(.notSent, "out of memory") }
        transfer = made
    }

    deinit { curl.end(transfer) }

    /// Blocks, for the call's time at most; ends early once `isStopping` says so.
    public func perform(
        _ call: HTTPCall, isStopping: @escaping @Sendable () -> Bool
    ) throws(HTTPCallFailure) -> HTTPAnswer {
        let incoming = IncomingAnswer(call, isStopping)
        curl.reset(transfer)
        var headers: UnsafeMutablePointer<curl_slist>?
        // Without it libcurl asks whether a long body is wanted, and waits for a second where nobody answers that.
        for line in call.headers + ["Expect:"] { headers = curl.append(headers, line) ?? headers }
        defer { curl.free(headers) }
        let body = call.body ?? []
        let code = withExtendedLifetime(incoming) {
            body.withUnsafeBytes { body in
                var reach = millrace_curl_reach(
                    judge: { IncomingAnswer.of($0).mayConnect(to: $1) ? 1 : 0 },
                    context: Unmanaged.passUnretained(incoming).toOpaque())
                return withUnsafeMutablePointer(to: &reach) { reach in
                    set(call, incoming, headers, call.body == nil ? nil : body, reach)
                    return curl.perform(transfer)
                }
            }
        }
        if incoming.isTooLong {
            throw HTTPCallFailure(.tooLong, "the answer is longer than \(call.maxBodyBytes) bytes")
        }
        guard code == CURLE_OK else {
            let wasSent = millrace_curl_number(curl.getInfo, transfer, CURLINFO_REQUEST_SIZE) > 0
            if !wasSent, !incoming.hasCalled, let refused = incoming.refused {
                throw HTTPCallFailure(.forbidden, "\(refused) is no address that may be called")
            }
            let reason =
                curl.errorText(code).map { String(cString: $0) } ?? "error \(code.rawValue) of libcurl"
            if !wasSent { throw HTTPCallFailure(.notSent, reason) }
            throw HTTPCallFailure(code == CURLE_OPERATION_TIMEDOUT ? .timedOut : .lost, reason)
        }
        var answer = HTTPAnswer(
            status: millrace_curl_number(curl.getInfo, transfer, CURLINFO_RESPONSE_CODE), body: incoming.body,
            retryAfter: incoming.retryAfter)
        (answer.location, answer.links) = (incoming.location, incoming.links)
        return answer
    }

    private func set(
        _ call: HTTPCall, _ incoming: IncomingAnswer, _ headers: UnsafeMutablePointer<curl_slist>?,
        _ body: UnsafeRawBufferPointer?, _ reach: UnsafeMutablePointer<millrace_curl_reach>
    ) {
        text(CURLOPT_URL, call.url)
        text(CURLOPT_PROTOCOLS_STR, call.isPlain ? "http" : "https")
        text(CURLOPT_USERAGENT, "millrace")
        if !call.usesProxy { text(CURLOPT_NOPROXY, "*") }
        // No signals: this is one of several threads.
        number(CURLOPT_NOSIGNAL, 1)
        number(CURLOPT_QUICK_EXIT, 1)
        number(CURLOPT_FOLLOWLOCATION, 0)
        number(CURLOPT_CONNECTTIMEOUT_MS, call.connectTimeoutMs)
        number(CURLOPT_TIMEOUT_MS, call.timeoutMs)
        number(CURLOPT_SSL_VERIFYPEER, 1)
        number(CURLOPT_SSL_VERIFYHOST, 2)
        number(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let authorities = call.authorities {
            text(CURLOPT_CAINFO, authorities)
            // Read for each connection, also by versions that would keep it for a day; others do not know the option.
            _ = millrace_curl_set_number(curl.setOption, transfer, CURLOPT_CA_CACHE_TIMEOUT, 0)
        }
        if let body {
            number(CURLOPT_POST, 1)
            number(CURLOPT_POSTFIELDSIZE_LARGE, body.count)
            pointer(CURLOPT_POSTFIELDS, UnsafeMutableRawPointer(mutating: body.baseAddress))
        }
        pointer(CURLOPT_HTTPHEADER, headers)
        let context = Unmanaged.passUnretained(incoming).toOpaque()
        pointer(CURLOPT_WRITEDATA, context)
        _ = millrace_curl_set_writer(curl.setOption, transfer, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            IncomingAnswer.of(context).take(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        pointer(CURLOPT_HEADERDATA, context)
        _ = millrace_curl_set_writer(curl.setOption, transfer, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            IncomingAnswer.of(context).takeHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        number(CURLOPT_NOPROGRESS, 0)
        pointer(CURLOPT_XFERINFODATA, context)
        _ = millrace_curl_set_progress(curl.setOption, transfer) { context, _, _, _, _ in
            IncomingAnswer.of(context).isStopping() ? 1 : 0
        }
        let code = millrace_curl_set_reach(curl.setOption, transfer, reach)
        precondition(code == CURLE_OK, "libcurl does not ask whom it may call")
    }

    private func number(_ option: CURLoption, _ value: Int) {
        let code = millrace_curl_set_number(curl.setOption, transfer, option, value)
        // An option that is not known would leave a bound or a check out.
        precondition(code == CURLE_OK, "libcurl does not take option \(option.rawValue)")
    }

    private func text(_ option: CURLoption, _ value: String) {
        let code = millrace_curl_set_text(curl.setOption, transfer, option, value)
        precondition(code == CURLE_OK, "libcurl does not take option \(option.rawValue)")
    }

    private func pointer(_ option: CURLoption, _ value: UnsafeMutableRawPointer?) {
        let code = millrace_curl_set_pointer(curl.setOption, transfer, option, value)
        precondition(code == CURLE_OK, "libcurl does not take option \(option.rawValue)")
    }
}

/// What has come so far. Seen by the thread of its transfer alone.
private final class IncomingAnswer {
    var body: [UInt8] = []
    var isTooLong = false
    var retryAfter: String?
    var location: String?
    var links: [String] = []
    /// The address that was not called, and whether another one was.
    var refused: NetworkAddress?
    var hasCalled = false
    let isStopping: @Sendable () -> Bool
    private let call: HTTPCall
    private var headerBytes = 0

    init(_ call: HTTPCall, _ isStopping: @escaping @Sendable () -> Bool) {
        (self.call, self.isStopping) = (call, isStopping)
    }

    static func of(_ context: UnsafeMutableRawPointer?) -> IncomingAnswer {
        guard let context else { preconditionFailure("a transfer without what it was given") }
        return Unmanaged<IncomingAnswer>.fromOpaque(context).takeUnretainedValue()
    }

    /// Less than was given ends the transfer.
    func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard body.count + bytes.count <= call.maxBodyBytes else {
            isTooLong = true
            return 0
        }
        body += bytes
        return bytes.count
    }

    /// A field of the header, or what stands before and behind all.
    func takeHeader(_ line: UnsafeRawBufferPointer) -> Int {
        headerBytes += line.count
        guard headerBytes <= call.maxHeaderBytes else {
            isTooLong = true
            return 0
        }
        // Of an answer that only says that another one follows nothing is kept.
        if line.starts(with: "HTTP/".utf8) { (retryAfter, location, links) = (nil, nil, []) }
        if let value = Self.value(of: "retry-after:", in: line) { retryAfter = value }
        if let value = Self.value(of: "location:", in: line) { location = value }
        if let value = Self.value(of: "link:", in: line) { links.append(value) }
        return line.count
    }

    /// What stands behind the name, without space around it; nil: it is another field.
    private static func value(of name: String, in line: UnsafeRawBufferPointer) -> String? {
        guard line.count > name.utf8.count, zip(line, name.utf8).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) else {
            return nil
        }
        let value = line.dropFirst(name.utf8.count).drop { $0 <= 0x20 }
        guard let last = value.lastIndex(where: { $0 > 0x20 }) else { return "" }
        return String(decoding: value[...last], as: UTF8.self)
    }

    func mayConnect(to address: UnsafePointer<sockaddr>?) -> Bool {
        guard let address, let found = NetworkAddress(address) else { return false }
        if call.reach.contains(found) {
            hasCalled = true
            return true
        }
        refused = found
        return false
    }
}

extension NetworkAddress {
    /// Nil: of another family.
    fileprivate init?(_ address: UnsafePointer<sockaddr>) {
        let bytes = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET: self.init(v4: UInt32(bigEndian: bytes.load(as: sockaddr_in.self).sin_addr.s_addr))
        case AF_INET6:
            let address = bytes.load(as: sockaddr_in6.self).sin6_addr
            self.init(v6: withUnsafeBytes(of: address) { Array($0) })
        default: return nil
        }
    }
}

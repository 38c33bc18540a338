import ByteBuffers
import Configuration
import HTTPWire

/// Which web pages of other origins may read a route's replies, and send what needs to be asked for. Source: the Fetch standard.
final class CORSPolicy: Sendable {
    /// nil: pages of every origin.
    private let origins: [[UInt8]]?
    private let methods: [UInt8]
    private let headers: [UInt8]
    private let maxAge: Int
    private let takesCredentials: Bool

    /// Each is compared with that of each request.
    static let maxOrigins = 64
    /// What clients of the gateway send beside what browsers always may.
    static let usualHeaders = [
        "Authorization", "Content-Type", "Idempotency-Key", "Partition-Key", "X-API-Key", "X-Batch-Mode",
        "X-Correlation-Id",
        "X-Request-Id", "traceparent", "tracestate",
    ]
    private static let exposed: StaticString = "Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"

    /// `origins` nil: every one; then no credentials are taken.
    init(
        origins: [String]?, methods: RouteMethods, headers: [String], maxAge: Int, takesCredentials: Bool
    ) {
        precondition(origins != nil || !takesCredentials, "credentials for pages of every origin")
        self.origins = origins?.map { Array($0.utf8) }
        self.methods = Array(methods.names.joined(separator: ", ").utf8)
        self.headers = Array(headers.joined(separator: ", ").utf8)
        self.maxAge = maxAge
        self.takesCredentials = takesCredentials
    }

    /// Whether text is an origin as browsers send it: scheme, host, and a port that is not the scheme's own.
    static func isOrigin(_ text: String) -> Bool {
        for (scheme, port) in [("https://", ":443"), ("http://", ":80")] where text.hasPrefix(scheme) {
            let rest = text.dropFirst(scheme.count)
            return !rest.isEmpty && !rest.hasSuffix(port)
                && rest.utf8.allSatisfy { byte in
                    (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: ".")
                        || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "[")
                        || byte == UInt8(ascii: "]")
                }
        }
        return false
    }

    /// Whether pages of that origin may use the route.
    func allows(_ origin: UnsafeRawBufferPointer) -> Bool {
        origins?.contains { $0.elementsEqual(origin) } ?? true
    }

    /// Writes what a reply says to browsers. `origin`: that of the request; nil where it has none, or several.
    func write(to origin: UnsafeRawBufferPointer?, isPreflight: Bool, into out: inout ByteWriter) {
        // Also where the answer is no, for caches keep that as well.
        if origins != nil { out.text("Vary: Origin\r\n") }
        guard let origin else { return }
        if let origins {
            guard origins.contains(where: { $0.elementsEqual(origin) }) else { return }
            out.text("Access-Control-Allow-Origin: ")
            out.bytes(origin)
            out.text("\r\n")
        } else {
            out.text("Access-Control-Allow-Origin: *\r\n")
        }
        if takesCredentials { out.text("Access-Control-Allow-Credentials: true\r\n") }
        guard isPreflight else {
            out.text("Access-Control-Expose-Headers: ")
            out.text(Self.exposed)
            return out.text("\r\n")
        }
        out.text("Access-Control-Allow-Methods: ")
        methods.withUnsafeBytes { out.bytes($0) }
        out.text("\r\nAccess-Control-Allow-Headers: ")
        headers.withUnsafeBytes { out.bytes($0) }
        out.text("\r\nAccess-Control-Max-Age: ")
        out.decimal(maxAge)
        out.text("\r\n")
    }
}

extension CORSPolicy {
    private static let keys = ["origins", "headers", "max_age", "credentials"]
    /// Browsers keep an answer for two hours at most.
    private static let maxAges: ClosedRange<Int64> = 0...86_400
    private static let usualMaxAge = 600
    private static let maxHeaders = 64

    /// That of a route, as its `cors` says.
    convenience init?(_ place: ConfigurationPlace, methods: RouteMethods) {
        guard let fields = place.fields(Self.keys) else { return nil }
        guard let list = fields["origins"], let places = list.oneOrMore() else {
            if fields["origins"] == nil { place.refuse("names no origins", remedy: "Write origins: [https://HOST]") }
            return nil
        }
        var origins: [String] = []
        var isAny = false
        for place in places {
            guard let text = place.text() else { continue }
            if text == "*" {
                isAny = true
            } else if Self.isOrigin(text) {
                origins.append(text)
            } else {
                place.refuse(
                    "must be an origin as browsers send it",
                    remedy: "Write https://HOST or https://HOST:PORT in lower case, or *")
            }
        }
        let takesCredentials = fields["credentials"]?.boolean() ?? false
        if isAny, !origins.isEmpty {
            list.refuse("every origin, and some of them", remedy: "Leave * out, or the others")
        }
        if isAny, takesCredentials {
            fields["credentials"]?.refuse(
                "pages of every origin would act in the name of who visits them",
                remedy: "Name the origins, or leave it out")
            return nil
        }
        if places.isEmpty || places.count > Self.maxOrigins {
            list.refuse("must name 1 to \(Self.maxOrigins) origins", remedy: "Correct the list")
        }
        let headers = fields["headers"]?.texts() ?? Self.usualHeaders
        let isToken = headers.allSatisfy { $0.utf8.allSatisfy { ByteScan.isTokenByte($0) } }
        if headers.count > Self.maxHeaders || !isToken {
            fields["headers"]?.refuse(
                "must be 1 to \(Self.maxHeaders) names of header fields", remedy: "Correct the list")
        }
        self.init(
            origins: isAny ? nil : origins, methods: methods, headers: headers,
            maxAge: fields["max_age"]?.seconds(Self.maxAges) ?? Self.usualMaxAge, takesCredentials: takesCredentials)
    }
}

extension GatewayLoop {
    /// The origin of the web page that has made the request, the first where there are several; nil: none says so.
    var pageOrigin: UnsafeRawBufferPointer? {
        for index in 0..<head.fieldCount where head.isField(index, named: "origin") { return head.fieldValue(index) }
        return nil
    }

    /// Writes what the request's route says to web pages of other origins.
    func write(_ policy: CORSPolicy, into out: inout ByteWriter) {
        var origin: UnsafeRawBufferPointer?
        var origins = 0
        var asksForMethod = false
        for index in 0..<head.fieldCount {
            if head.isField(index, named: "origin") {
                origin = head.fieldValue(index)
                origins += 1
            } else if head.isField(index, named: "access-control-request-method") {
                asksForMethod = true
            }
        }
        policy.write(
            to: origins == 1 ? origin : nil, isPreflight: head.method == .options && asksForMethod, into: &out)
    }
}

import ByteBuffers
import Glibc
import HTTPWire

/// Where a request's path leads: a row of the table that was asked, and what the path itself says. Valid as long as the
/// path's bytes and that table.
struct Route {
    /// Index of `RouteTable.rows`.
    let row: Int
    /// What stands in the places of the path's pattern, as it stands on the wire.
    var topic = UnsafeRawBufferPointer(start: nil, count: 0)
    var partition: UnsafeRawBufferPointer?
    var cluster: UnsafeRawBufferPointer?
}

/// Methods as bits. OPTIONS is answered on every path and needs no bit.
struct RouteMethods: OptionSet {
    let rawValue: UInt8

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ methods: HTTPMethod...) { rawValue = methods.reduce(0) { $0 | 1 << $1.rawValue } }

    static let post = RouteMethods(.post)
    static let get = RouteMethods(.get, .head)

    func contains(_ method: HTTPMethod) -> Bool { rawValue & 1 << method.rawValue != 0 }

    /// Without OPTIONS.
    var names: [String] {
        (0..<HTTPMethod.options.rawValue).compactMap { HTTPMethod(rawValue: $0) }.filter(contains).map(
            \.name.description)
    }

    /// Writes them for `Allow`, with OPTIONS at the end.
    func write(into out: inout ByteWriter) {
        for bit in 0..<HTTPMethod.options.rawValue {
            guard let method = HTTPMethod(rawValue: bit), contains(method) else { continue }
            out.text(method.name)
            out.text(", ")
        }
        out.text(HTTPMethod.options.name)
    }
}

/// What a body may be, as bits.
struct MediaTypes: OptionSet {
    let rawValue: UInt16

    static let json = MediaTypes(rawValue: 1)
    static let lines = MediaTypes(rawValue: 2)
    /// JSON, whatever the request calls it.
    static let anyJSON = MediaTypes(rawValue: 4)
    static let csv = MediaTypes(rawValue: 8)
    static let form = MediaTypes(rawValue: 16)
    /// Anything, as it is.
    static let raw = MediaTypes(rawValue: 32)
    /// One CloudEvent, its attributes beside its content or in the request's fields; and a list of them.
    static let cloudEvent = MediaTypes(rawValue: 64)
    static let cloudEvents = MediaTypes(rawValue: 128)
    /// Records of Kafka REST's second version, whose keys and values are JSON, base64 or text.
    static let kafkaJSON = MediaTypes(rawValue: 256)
    static let kafkaBinary = MediaTypes(rawValue: 512)
    static let kafkaText = MediaTypes(rawValue: 1024)
    /// A form with a file.
    static let multipart = MediaTypes(rawValue: 2048)

    /// For the field Accept, and for people.
    var names: String {
        let known: [(MediaTypes, String)] = [
            (.json, "application/json"), (.lines, "application/x-ndjson, application/jsonl"), (.csv, "text/csv"),
            (.form, "application/x-www-form-urlencoded"), (.cloudEvent, CloudEvents.structured),
            (.cloudEvents, "application/cloudevents-batch+json"), (.raw, "*/*"),
            (.kafkaJSON, "application/vnd.kafka.json.v2+json"), (.kafkaBinary, "application/vnd.kafka.binary.v2+json"),
            (.kafkaText, "application/vnd.kafka.text.v2+json"), (.multipart, "multipart/form-data"),
        ]
        return known.filter { contains($0.0) }.map { $0.1 }.joined(separator: ", ")
    }

    /// The one to recommend.
    var firstName: Substring { names.prefix { $0 != "," } }
}

/// At which listener a route is, where operators have one of their own.
enum RouteAudience {
    case clients, operators, everybody
    /// At the listener of operators, and nowhere where they have none.
    case operatorsAlone

    func isServed(toOperators: Bool) -> Bool { self == .everybody || (self != .clients) == toOperators }
}

/// Who may ask. A row names it, and `GatewayLoop.admit` asks for it before it looks at anything that costs more.
enum RouteAuthentication {
    /// Nobody is asked.
    case anonymous
    /// Whoever shows a credential, or nobody, as the gateway's authentication says; without one everybody.
    case caller
    /// Whoever has shown a certificate, and nobody else.
    case certificate
    /// Whoever signs his requests as the route's webhook says.
    case signed
    /// Whoever signs his requests as SDKs of AWS do, or shows another credential.
    case aws

    /// Whether who asks has to be known without the gateway's own authentication, too.
    var needsCaller: Bool { self == .certificate || self == .signed || self == .aws }
}

/// The form of a refusal.
enum ErrorDialect {
    /// RFC 9457, with the members that other families of clients look at beside.
    case problem
    /// The same members under the media type of Kafka REST's second version, whose clients look at `error_code` and `message`.
    case kafkaV2
    /// What SDKs of AWS read: a type and a message, and the code of the older protocol in a field.
    case sqs
    /// The same without that code.
    case kinesis

    var isOfAWS: Bool { self == .sqs || self == .kinesis }

    var mediaType: StaticString {
        switch self {
        case .problem: "application/problem+json"
        case .kafkaV2: "application/vnd.kafka.v2+json"
        case .sqs: "application/x-amz-json-1.0"
        case .kinesis: "application/x-amz-json-1.1"
        }
    }
}

extension UnsafeRawBufferPointer {
    func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && startsLike(text)
    }

    func equals(_ other: UnsafeRawBufferPointer) -> Bool {
        count == other.count && (count == 0 || memcmp(baseAddress!, other.baseAddress!, count) == 0)
    }

    private func startsLike(_ text: StaticString) -> Bool {
        guard let base = baseAddress else { return true }
        let other = UnsafeRawPointer(text.utf8Start)
        for index in 0..<text.utf8CodeUnitCount
        where ByteScan.byte(base, index) != ByteScan.byte(other, index) {
            return false
        }
        return true
    }

    /// A plain non-negative decimal number of at most 18 digits.
    var decimalValue: Int? {
        guard count > 0, count <= 18 else { return nil }
        var value = 0
        for digit in self {
            guard digit &- UInt8(ascii: "0") <= 9 else { return nil }
            value = value &* 10 &+ Int(digit &- UInt8(ascii: "0"))
        }
        return value
    }
}

internal import ByteBuffers
internal import KafkaModel
public import KafkaWire

/// One connection to one broker: negotiates versions, sends requests and matches answers. Several requests may be under
/// way; the broker answers them in order. Used by one thread.
public final class BrokerConnection {
    public let address: BrokerAddress
    /// What the broker serves.
    public private(set) var served: [Int16: ClosedRange<Int16>] = [:]
    /// After any error but a refusal the stream's state is not known, and the connection is of no more use.
    public private(set) var isBroken = false

    private let socket: Socket
    private let options: ClientOptions
    private var nextCorrelationID: Int32 = 0
    /// Requests whose answers have not been read, oldest first.
    private var expected: [Expected] = []
    private var answer: [UInt8] = []

    private struct Expected {
        var correlationID: Int32
        var key: APIKey
        var version: Int16
    }

    /// A request under way; `receive` takes its answer.
    public struct Pending<Response: KafkaResponse> {
        let correlationID: Int32
        public let version: Int16
    }

    /// Connects and asks what the broker serves.
    public init(to address: BrokerAddress, options: ClientOptions, deadline: Deadline) throws(ClientError) {
        self.address = address
        self.options = options
        let connectDeadline = deadline.earlier(of: .after(milliseconds: options.connectTimeoutMs))
        socket = try Socket.connect(to: address, deadline: connectDeadline, isCancelled: options.isCancelled)
        if let tls = options.tls { try socket.secure(by: tls, connectDeadline) }
        try negotiate(deadline)
        if let login = options.login { try logIn(login, deadline) }
    }

    /// Returns the latest version that both sides know, not above `limit`; `nil`: there is none.
    public func version<Request: KafkaRequest>(
        for request: Request.Type, limit: Int16 = .max
    ) -> Int16? {
        guard let range = served[Request.apiKey.rawValue] else { return nil }
        let version = min(range.upperBound, Request.versions.upperBound, limit)
        return version >= range.lowerBound && version >= Request.versions.lowerBound ? version : nil
    }

    /// Sends a request and waits for its answer, which must be the only one under way.
    public func call<Request: KafkaRequest>(
        _ request: Request, limit: Int16 = .max, deadline: Deadline
    ) throws(ClientError) -> Request.Response {
        precondition(expected.isEmpty, "\(expected.count) answers are under way")
        return try receive(try send(request, limit: limit, deadline: deadline), deadline: deadline)
    }

    /// Does the same for a request that looks different from version to version.
    public func call<Request: KafkaRequest>(
        limit: Int16 = .max, deadline: Deadline, _ make: (_ version: Int16) -> Request
    ) throws(ClientError) -> Request.Response {
        guard let version = version(for: Request.self, limit: limit) else { throw .unsupported(Request.apiKey) }
        return try call(make(version), limit: version, deadline: deadline)
    }

    /// Sends a request without waiting for its answer.
    public func send<Request: KafkaRequest>(
        _ request: Request, limit: Int16 = .max, hasAnswer: Bool = true, deadline: Deadline
    ) throws(ClientError) -> Pending<Request.Response> {
        guard let version = version(for: Request.self, limit: limit) else { throw .unsupported(Request.apiKey) }
        return try send(request, version: version, hasAnswer: hasAnswer, deadline: deadline)
    }

    private func send<Request: KafkaRequest>(
        _ request: Request, version: Int16, hasAnswer: Bool, deadline: Deadline
    ) throws(ClientError) -> Pending<Request.Response> {
        // An older broker would take the request for another one.
        if let field = request.unsupportedField(in: version) {
            throw .refused(
                .unsupportedVersion, "\(Request.apiKey) version \(version)",
                message: "the broker's latest version does not have \(field)")
        }
        let correlationID = nextCorrelationID
        nextCorrelationID &+= 1
        var writer = ByteWriter()
        writer.int32(0)
        var header = RequestHeader()
        header.requestAPIKey = Request.apiKey.rawValue
        header.requestAPIVersion = version
        header.correlationID = correlationID
        header.clientID = options.clientID
        header.encode(to: &writer)
        request.encode(to: &writer, version: version)
        writer.overwrite(Int32(writer.count - 4), at: 0)
        do throws(ClientError) {
            try socket.write(writer.bytes, deadline: deadline)
        } catch {
            isBroken = true
            throw error
        }
        if hasAnswer {
            expected.append(Expected(correlationID: correlationID, key: Request.apiKey, version: version))
        }
        return Pending(correlationID: correlationID, version: version)
    }

    /// Waits for the answer to `pending`, which must be the oldest under way.
    public func receive<Response: KafkaResponse>(
        _ pending: Pending<Response>, deadline: Deadline
    ) throws(ClientError) -> Response {
        precondition(expected.first?.correlationID == pending.correlationID, "answers are taken in order")
        do throws(ClientError) {
            try readAnswer(deadline)
            return try decode(Response.self, version: pending.version)
        } catch {
            isBroken = true
            throw error
        }
    }

    /// Whether (part of) an answer has arrived, or the connection ended.
    public var hasInput: Bool { socket.isReadable() }

    /// Reads one whole frame into `answer` and checks that it answers the oldest request.
    private func readAnswer(_ deadline: Deadline) throws(ClientError) {
        let oldest = expected.removeFirst()
        var prefix: [UInt8] = [0, 0, 0, 0]
        try fill(&prefix, deadline)
        let length = prefix.reduce(0) { $0 << 8 | Int($1) }
        if let other = Self.otherProtocol(prefix) { throw .invalidAnswer("\(address) \(other)") }
        guard length >= 4, length <= options.maxAnswerBytes else {
            throw .invalidAnswer("\(address) announces an answer of \(length) bytes")
        }
        // Memory grows as bytes arrive: a broken peer's announced length costs nothing.
        answer.removeAll(keepingCapacity: answer.capacity <= 4 << 20)
        while answer.count < length {
            let start = answer.count
            answer.append(contentsOf: repeatElement(0, count: min(length - start, max(start, 1 << 20))))
            var failure: ClientError?
            answer.withUnsafeMutableBytes { bytes in
                do throws(ClientError) {
                    try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]), deadline: deadline)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
        }
        let correlationID = answer[..<4].reduce(0) { $0 << 8 | Int32($1) }
        guard correlationID == oldest.correlationID else {
            throw .invalidAnswer(
                "\(address) answers request \(correlationID) where \(oldest.correlationID) (\(oldest.key)) is next")
        }
    }

    /// Returns what a peer speaks whose first bytes are these, if it is something that people mix up with a broker.
    private static func otherProtocol(_ prefix: [UInt8]) -> String? {
        if prefix.elementsEqual("HTTP".utf8) {
            return
                "answers by HTTP: it is the port of a web server, such as a broker's HTTP gateway (8080). Kafka clients "
                + "connect to the port of its Kafka listener (9092)"
        }
        // An alert of TLS: 21, then version 3.x.
        if prefix[0] == 21, prefix[1] == 3 {
            return "answers by TLS, and is spoken to in plain text: connect to a listener without TLS"
        }
        return nil
    }

    private func fill(_ bytes: inout [UInt8], _ deadline: Deadline) throws(ClientError) {
        var failure: ClientError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(ClientError) { try socket.read(into: buffer, deadline: deadline) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func decode<Response: KafkaResponse>(
        _ type: Response.Type, version: Int16
    ) throws(ClientError) -> Response {
        let result = answer.withUnsafeBytes { bytes -> Result<Response, DecodeError> in
            do throws(DecodeError) {
                var reader = ByteReader(bytes)
                _ = try ResponseHeader(
                    from: &reader, version: ResponseHeader.version(apiKey: Response.apiKey, apiVersion: version))
                let response = try Response(from: &reader, version: version)
                guard reader.isAtEnd else {
                    throw .invalid("bytes after the end of the message", position: reader.position)
                }
                return .success(response)
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let response): return response
        case .failure(let error): throw ClientError(error, "\(address), \(Response.apiKey) version \(version)")
        }
    }
}

// MARK: - Versions

extension BrokerConnection {
    /// Asks with our latest version. A broker that does not know it answers in version 0 with UNSUPPORTED_VERSION and,
    /// if it is not very old, the versions that it does know (KIP-511); then the latest common one is asked again.
    private func negotiate(_ deadline: Deadline) throws(ClientError) {
        var request = ApiVersionsRequest()
        request.clientSoftwareName = "millrace"
        request.clientSoftwareVersion = options.softwareVersion
        var version = ApiVersionsRequest.versions.upperBound
        for _ in 0..<2 {
            let pending = try send(request, version: version, hasAnswer: true, deadline: deadline)
            precondition(expected.first?.correlationID == pending.correlationID)
            do throws(ClientError) { try readAnswer(deadline) } catch {
                isBroken = true
                throw error
            }
            let code = answer.count >= 6 ? ErrorCode(rawValue: Int16(answer[4]) << 8 | Int16(answer[5])) : .none
            let answered: Int16 = code == .unsupportedVersion ? 0 : version
            let response = try decode(ApiVersionsResponse.self, version: answered)
            if code == .unsupportedVersion && version > 0 {
                let offered = response.apiKeys.first { $0.apiKey == APIKey.apiVersions.rawValue }
                version = max(0, min(version - 1, offered?.maxVersion ?? 0))
                continue
            }
            guard code == .none else { throw .refused(code, "version negotiation with \(address)", message: nil) }
            for entry in response.apiKeys where entry.minVersion <= entry.maxVersion {
                served[entry.apiKey] = entry.minVersion...entry.maxVersion
            }
            return
        }
        throw .invalidAnswer("\(address) refuses the version of ApiVersions that it offered")
    }
}

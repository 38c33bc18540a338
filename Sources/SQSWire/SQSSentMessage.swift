import KafkaModel
import Security

/// A message to send.
public struct SQSSentMessage: Hashable, Sendable {
    /// UTF-8, of characters that XML 1.0 has a place for.
    public let body: [UInt8]
    /// Nil: the queue's own.
    public let delaySeconds: Int?
    /// In the order of their names.
    public let attributes: [SQSMessageAttribute]
    /// `AWSTraceHeader`, the one system attribute that a sender may give.
    public let traceHeader: String?
    public let groupID: String?
    public let deduplicationID: String?

    /// What counts against the limits.
    public var byteCount: Int { body.count + attributes.reduce(0) { $0 + $1.byteCount } }

    public var bodyDigest: String? { MD5.hexadecimal(body) }
    public var attributesDigest: String? { SQSMessageAttribute.digest(attributes) }
    /// Of the trace header, which counts as an attribute here.
    public var systemAttributesDigest: String? {
        guard let traceHeader else { return nil }
        return SQSMessageAttribute.digest([
            SQSMessageAttribute(name: Self.traceName, type: "String", value: Array(traceHeader.utf8))
        ])
    }

    static let traceName = "AWSTraceHeader"

    /// `place` stands before a parameter's name in an error: which entry of a batch it is of.
    init(_ parameters: SQSParameters, place: String) throws(SQSError) {
        guard let body = parameters.body, !body.isEmpty else { throw .missing("\(place)MessageBody") }
        if let at = body.withUnsafeBytes({ SQSText.firstForbidden($0) }) {
            throw SQSError(
                .invalidMessageContents,
                "Invalid characters found, the first at byte \(at + 1). Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
            )
        }
        self.body = body
        delaySeconds = try SQSRequest.bounded(
            parameters.delaySeconds, 0...SQSLimits.maxDelaySeconds, "DelaySeconds")
        attributes = try Self.attributes(parameters.messageAttributes ?? [])
        traceHeader = try Self.traceHeader(parameters.systemAttributes ?? [])
        groupID = try Self.id(parameters.groupID, "MessageGroupId")
        deduplicationID = try Self.id(parameters.deduplicationID, "MessageDeduplicationId")
        try checkSize(SQSLimits.maxMessageBytes)
    }

    /// Checks what the queue decides: its size limit, and what a FIFO queue asks for and takes.
    public func check(isFIFO: Bool, maxMessageBytes: Int, deduplicatesByContent: Bool) throws(SQSError) {
        try checkSize(maxMessageBytes)
        if isFIFO {
            if groupID == nil { throw .missing("MessageGroupId") }
            if deduplicationID == nil, !deduplicatesByContent {
                throw SQSError(
                    .invalidParameterValue,
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
                )
            }
            if let delaySeconds, delaySeconds > 0 {
                throw .invalid(
                    "\(delaySeconds)", "DelaySeconds",
                    "The request include parameter that is not valid for this queue type."
                )
            }
        } else if let deduplicationID {
            throw .invalid(
                deduplicationID, "MessageDeduplicationId",
                "The request includes a parameter that is not valid for this queue type.")
        }
    }

    private func checkSize(_ most: Int) throws(SQSError) {
        guard byteCount <= most else {
            throw SQSError(
                .invalidParameterValue,
                "One or more parameters are invalid. Reason: Message must be shorter than \(most) bytes.")
        }
    }

    private static func attributes(
        _ raw: [SQSParameters.RawMessageAttribute]
    ) throws(SQSError) -> [SQSMessageAttribute] {
        guard raw.count <= SQSLimits.maxMessageAttributes else {
            throw SQSError(
                .invalidParameterValue,
                "Number of message attributes exceeds the allowed maximum [\(SQSLimits.maxMessageAttributes)].")
        }
        var attributes: [SQSMessageAttribute] = []
        for attribute in raw { attributes.append(try SQSMessageAttribute(attribute)) }
        return attributes.sorted { ExactString($0.name) < ExactString($1.name) }
    }

    private static func traceHeader(_ raw: [SQSParameters.RawMessageAttribute]) throws(SQSError) -> String? {
        guard let first = raw.first else { return nil }
        guard raw.count == 1, first.name == traceName else {
            throw SQSError(
                .invalidParameterValue, "Message system attribute name '\(SQSText.quoted(first.name))' is invalid.")
        }
        guard first.type == "String", let text = first.text, !text.isEmpty,
            text.count <= SQSLimits.maxTraceHeaderBytes, text.allSatisfy({ (0x20...0x7e).contains($0) })
        else {
            throw SQSError(
                .invalidParameterValue,
                "\(traceName) is a String of 1 to \(SQSLimits.maxTraceHeaderBytes) ASCII characters.")
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func id(_ id: String?, _ parameter: String) throws(SQSError) -> String? {
        guard let id else { return nil }
        guard SQSText.isID(id) else {
            throw .invalid(
                id, parameter,
                "\(parameter) can only include alphanumeric and punctuation characters. 1 to \(SQSLimits.maxIDBytes) in length."
            )
        }
        return id
    }
}

import ByteBuffers
import HTTPWire

/// A request of the older protocol: `Action=SendMessage&Version=2012-11-05&QueueUrl=…&MessageBody=…`, in a form's encoding. What JSON
/// has as lists and maps stands here as numbered fields: `MessageAttribute.1.Name`, `MessageAttribute.1.Value.StringValue`.
///
/// Source: the API reference of 2012-11-05, and "AWS query protocol" of Smithy.
public struct SQSForm: Sendable {
    public let operation: SQSOperation
    private let fields: Field

    /// Fields of one form: ten entries with ten attributes of four fields, and some more. One more is refused.
    static let maxFields = 1_024
    /// Names within a field's name: `Entry.1.MessageAttribute.1.Value.StringValue`.
    private static let maxParts = 8

    /// Reads a form. A field that stands twice is refused, as two readers could act on different ones.
    public init(_ text: UnsafeRawBufferPointer) throws(SQSError) {
        var fields = Field()
        var items = QueryItems(text)
        var count = 0
        while let item = items.next() {
            count += 1
            guard count <= Self.maxFields else {
                throw SQSError(.serialization, "The request has more than \(Self.maxFields) fields.")
            }
            guard let name = PercentDecoding.string(item.name, plusIsSpace: true),
                let value = PercentDecoding.string(item.value, plusIsSpace: true)
            else { throw SQSError(.serialization, "A field is not percent-encoded UTF-8, or has a NUL.") }
            // One more than there may be tells that there are too many: a part takes more memory than its dot.
            let parts = name.split(separator: ".", maxSplits: Self.maxParts, omittingEmptySubsequences: false)
            guard parts.count <= Self.maxParts else {
                throw SQSError(
                    .serialization, "The field \(SQSText.quoted(name)) has more than \(Self.maxParts) parts.")
            }
            guard fields.put(value, at: parts[...]) else {
                throw SQSError(.serialization, "The field \(SQSText.quoted(name)) stands twice.")
            }
        }
        guard let action = fields["Action"] else {
            throw SQSError(.invalidAction, "The request must contain the parameter Action.")
        }
        guard let operation = SQSOperation(rawValue: action) else {
            throw SQSError(
                .invalidAction, "The action \(SQSText.quoted(action)) is not valid for this endpoint.")
        }
        self.operation = operation
        self.fields = fields
    }

    /// A field with a text, or with parts, or with both.
    struct Field: Sendable {
        var text: String?
        var parts: [Substring: Field] = [:]

        subscript(_ name: Substring) -> String? { parts[name]?.text }

        /// False: there is one already.
        mutating func put(_ value: String, at path: ArraySlice<Substring>) -> Bool {
            guard let name = path.first else {
                guard text == nil else { return false }
                text = value
                return true
            }
            return parts[name, default: Field()].put(value, at: path.dropFirst())
        }

        /// The items `NAME.1`, `NAME.2` …, by their numbers.
        func items(_ name: Substring) -> [Field]? {
            guard let list = parts[name] else { return nil }
            let numbered = list.parts.compactMap { part in SQSText.number(String(part.key)).map { ($0, part.value) } }
            return numbered.sorted { $0.0 < $1.0 }.map(\.1)
        }

        func texts(_ name: Substring, atMost most: Int) throws(SQSError) -> [String]? {
            guard let items = items(name) else { return nil }
            guard items.count <= most else {
                throw SQSError(.invalidParameterValue, "A list has more than \(most) names.")
            }
            return items.compactMap(\.text)
        }

        func number(_ name: Substring) throws(SQSError) -> Int? {
            guard let text = self[name] else { return nil }
            guard let number = Int(text) else { throw .invalid(text, String(name), "Must be a number.") }
            return number
        }

        func pairs(_ name: Substring, key: Substring, atMost most: Int) throws(SQSError) -> [SQSPair]? {
            guard var items = items(name) else { return nil }
            // One without a number, as the oldest clients have it.
            if items.isEmpty, let one = parts[name] { items = [one] }
            guard items.count <= most else {
                throw SQSError(.invalidParameterValue, "A map has more than \(most) entries.")
            }
            var pairs: [SQSPair] = []
            for item in items {
                guard let name = item[key] else { throw .missing("\(key)") }
                guard !pairs.contains(where: { Array($0.name.utf8) == Array(name.utf8) }) else {
                    throw SQSError(.serialization, "\(SQSText.quoted(name)) stands twice in a map.")
                }
                pairs.append(SQSPair(name: name, value: item["Value"] ?? ""))
            }
            return pairs
        }
    }
}

extension SQSRequest {
    /// Reads and checks a form. `path`: of the request; it names the queue where no field does.
    public init(_ form: SQSForm, path: String) throws(SQSError) {
        self = try Self.make(form.operation, try form.parameters(path: path))
    }
}

extension SQSForm {
    func parameters(path: String) throws(SQSError) -> SQSParameters {
        var found = try Self.message(fields)
        // Of `/ACCOUNT/NAME`; a path without an account names none.
        let steps = path.split(separator: "/")
        found.queueURL = fields["QueueUrl"] ?? (steps.count >= 2 ? steps.last.map(String.init) : nil)
        found.queueName = fields["QueueName"]
        found.prefix = fields["QueueNamePrefix"]
        found.nextToken = fields["NextToken"]
        found.maxResults = try fields.number("MaxResults")
        found.attributes = try fields.pairs("Attribute", key: "Name", atMost: SQSLimits.maxSetAttributes)
        found.tags = try fields.pairs("Tag", key: "Key", atMost: SQSLimits.maxTags)
        found.tagKeys = try fields.texts("TagKey", atMost: SQSLimits.maxAskedNames)
        found.attributeNames = try fields.texts("AttributeName", atMost: SQSLimits.maxAskedNames)
        found.label = fields["Label"]
        found.accounts = try fields.texts("AWSAccountId", atMost: SQSLimits.maxAskedNames)
        found.actions = try fields.texts("ActionName", atMost: SQSLimits.maxAskedNames)
        found.maxMessages = try fields.number("MaxNumberOfMessages")
        found.waitSeconds = try fields.number("WaitTimeSeconds")
        found.attemptID = fields["ReceiveRequestAttemptId"]
        found.systemAttributeNames = try fields.texts(
            "MessageSystemAttributeName", atMost: SQSLimits.maxAskedNames)
        found.messageAttributeNames = try fields.texts("MessageAttributeName", atMost: SQSLimits.maxAskedNames)
        found.sourceARN = fields["SourceArn"]
        found.destinationARN = fields["DestinationArn"]
        found.moveRate = try fields.number("MaxNumberOfMessagesPerSecond")
        found.taskHandle = fields["TaskHandle"]
        if let entries = fields.items(Substring("\(operation.rawValue)RequestEntry")) {
            found.entryCount = entries.count
            var read: [SQSParameters] = []
            for entry in entries.prefix(SQSLimits.maxEntries) {
                var parameters = try Self.message(entry)
                parameters.entryID = entry["Id"]
                read.append(parameters)
            }
            found.entries = read
        }
        return found
    }

    /// What a request has, and an entry of a batch as well.
    private static func message(_ fields: Field) throws(SQSError) -> SQSParameters {
        var found = SQSParameters()
        found.body = fields["MessageBody"].map { Array($0.utf8) }
        found.delaySeconds = try fields.number("DelaySeconds")
        found.messageAttributes = try attributes(fields, "MessageAttribute")
        found.systemAttributes = try attributes(fields, "MessageSystemAttribute")
        found.deduplicationID = fields["MessageDeduplicationId"]
        found.groupID = fields["MessageGroupId"]
        found.receipt = fields["ReceiptHandle"]
        found.visibilityTimeout = try fields.number("VisibilityTimeout")
        return found
    }

    private static func attributes(
        _ fields: Field, _ name: Substring
    ) throws(SQSError) -> [SQSParameters.RawMessageAttribute]? {
        guard let items = fields.items(name) else { return nil }
        var found: [SQSParameters.RawMessageAttribute] = []
        for item in items.prefix(SQSLimits.maxMessageAttributes + 1) {
            guard let name = item["Name"] else { throw .missing("\(name).Name") }
            guard !found.contains(where: { Array($0.name.utf8) == Array(name.utf8) }) else {
                throw SQSError(.serialization, "\(SQSText.quoted(name)) stands twice in the attributes.")
            }
            var attribute = SQSParameters.RawMessageAttribute(name: name)
            let value = item.parts["Value"] ?? Field()
            attribute.type = value["DataType"]
            attribute.text = value["StringValue"].map { Array($0.utf8) }
            if let text = value["BinaryValue"] {
                guard let bytes = Base64.decode(Array(text.utf8)) else {
                    throw SQSError(.serialization, "The BinaryValue of an attribute is not base64.")
                }
                attribute.binary = bytes
            }
            attribute.hasLists = value.parts["StringListValue"] ?? value.parts["BinaryListValue"] != nil
            found.append(attribute)
        }
        return found
    }
}

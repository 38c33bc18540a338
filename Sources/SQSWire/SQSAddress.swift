public import KafkaModel

/// A queue's name, and how requests name it.
public struct SQSQueueName: Hashable, Sendable {
    public let text: ExactString
    public var isFIFO: Bool { text.text.hasSuffix(".fifo") }

    /// Letters, digits, hyphens and underscores, and of a FIFO queue the suffix `.fifo`. Nil: no name of a queue.
    public init?(_ name: String) {
        let stem = name.hasSuffix(".fifo") ? name.dropLast(5) : name[...]
        guard name.utf8.count <= SQSLimits.maxQueueNameBytes, !stem.isEmpty, stem.utf8.allSatisfy(SQSText.isNameByte)
        else { return nil }
        text = ExactString(name)
    }

    /// The name in a queue's address (`https://HOST/ACCOUNT/NAME`, whatever host and account are), or a bare name.
    init(address: String) throws(SQSError) {
        guard address.utf8.count <= SQSLimits.maxAddressBytes else { throw Self.invalidAddress(address) }
        var name = address[...]
        if let scheme = address.firstRange(of: "://") {
            let parts = address[scheme.upperBound...].split(separator: "/", omittingEmptySubsequences: false)
            // A host alone, or a query, is no queue's.
            guard parts.count >= 2, let last = parts.last else { throw Self.invalidAddress(address) }
            name = last
        } else if let slash = name.utf8.lastIndex(of: UInt8(ascii: "/")) {
            name = name[name.utf8.index(after: slash)...]
        }
        guard let found = SQSQueueName(String(name)) else { throw Self.invalidAddress(address) }
        self = found
    }

    private static func invalidAddress(_ address: String) -> SQSError {
        SQSError(.invalidAddress, "The address \(SQSText.quoted(address)) is not valid for this endpoint.")
    }

    /// The address of this queue at `base`, such as `http://127.0.0.1:8080`.
    public func address(at base: String) -> String { "\(base)/\(Self.account)/\(text)" }

    /// There are no accounts: all queues are of this one, as emulators have it.
    public static let account = "000000000000"
}

/// The resource name of a queue: `arn:aws:sqs:REGION:ACCOUNT:NAME`.
public enum SQSResourceName {
    public static func text(_ queue: SQSQueueName, region: String) -> String { text(queue.text.text, region: region) }

    /// Also of a queue whose name is none of SQS's.
    public static func text(_ queue: String, region: String) -> String {
        "arn:aws:sqs:\(region):\(SQSQueueName.account):\(queue)"
    }

    /// The queue that it names, in whichever partition, region and account. Nil: no queue's.
    public static func queue(_ text: String) -> SQSQueueName? {
        guard text.utf8.count <= SQSLimits.maxAddressBytes else { return nil }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), parts[2] == "sqs" else { return nil }
        return SQSQueueName(String(parts[5]))
    }
}

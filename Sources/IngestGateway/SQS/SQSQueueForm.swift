import BrokerCore
import KafkaModel
import QueueLedger
import SQSWire

/// A queue's settings as attributes of SQS, and the other way round. What the broker has a rule for is that rule; texts are kept beside
/// it as they were set, for tools compare them byte by byte.
enum SQSQueueForm {
    /// Names of attributes among those of a queue.
    private static let prefix = "sqs."

    /// Those that are kept as texts.
    private static let texts: [SQSQueueAttribute] = [
        .policy, .redrivePolicy, .redriveAllowPolicy, .kmsMasterKeyID, .kmsKeyReuseSeconds,
        .sqsManagedSSEEnabled, .deduplicationScope, .fifoThroughputLimit,
    ]

    // MARK: Setting

    static func apply(_ attributes: SQSQueueAttributes, to settings: inout QueueSettings) {
        func milliseconds(_ attribute: SQSQueueAttribute) -> Int64? {
            attributes[attribute].flatMap { Int64($0) }.map { $0 * 1_000 }
        }
        if let value = milliseconds(.visibilityTimeout) { settings.visibilityMs = value }
        if let value = milliseconds(.delaySeconds) { settings.delayMs = value }
        if let value = milliseconds(.messageRetentionPeriod) { settings.retentionMs = value }
        if let value = milliseconds(.receiveMessageWaitTimeSeconds) { settings.receiveWaitMs = value }
        if let value = attributes[.maximumMessageSize].flatMap({ Int($0) }) { settings.maxMessageBytes = value }
        if let value = attributes[.contentBasedDeduplication] { settings.deduplicatesByContent = value == "true" }
        if let value = attributes[.deduplicationScope] {
            settings.deduplicationScope = value == "messageGroup" ? .messageGroup : .queue
        }
        if attributes[.redrivePolicy] != nil {
            settings.deadLetterQueue = attributes.redrive?.deadLetterQueue.text.text
            settings.maxReceives = attributes.redrive?.maxReceiveCount
        }
        for attribute in texts {
            guard let value = attributes[attribute] else { continue }
            settings.attributes[prefix + attribute.rawValue] = value.isEmpty ? nil : value
        }
    }

    // MARK: Showing

    /// The value of an attribute that can be set; nil: the queue has none.
    static func value(_ attribute: SQSQueueAttribute, of settings: QueueSettings, region: String) -> String? {
        func seconds(_ milliseconds: Int64) -> String { String(milliseconds / 1_000) }
        let isFIFO = settings.order == .fifo
        switch attribute {
        case .visibilityTimeout: return seconds(settings.visibilityMs)
        case .delaySeconds: return seconds(settings.delayMs)
        case .messageRetentionPeriod: return seconds(settings.retentionMs)
        case .receiveMessageWaitTimeSeconds: return seconds(settings.receiveWaitMs)
        case .maximumMessageSize: return String(settings.maxMessageBytes)
        case .fifoQueue: return isFIFO ? "true" : nil
        case .contentBasedDeduplication: return isFIFO ? String(settings.deduplicatesByContent) : nil
        case .redrivePolicy: return redrivePolicy(of: settings, region: region)
        case .deduplicationScope where isFIFO:
            return settings.deduplicationScope == .messageGroup ? "messageGroup" : "queue"
        case .fifoThroughputLimit where isFIFO: return kept(attribute, settings) ?? "perQueue"
        default: return kept(attribute, settings) ?? attribute.standard
        }
    }

    static func kept(_ attribute: SQSQueueAttribute, _ settings: QueueSettings) -> String? {
        settings.attributes[prefix + attribute.rawValue]
    }

    /// The text as it was set, as long as it says what the queue does: that may have been changed by another surface.
    private static func redrivePolicy(of settings: QueueSettings, region: String) -> String? {
        guard let name = settings.deadLetterQueue, let queue = SQSQueueName(name), let most = settings.maxReceives
        else { return nil }
        if let text = kept(.redrivePolicy, settings),
            let read = try? SQSQueueAttributes([SQSPair(name: SQSQueueAttribute.redrivePolicy.rawValue, value: text)]),
            read.redrive?.deadLetterQueue == queue, read.redrive?.maxReceiveCount == most
        {
            return text
        }
        return
            "{\"deadLetterTargetArn\":\"\(SQSResourceName.text(queue, region: region))\",\"maxReceiveCount\":\(most)}"
    }

    /// The first attribute that is asked for and that an existing queue has another value of; nil: it is as asked.
    static func difference(
        _ asked: SQSQueueAttributes, from settings: QueueSettings, region: String
    ) -> SQSQueueAttribute? {
        SQSQueueAttribute.allCases.first { attribute in
            guard let wanted = asked[attribute] else { return false }
            let current = value(attribute, of: settings, region: region) ?? ""
            if let one = Int(wanted), let other = Int(current) { return one != other }
            return wanted != current && !(wanted == "false" && current.isEmpty)
        }
    }
}

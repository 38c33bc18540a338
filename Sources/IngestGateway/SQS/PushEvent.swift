public import BrokerCore
import ByteBuffers
import QueueLedger
import SQSWire

/// The body of a request by which a subscription hands over messages: as a function of AWS Lambda gets them, in the form in which SQS gives
/// them out.
public enum PushEvent {
    /// - Parameter settings: the queue's; nil: it was deleted meanwhile.
    public static func body(
        _ messages: [ReceivedMessage], of queue: String, _ settings: QueueSettings?, region: String
    ) -> [UInt8] {
        let received = messages.map {
            SQSMessageForm.received($0, names: .all, isFIFO: settings?.order == .fifo, region: region)
        }
        var out = ByteWriter(capacity: 4096)
        SQSEvent.write(received, source: SQSResourceName.text(queue, region: region), region: region, into: &out)
        return out.array
    }
}

public import ByteBuffers
import Security

/// The event in which a function of AWS Lambda gets messages of a queue. Source: AWS Lambda, "Using Lambda with Amazon SQS".
public enum SQSEvent {
    /// - Parameters:
    ///   - source: the queue's resource name.
    public static func write(
        _ messages: [SQSReceivedMessage], source: String, region: String, into out: inout ByteWriter
    ) {
        SQSComposer.compose(.json, into: &out) { composer in
            composer.list("Records", "", messages, isRequired: true) { message, composer in
                message.writeRecord(to: &composer)
                composer.text("eventSource", "aws:sqs")
                composer.text("eventSourceARN", source)
                composer.text("awsRegion", region)
            }
        }
    }
}

extension SQSReceivedMessage {
    fileprivate func writeRecord(to composer: inout SQSComposer) {
        composer.text("messageId", id)
        composer.text("receiptHandle", receipt)
        composer.bytes("body", body)
        let system = SQSSystemAttributes.names.compactMap { name, attribute in
            value(attribute).map { SQSPair(name: name.description, value: $0) }
        }
        composer.map("attributes", "", "", system)
        composer.entries("messageAttributes", "", messageAttributes, isRequired: true, \.name) { attribute, composer in
            if attribute.isBinary {
                composer.text("binaryValue", Base64.encode(attribute.value))
            } else {
                composer.bytes("stringValue", attribute.value)
            }
            composer.texts("stringListValues", "", [], isRequired: true)
            composer.texts("binaryListValues", "", [], isRequired: true)
            composer.text("dataType", attribute.type)
        }
        composer.text("md5OfBody", MD5.hexadecimal(body))
    }
}

import SQSWire

/// The services of AWS whose protocols are spoken here, each at any path: SDKs differ in where they send a request.
enum AWSService: CaseIterable {
    case sqs, kinesis

    /// As signatures name it.
    var name: String {
        switch self {
        case .sqs: "sqs"
        case .kinesis: "kinesis"
        }
    }

    /// What the field X-Amz-Target has before the name of an operation.
    var targetPrefix: StaticString {
        switch self {
        case .sqs: SQSOperation.targetPrefix
        case .kinesis: "Kinesis_20131202."
        }
    }
}

/// Their rows in a table of routes; nil: none is configured.
struct AWSRows {
    private let sqs: Int?
    private let kinesis: Int?

    init(_ definitions: [RouteDefinition]) {
        sqs = definitions.firstIndex { $0.endpoint == SQSEndpoint.self }
        kinesis = definitions.firstIndex { $0.endpoint == KinesisEndpoint.self }
    }

    subscript(service: AWSService) -> Int? {
        switch service {
        case .sqs: sqs
        case .kinesis: kinesis
        }
    }
}

/// Why a request, or one entry of a batch, is refused, in the words that SDKs know.
///
/// By JSON an error is a type (`com.amazonaws.sqs#QueueDoesNotExist`), and the code of the older protocol stands in the field
/// `x-amzn-query-error`: SDKs make the type an exception, and show the code. By XML there is the code alone.
/// Source: the service model of botocore, and the codes of its Smithy model.
public struct SQSError: Error, Hashable, Sendable {
    public let kind: Kind
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public enum Kind: Hashable, Sendable, CaseIterable {
        case batchEntryIDsNotDistinct
        case batchRequestTooLong
        case emptyBatchRequest
        case invalidAddress
        case invalidAttributeName
        case invalidAttributeValue
        case invalidBatchEntryID
        case invalidMessageContents
        case messageNotInflight
        case overLimit
        case purgeQueueInProgress
        case queueDeletedRecently
        case queueDoesNotExist
        case queueNameExists
        case receiptHandleIsInvalid
        case requestThrottled
        case resourceNotFound
        case tooManyEntriesInBatchRequest
        case unsupportedOperation
        // Not in the model, and answered by the service.
        case accessDenied
        case internalFailure
        case invalidAction
        case invalidParameterValue
        case missingParameter
        case serialization
        // Of the signature.
        case incompleteSignature
        case invalidClientTokenID
        case missingAuthenticationToken
        case signatureDoesNotMatch
    }
}

extension SQSError.Kind {
    private var names: (type: StaticString, code: StaticString) {
        switch self {
        case .batchEntryIDsNotDistinct:
            ("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
        case .batchRequestTooLong: ("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong")
        case .emptyBatchRequest: ("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest")
        case .invalidAddress: ("InvalidAddress", "InvalidAddress")
        case .invalidAttributeName: ("InvalidAttributeName", "InvalidAttributeName")
        case .invalidAttributeValue: ("InvalidAttributeValue", "InvalidAttributeValue")
        case .invalidBatchEntryID: ("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId")
        case .invalidMessageContents: ("InvalidMessageContents", "InvalidMessageContents")
        case .messageNotInflight: ("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight")
        case .overLimit: ("OverLimit", "OverLimit")
        case .purgeQueueInProgress: ("PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress")
        case .queueDeletedRecently: ("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently")
        case .queueDoesNotExist: ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
        case .queueNameExists: ("QueueNameExists", "QueueAlreadyExists")
        case .receiptHandleIsInvalid: ("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid")
        case .requestThrottled: ("RequestThrottled", "RequestThrottled")
        case .resourceNotFound: ("ResourceNotFoundException", "ResourceNotFoundException")
        case .tooManyEntriesInBatchRequest:
            ("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        case .unsupportedOperation: ("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation")
        case .accessDenied: ("AccessDeniedException", "AccessDenied")
        case .internalFailure: ("InternalFailure", "InternalFailure")
        case .invalidAction: ("UnknownOperationException", "InvalidAction")
        case .invalidParameterValue: ("InvalidParameterValueException", "InvalidParameterValue")
        case .missingParameter: ("MissingRequiredParameterException", "MissingParameter")
        case .serialization: ("SerializationException", "MalformedInput")
        case .incompleteSignature: ("IncompleteSignatureException", "IncompleteSignature")
        case .invalidClientTokenID: ("UnrecognizedClientException", "InvalidClientTokenId")
        case .missingAuthenticationToken: ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
        case .signatureDoesNotMatch: ("InvalidSignatureException", "SignatureDoesNotMatch")
        }
    }

    /// What stands in `__type`, with its name space.
    public var type: String { "\(isOfModel ? "com.amazonaws.sqs" : "com.amazon.coral.service")#\(names.type)" }

    /// The code of the older protocol: in `x-amzn-query-error`, in a batch's entries, and in XML.
    public var code: String { names.code.description }

    /// Whether the sender has to change something; otherwise the same may be sent again.
    public var isSendersFault: Bool { self != .internalFailure && self != .requestThrottled }

    /// What stands in the field `x-amzn-query-error`.
    public var queryError: String { "\(code);\(isSendersFault ? "Sender" : "Receiver")" }

    /// By JSON. 503 for what is to be sent again later: all SDKs do that by themselves, in each of their modes of retry.
    public var status: Int {
        switch self {
        case .requestThrottled: 503
        case .internalFailure: 500
        case .accessDenied, .invalidClientTokenID, .missingAuthenticationToken, .signatureDoesNotMatch: 403
        default: 400
        }
    }

    /// By XML.
    public var queryStatus: Int {
        switch self {
        case .invalidAddress, .resourceNotFound, .receiptHandleIsInvalid: 404
        case .overLimit, .purgeQueueInProgress: 403
        default: status
        }
    }

    private var isOfModel: Bool {
        switch self {
        case .accessDenied, .internalFailure, .invalidAction, .invalidParameterValue, .missingParameter, .serialization,
            .incompleteSignature, .invalidClientTokenID, .missingAuthenticationToken, .signatureDoesNotMatch:
            false
        default: true
        }
    }
}

extension SQSError {
    /// A queue that is not there, or that who asks may not see.
    public static let noQueue = SQSError(.queueDoesNotExist, "The specified queue does not exist.")

    static func missing(_ parameter: String) -> SQSError {
        SQSError(.missingParameter, "The request must contain the parameter \(parameter).")
    }

    /// A value that a parameter does not take; of the value no more is shown than an error may.
    public static func invalid(_ value: String, _ parameter: String, _ reason: String) -> SQSError {
        SQSError(
            .invalidParameterValue,
            "Value \(SQSText.quoted(value)) for parameter \(parameter) is invalid. Reason: \(reason)")
    }
}

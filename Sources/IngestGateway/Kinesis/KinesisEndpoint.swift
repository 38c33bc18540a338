import HTTPWire

/// The protocol of Amazon Kinesis Data Streams: `POST` at any path with `X-Amz-Target: Kinesis_20131202.…`, in JSON. A client that needs a
/// path of its own for it has `/kinesis`. A stream is a topic, a shard one of its partitions.
///
///     head ─► the key of the signature is one of ours, or who asks is known by another credential, or anybody may ask
///          ─► body ─► a worker: signature, JSON, permission, the operation
///          ─► reply, once what it tells is on disk; records in slices, as of any read
enum KinesisEndpoint: HTTPEndpoint {
    /// Which stream it is about stands in the body: the worker asks.
    static var access: EndpointAccess { .nothing }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if loop.head[.amzTarget] == nil {
            return .refused(
                Problem(.invalidHeader, "A request has the field X-Amz-Target: Kinesis_20131202.OPERATION."))
        }
        if loop.isCBOR {
            return .refused(
                Problem(
                    .unsupportedMediaType,
                    "Bodies are JSON here, not CBOR: set AWS_CBOR_DISABLE=true in the client's environment, or aws.cborEnabled=false "
                        + "of version 2 of the SDK for Java."))
        }
        if loop.head[.contentEncoding] != nil {
            return .refused(Problem(.unsupportedEncoding, "The body of this request is read as it is."))
        }
        let most = min(loop.routeRow.pointee.maxBodyBytes, KinesisLimits.maxRequestBytes)
        if case .length(let length) = loop.head.body, length > most { return .refused(loop.bodyTooLarge(most)) }
        return .collected(upTo: most)
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        .suspended(.work(KinesisWork(on: loop)))
    }
}

/// What a request has at most. Where the service names a limit, it is that one.
enum KinesisLimits {
    /// Of a body: 10 MiB of records in base64, their keys, and names. A longer one is answered 413.
    static let maxRequestBytes = 16 << 20
    /// Records of one PutRecords.
    static let maxRecords = 500
    /// Characters of a partition key.
    static let maxKeyCharacters = 256
    /// Records of one GetRecords, and of one that does not say how many.
    static let maxRead = RecordsReply.maxRecords
    /// Bytes of its reply; the last record may pass them.
    static let maxReadBytes = 10 << 20
    /// Milliseconds for which an iterator can be used.
    static let iteratorMs: Int64 = 300_000
    /// Bytes of an iterator that a request shows. Ours are shorter by far.
    static let maxIteratorBytes = 512
    /// Bytes of the name of a new stream.
    static let maxNameBytes = 128
    /// Bytes of a stream's name or resource name in a request about it, and of a page's token.
    static let maxTextBytes = 2048
    /// Shards, or streams, of one page, whatever more is asked for.
    static let maxListed = 1000
    /// The same where a request does not say.
    static let usualListed = 100
    /// What Limit and MaxResults can be.
    static let maxAskedListed = 10_000
    /// Shards of a new stream. A request makes them all.
    static let maxNewShards = 1000
    /// Hours that a new stream keeps records, which is the least that can be asked for, and the most.
    static let retentionHours = 24
    static let maxRetentionHours = 8_760
    /// Names within one request.
    static let maxKeys = 16 * (maxRecords + 1)
}

import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire

/// ApiVersions: what is served, read from the table of handlers.
///
/// Versions: 3 the client's name and version, which must be valid (KIP-511); 5 the cluster and node that the client means
/// (KIP-1242), a mismatch is REBOOTSTRAP_REQUIRED. Of features `group.version`, `share.version` and
/// `transaction.version` are told.
extension KafkaConnection {
    func apiVersions(_ request: borrowing Request) throws(DecodeError) {
        reply(try versions(request), to: request.ticket)
    }

    func versions(_ request: borrowing Request) throws(DecodeError) -> ApiVersionsResponse {
        let asked = try request.decode(ApiVersionsRequest.self)
        var response = ApiVersionsResponse()
        if request.version >= 3,
            !Self.isValidSoftware(asked.clientSoftwareName)
                || !Self.isValidSoftware(asked.clientSoftwareVersion)
        {
            response.errorCode = ErrorCode.invalidRequest.rawValue
        } else if request.version >= 5, let cluster = asked.clusterID, cluster != broker.clusterID {
            response.errorCode = ErrorCode.rebootstrapRequired.rawValue
        } else if request.version >= 5, asked.nodeID >= 0, asked.nodeID != broker.options.nodeID {
            response.errorCode = ErrorCode.rebootstrapRequired.rawValue
        } else {
            response.apiKeys = Self.versionEntries
            response.supportedFeatures = Self.supportedFeatures
            response.finalizedFeatures = Self.finalizedFeatures
            response.finalizedFeaturesEpoch = 0
        }
        return response
    }

    /// Of all that is served, made once: an entry of the table carries its handler, which costs two retains to look at.
    private static let versionEntries = APITable.all.map(versionEntry)

    // Features by which clients decide: groups of the consumer protocol (KIP-848), share groups (KIP-932), and transactions whose epoch is bumped at the end
    // of each (KIP-890). Source of the levels: KIP-1022. Made once, as the entries are: an array is an allocation.
    static let features: [(name: String, levels: ClosedRange<Int16>)] = [
        ("group.version", 0...1), ("share.version", 0...1), ("transaction.version", 0...2),
    ]
    private static let supportedFeatures = features.map { name, levels in
        var feature = ApiVersionsResponse.SupportedFeatureKey()
        (feature.name, feature.minVersion, feature.maxVersion) = (name, levels.lowerBound, levels.upperBound)
        return feature
    }
    private static let finalizedFeatures = features.map { name, levels in
        var feature = ApiVersionsResponse.FinalizedFeatureKey()
        (feature.name, feature.minVersionLevel, feature.maxVersionLevel) = (name, levels.upperBound, levels.upperBound)
        return feature
    }

    static func versionEntry(_ api: API) -> ApiVersionsResponse.ApiVersion {
        var entry = ApiVersionsResponse.ApiVersion()
        entry.apiKey = api.key.rawValue
        entry.minVersion = api.advertised.lowerBound
        entry.maxVersion = api.advertised.upperBound
        return entry
    }

    /// Checks a client's name or version by Kafka's rule: letters and digits, with dots and dashes inside.
    private static func isValidSoftware(_ text: String) -> Bool {
        func isPlain(_ byte: UInt8) -> Bool {
            (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
        }
        guard let first = text.utf8.first, let last = text.utf8.last, isPlain(first), isPlain(last) else {
            return false
        }
        return text.utf8.allSatisfy { isPlain($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }
}

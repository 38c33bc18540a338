import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// UpdateFeatures: the features' levels are those of this version of the broker. To ask for the level that is there succeeds;
/// every other is refused, and then nothing of the request is done. Source: KIP-584, KIP-778.
extension KafkaConnection {
    static func updateFeaturesPrice(_ asked: UpdateFeaturesRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.featureUpdates.count, UpdateFeaturesResponse.UpdatableFeatureResult.self, text: 0)
        // The message of one repeats its name, and is a string of its own.
        price.add(bytes: 1024 + 3 * (asked.featureUpdates.lazy.map(\.feature.utf8.count).max() ?? 0))
        return price.bytes
    }

    static func updateFeatures(
        _ asked: UpdateFeaturesRequest, _ context: AnswerContext
    ) -> Answer<UpdateFeaturesResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        for update in asked.featureUpdates {
            guard let problem = problem(of: update, context.node.id) else { continue }
            let refusal = AccessRefusal(
                .invalidUpdateVersion,
                "The update failed for all features since the following feature had an error: Invalid update version "
                    + "\(update.maxVersionLevel) for feature \(update.feature). \(problem)")
            return Answer(response: asked.refused(by: refusal))
        }
        var response = UpdateFeaturesResponse()
        response.errorMessage = nil
        if context.version < 2 {
            response.results = asked.featureUpdates.map { update in
                var result = UpdateFeaturesResponse.UpdatableFeatureResult()
                (result.feature, result.errorMessage) = (update.feature, nil)
                return result
            }
        }
        return Answer(response: response)
    }

    private static func problem(of update: UpdateFeaturesRequest.FeatureUpdateKey, _ nodeID: Int32) -> String? {
        guard let feature = features.first(where: { $0.name == update.feature }) else {
            return "Local controller \(nodeID) does not support this feature."
        }
        if feature.levels.upperBound == update.maxVersionLevel { return nil }
        return feature.levels.contains(update.maxVersionLevel)
            ? "It stays at level \(feature.levels.upperBound) in this version of the broker."
            : "Local controller \(nodeID) only supports versions \(feature.levels.lowerBound)-\(feature.levels.upperBound)"
    }
}

extension UpdateFeaturesRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> UpdateFeaturesResponse {
        var response = UpdateFeaturesResponse()
        (response.errorCode, response.errorMessage) = (refusal.error.rawValue, refusal.message)
        return response
    }
}

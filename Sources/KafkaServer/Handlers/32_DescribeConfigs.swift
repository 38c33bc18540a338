import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import Security

/// One setting as DescribeConfigs shows it.
struct SettingRow {
    /// Where a value comes from, by Kafka's codes.
    enum Source {
        static let topic: Int8 = 1
        static let staticBroker: Int8 = 4
        static let defaultValue: Int8 = 5
        static let group: Int8 = 8
    }

    var value: String?
    var source: Int8
    /// Every value that would be in force if the ones before it were not set.
    var synonyms: [(name: String, value: String?, source: Int8)] = []

    init(_ key: TopicSettingKey, _ settings: TopicSettings) {
        if let own = settings.overrides[key.name] { synonyms.append((key.name, own, Source.topic)) }
        if let broker = settings.brokerDefaults[key.name] {
            synonyms.append((key.brokerKey ?? key.name, broker, Source.staticBroker))
        }
        if let brokerKey = key.brokerKey { synonyms.append((brokerKey, key.defaultValue, Source.defaultValue)) }
        value = settings.value(key.name)
        source = synonyms.first?.source ?? Source.defaultValue
    }

    init(_ key: GroupSettingKey, _ own: String?, _ broker: BrokerOptions) {
        if let own { synonyms.append((key.name, own, Source.group)) }
        let brokerKey = key.brokerKey ?? key.name
        if broker.brokerSettings.contains(where: { $0.name == brokerKey && !$0.isDefault }) {
            synonyms.append((brokerKey, key.value(in: broker.groups), Source.staticBroker))
        }
        synonyms.append((brokerKey, key.defaultValue, Source.defaultValue))
        value = own ?? key.value(in: broker.groups)
        source = synonyms[0].source
    }
}

/// DescribeConfigs: topics (type 2), this broker (type 4) and groups (type 32, whether or not they are there), with defaults, synonyms
/// and documentation. Other resource types get INVALID_REQUEST, and so do resources that would make the reply too long. A resource named several times is
/// described once. Versions: 1 sources and synonyms; 3 types and documentation.
extension KafkaConnection {
    static func describeConfigsPrice(_ asked: DescribeConfigsRequest, _ context: AnswerContext) -> Int {
        let resources = Set(asked.resources.lazy.map(Resource.init))
        var price = ReplyPrice()
        price.add(resources.count, DescribeConfigsResponse.DescribeConfigsResult.self, text: 128)
        // A message may repeat it, and is a string of its own.
        price.add(bytes: 3 * resources.reduce(0) { $0 + $1.name.text.utf8.count })
        // Those for which there is no room are answered without.
        let rows = resources.reduce(0) { $0 + rowsPrice(of: $1, asked, context) }
        price.add(bytes: min(rows, ReplyRoom.bytes))
        return price.bytes
    }

    /// Returns what the settings of one resource take of the reply.
    private static func rowsPrice(
        of resource: Resource, _ asked: DescribeConfigsRequest, _ context: AnswerContext
    ) -> Int {
        var price = ReplyPrice()
        var rows = 0
        // Settings are as long as somebody made them, and stand in a row's synonyms once more.
        var values = 0
        switch resource.type {
        case 2:
            guard let topic = context.broker.catalog.topic(named: resource.name.text) else { break }
            rows = TopicSettingKey.all.count
            let set = topic.settings.overrides
            values =
                resource.keys.map { $0.reduce(0) { $0 + (set[$1]?.utf8.count ?? 0) } }
                ?? set.values.reduce(0) { $0 + $1.utf8.count }
        case 4:
            guard resource.name.text == String(context.broker.options.nodeID) else { break }
            rows = context.broker.options.brokerSettings.count
            values = context.broker.options.brokerSettings.reduce(0) { $0 + ($1.value?.utf8.count ?? 0) }
        case 32:
            rows = GroupSettingKey.all.count
            values = context.broker.groupSettings(resource.name).values.reduce(0) { $0 + $1.utf8.count }
        default: break
        }
        price.add(text: asked.includeSynonyms ? 2 * values : values)
        rows = min(rows, resource.keys?.count ?? .max)
        let text = 48 + (asked.includeDocumentation ? 96 : 0)
        price.add(rows, DescribeConfigsResponse.DescribeConfigsResourceResult.self, text: text)
        if asked.includeSynonyms {
            price.add(
                rows * (resource.type == 32 ? 3 : 2), DescribeConfigsResponse.DescribeConfigsSynonym.self, text: 48)
        }
        return price.bytes
    }

    private struct Resource: Hashable {
        var type: Int8
        var name: ExactString
        var keys: [String]?

        init(_ resource: DescribeConfigsRequest.DescribeConfigsResource) {
            type = resource.resourceType
            name = ExactString(resource.resourceName)
            keys = resource.configurationKeys
        }
    }

    static func describeConfigs(
        _ asked: DescribeConfigsRequest, _ context: AnswerContext
    ) -> Answer<DescribeConfigsResponse> {
        let broker = context.broker
        var response = DescribeConfigsResponse()
        var room = ReplyRoom()
        var answered: Set<Resource> = []
        for resource in asked.resources {
            let identity = Resource(resource)
            guard answered.insert(identity).inserted else { continue }
            var result = DescribeConfigsResponse.DescribeConfigsResult()
            result.resourceType = resource.resourceType
            result.resourceName = resource.resourceName
            result.errorMessage = nil
            if let refusal = context.permissions.refusal(
                .describeConfigs, resource.resourceType, resource.resourceName)
            {
                (result.errorCode, result.errorMessage) = (refusal.code.rawValue, refusal.message)
                response.results.append(result)
                continue
            }
            guard room.take(rowsPrice(of: identity, asked, context)) else {
                result.errorCode = ErrorCode.invalidRequest.rawValue
                result.errorMessage = ReplyRoom.refusal
                response.results.append(result)
                continue
            }
            describe(resource, asked, broker, &result)
            response.results.append(result)
        }
        return Answer(response: response)
    }

    private static func describe(
        _ resource: DescribeConfigsRequest.DescribeConfigsResource, _ asked: DescribeConfigsRequest, _ broker: Broker,
        _ result: inout DescribeConfigsResponse.DescribeConfigsResult
    ) {
        let keys = resource.configurationKeys.map(Set.init)
        func isAsked(_ name: String) -> Bool { keys?.contains(name) ?? true }
        let name = resource.resourceName
        switch resource.resourceType {
        case 2:
            if let topic = broker.catalog.topic(named: name) {
                result.configs = TopicSettingKey.all.filter { isAsked($0.name) }.map { key in
                    row(SettingRow(key, topic.settings), key.name, key.wireType, key.documentation, asked)
                }
            } else {
                let problem = TopicName.problem(name)
                result.errorCode =
                    (problem == nil ? ErrorCode.unknownTopicOrPartition : .invalidTopicException).rawValue
                result.errorMessage = problem
            }
        case 4:
            if name.isEmpty {
                // The cluster-wide default of dynamic broker settings: there are none.
            } else if name == String(broker.options.nodeID) {
                result.configs = broker.options.brokerSettings.filter { isAsked($0.name) }.map { row($0, asked) }
            } else {
                result.errorCode = ErrorCode.invalidRequest.rawValue
                result.errorMessage =
                    "Unexpected broker id, expected \(broker.options.nodeID), but received \(name)"
            }
        case 32:
            if name.isEmpty {
                result.errorCode = ErrorCode.invalidRequest.rawValue
                result.errorMessage = "Group name must not be empty"
                return
            }
            let own = broker.groupSettings(ExactString(name))
            result.configs = GroupSettingKey.all.filter { isAsked($0.name) }.map { key in
                row(
                    SettingRow(key, own[key.name], broker.options), key.name, key.wireType, key.documentation, asked)
            }
        default:
            result.errorCode = ErrorCode.invalidRequest.rawValue
            result.errorMessage = "Unsupported resource type: \(resource.resourceType)"
        }
    }

    private static func row(
        _ row: SettingRow, _ name: String, _ wireType: Int8, _ documentation: String, _ asked: DescribeConfigsRequest
    ) -> DescribeConfigsResponse.DescribeConfigsResourceResult {
        var result = DescribeConfigsResponse.DescribeConfigsResourceResult()
        result.name = name
        result.value = row.value
        result.configSource = row.source
        result.configType = wireType
        result.documentation = asked.includeDocumentation ? documentation : nil
        if asked.includeSynonyms {
            result.synonyms = row.synonyms.map { name, value, source in
                var synonym = DescribeConfigsResponse.DescribeConfigsSynonym()
                (synonym.name, synonym.value, synonym.source) = (name, value, source)
                return synonym
            }
        }
        return result
    }

    private static func row(
        _ setting: BrokerSetting, _ asked: DescribeConfigsRequest
    ) -> DescribeConfigsResponse.DescribeConfigsResourceResult {
        var result = DescribeConfigsResponse.DescribeConfigsResourceResult()
        result.name = setting.name
        result.value = setting.value
        result.isSensitive = setting.isSensitive
        result.readOnly = true
        result.configSource = setting.isDefault ? SettingRow.Source.defaultValue : SettingRow.Source.staticBroker
        result.configType = setting.wireType
        result.documentation = asked.includeDocumentation ? setting.documentation : nil
        if asked.includeSynonyms {
            var synonym = DescribeConfigsResponse.DescribeConfigsSynonym()
            synonym.name = setting.name
            synonym.value = setting.value
            synonym.source = result.configSource
            result.synonyms = [synonym]
        }
        return result
    }
}

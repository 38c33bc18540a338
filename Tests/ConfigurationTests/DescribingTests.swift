import Configuration
import Testing

@Suite struct DescribingTests {
    @Test func defaultsAreToldApartFromStaticValues() throws {
        let configuration = try Configuration.load(
            file: nil, environment: [:], flags: [("num.partitions", "4", "--set")])
        let set = try #require(configuration.described("num.partitions"))
        #expect(set.value == "4" && set.source.wireSource == 4 && set.wireType == 3)
        #expect(set.synonyms.map(\.value) == ["4", "1"])
        #expect(set.synonyms.map(\.source.wireSource) == [4, 5])
        let untouched = try #require(configuration.described("fetch.max.bytes"))
        #expect(untouched.source.wireSource == 5 && untouched.synonyms.count == 1)
    }

    @Test func everyKeyIsDescribedOnce() {
        let described = Configuration().described()
        #expect(described.count == ConfigurationTable.keys.count)
        #expect(Set(described.map(\.name)).count == described.count)
        #expect(described.allSatisfy { !$0.documentation.isEmpty && !$0.documentation.hasSuffix(".") })
        #expect(Configuration().described("no.such.key") == nil)
    }

    @Test func everyDefaultIsAllowedAndCanonical() {
        for key in ConfigurationTable.keys {
            guard let text = key.defaultText else { continue }
            #expect(key.canonical(text) == text, "\(key.name)")
        }
    }

    @Test func topicDefaultsAreInTheTopicSettingsUnit() {
        let configuration = Configuration()
        #expect(configuration.topicDefault("retention.ms")?.text == "604800000")
        #expect(configuration.topicDefault("segment.ms")?.text == "604800000")
        #expect(configuration.topicDefault("max.message.bytes")?.text == "1048588")
        #expect(configuration.topicDefault("cleanup.policy")?.text == "delete")
        #expect(configuration.topicDefault("no.such.setting") == nil)
    }
}

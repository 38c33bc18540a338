import Configuration
import Testing

@Suite struct DescribingTests {
    @Test func defaultsAreToldApartFromStaticValues() throws {
        let configuration = try Configuration.load(
            file: nil, environment: [:], flags: [("num.partitions", "4", "--set")])
        let set = try #require(configuration.described("num.partitions"))
        #expect(set.value == "4" && set.source.wireSource == 4 && set.wireType == 3 && set.isReadOnly)
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

    @Test func aDynamicKeyCanBeChangedAndResetAtRunTime() throws {
        let configuration = Configuration()
        let changed = try configuration.setting("log.retention.ms", to: "1d").get()
        #expect(changed.retentionMs == 86_400_000)
        #expect(changed.described("log.retention.ms")?.source.wireSource == 3)
        #expect(try changed.setting("log.retention.ms", to: nil).get() == configuration)
    }

    @Test func aReadOnlyKeyCannotBeChangedAtRunTime() {
        guard case .failure(let problem) = Configuration().setting("node.id", to: "3") else {
            Issue.record("changed")
            return
        }
        #expect(problem.description.contains("cannot be changed while the broker runs"))
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

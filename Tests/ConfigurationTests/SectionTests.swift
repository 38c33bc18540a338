import Configuration
import Testing

/// Parts of a file that are trees, and values out of the environment.
@Suite struct SectionTests {
    private func load(_ text: String, _ environment: [String: String] = [:]) throws -> Configuration {
        let file = TemporaryFile(text)
        return try Configuration.load(file: file.path, environment: environment, flags: [])
    }

    private func problem(_ text: String, _ environment: [String: String] = [:]) -> String {
        do {
            _ = try load(text, environment)
            return "none"
        } catch {
            return "\(error)"
        }
    }

    @Test func aSectionIsATreeWithLines() throws {
        let configuration = try load("num.partitions: 3\nroutes:\n  - path: /a\n    rate:\n      rps: 500\n  - {}\n")
        #expect(configuration.defaultPartitionCount == 3)
        let section = try #require(configuration.section("routes"))
        #expect(section.node.leaves.map { "\($0.path)=\($0.value)" } == ["[0].path=/a", "[0].rate.rps=500", "[1]={}"])
        guard case .list(let items) = section.node.content, case .mapping(let entries) = items[0].content,
            case .mapping(let rate) = entries[1].value.content
        else {
            Issue.record("another tree")
            return
        }
        #expect([items[0].line, entries[1].line, rate[0].line, items[1].line] == [3, 4, 5, 6])
        #expect(configuration.section("queues") == nil)
    }

    @Test func aSectionStandsOnceAndHoldsSomething() {
        #expect(problem("routes: []\nroutes: []\n").contains("line 2): the same key is set in line 1"))
        #expect(problem("routes:\n").contains("there is nothing in it"))
        #expect(problem("routes.a: 1\n").contains("there is no such key"))
        #expect(problem("routes: !x []\n").contains("a tag"))
    }

    @Test func valuesComeOutOfTheEnvironment() throws {
        let text = "num.partitions: ${N:-4}\ngateway.events.topic: a-${T}-$${T}-$5\nroutes: ['${T}']\n"
        let configuration = try load(text, ["T": "x"])
        #expect(configuration.defaultPartitionCount == 4)
        #expect(configuration.eventsTopic == "a-x-${T}-$5")
        #expect(configuration.section("routes")?.node.leaves.first?.value == "'x'")
        #expect(try load(text, ["T": "x", "N": "7"]).defaultPartitionCount == 7)
        #expect(try load(text, ["T": "x", "N": ""]).defaultPartitionCount == 4)
        // What is put in is not looked at again.
        #expect(try load(text, ["T": "${N}"]).eventsTopic == "a-${N}-${T}-$5")
    }

    @Test func whatCannotBePutInIsToldWithItsLine() {
        #expect(
            problem("node.id: 1\nnum.partitions: ${N}\n").contains("line 2): the environment variable N is not set"))
        #expect(problem("num.partitions: ${N}\n").contains("$${NAME}"))
        #expect(problem("num.partitions: ${N\n").contains("${ without its }"))
        #expect(problem("num.partitions: ${1N}\n").contains("names no variable"))
        let many = String(repeating: "${T}", count: 11)
        let long = String(repeating: "x", count: 100_000)
        #expect(problem("gateway.events.topic: \(many)\n", ["T": long]).contains("bytes out of the environment"))
    }

    @Test func keysThatDifferAreNamed() throws {
        let one = try load("num.partitions: 1\n")
        let other = try load("num.partitions: 2\nnode.id: 1\n")
        #expect(one.keysThatDiffer(from: Configuration()) == [])
        #expect(other.keysThatDiffer(from: one).contains("num.partitions"))
    }
}

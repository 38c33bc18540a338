import StorageIO
import Testing

@Suite struct PathTests {
    @Test func joiningPutsOneSlashBetween() {
        #expect(Path.join("a", "b") == "a/b")
        #expect(Path.join("a/", "b") == "a/b")
        #expect(Path.join("/", "b") == "/b")
        #expect(Path.join("", "b") == "b")
    }

    @Test func parentIsTheFolderThatHoldsThePath() {
        #expect(Path.parent("/data/topic/0.log") == "/data/topic")
        #expect(Path.parent("/data//topic/") == "/data")
        #expect(Path.parent("/data") == "/")
        #expect(Path.parent("/") == "/")
        #expect(Path.parent("0.log") == ".")
    }

    @Test func nameIsTheLastPart() {
        #expect(Path.name("/data/topic/0.log") == "0.log")
        #expect(Path.name("topic/") == "topic")
        #expect(Path.name("0.log") == "0.log")
    }
}

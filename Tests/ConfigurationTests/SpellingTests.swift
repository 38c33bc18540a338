import Configuration
import Testing

@Suite struct SpellingTests {
    @Test func slipsFindTheirWord() {
        let words = ["create", "list", "describe", "delete", "reset-offsets"]
        #expect(Spelling.nearest(to: "craete", among: words) == "create")
        #expect(Spelling.nearest(to: "lst", among: words) == "list")
        #expect(Spelling.nearest(to: "resetoffsets", among: words) == "reset-offsets")
        #expect(Spelling.nearest(to: "reset_offsets", among: words) == "reset-offsets")
        #expect(Spelling.nearest(to: "desc", among: words) == "describe")
    }

    @Test func aWordLikeNoneFindsNothing() {
        #expect(Spelling.nearest(to: "xyzzy", among: ["create", "list"]) == nil)
        #expect(Spelling.nearest(to: "", among: ["create"]) == nil)
        #expect(Spelling.nearest(to: "ab", among: ["cd"]) == nil)
        #expect(Spelling.nearest(to: String(repeating: "a", count: 100_000), among: ["a"]) == nil)
    }
}

@Suite struct EndpointTests {
    @Test(arguments: [
        ("localhost:9092", "localhost", 9092), (":8080", "", 8080), ("[::1]:9092", "::1", 9092),
        ("0.0.0.0:1", "0.0.0.0", 1), (":0", "", 0), ("*:9", "", 9),
    ])
    func addressesAreRead(text: String, host: String, port: Int) {
        #expect(Endpoint(text) == Endpoint(host: host, port: UInt16(port)))
    }

    @Test(arguments: ["", "9092", "localhost:", "::1:9092", "[]:1", "[a]:1", "a b:1", "http://a:1", "a:65536", "a:-1"])
    func othersAreRefused(text: String) { #expect(Endpoint(text) == nil) }

    @Test func theTextFormRoundTrips() {
        for text in ["[::1]:9092", "localhost:1", ":8080"] { #expect(Endpoint(text)?.description == text) }
    }
}

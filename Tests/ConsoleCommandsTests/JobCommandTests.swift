import BrokerTestKit
import Glibc
import Testing

/// `millrace job …` against a gateway of this process.
@Suite struct JobCommandTests {
    /// Sends a file; gives what is answered.
    private func send(_ file: String, to harness: CommandHarness) throws -> String {
        let port = try #require(harness.httpAddress.split(separator: ":").last.flatMap { UInt16($0) })
        let descriptor = try Loopback.connect(port: port)
        defer { close(descriptor) }
        let text =
            "POST /v1/files?topic=rows HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: text/csv\r\n"
            + "Content-Length: \(file.utf8.count)\r\n\r\n\(file)"
        let bytes = Array(text.utf8)
        #expect(Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
        var (reply, piece) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            guard count > 0 else { break }
            reply += piece[..<count]
        }
        return String(decoding: reply, as: UTF8.self)
    }

    @Test func jobsAreListedShownAndEnded() throws {
        let harness = try CommandHarness(["http.enable": "true"])
        func job(_ words: String..., status: Int32 = 0) throws -> CommandRun {
            let run = try CommandRun.of(["job"] + words + ["--http", harness.httpAddress] + CommandHarness.patience)
            #expect(run.status == status, "\(words): \(run.output)\(run.errors)")
            return run
        }
        #expect(try job("list").errors.contains("no jobs"))
        let reply = try send("a,b\n1,2\n3\n", to: harness)
        #expect(reply.hasPrefix("HTTP/1.1 201 "), "\(reply)")
        let listed = try job("list").lines
        #expect(listed.count == 2 && listed[0].hasPrefix("JOB "))
        let cells = listed[1].split(separator: " ").map(String.init)
        #expect(cells[1...5] == ["upload", "finished", "rows", "1", "1"], "\(listed)")
        #expect(try JSON(job("list", "--json", "--count", "1").output)[0]["accepted"].integer == 1)
        let shown = try job("describe", cells[0]).lines
        #expect(shown.contains { $0.hasPrefix("quarantine ") && $0.hasSuffix("quarantine.rows") }, "\(shown)")
        #expect(shown.last?.hasSuffix("The row has 1 cell, and the header 2") == true, "\(shown)")
        #expect(try JSON(job("describe", cells[0], "--json").output)["errors"][0]["line"].integer == 3)
        #expect(try job("cancel", cells[0], status: 1).errors.contains("has ended"))
        #expect(try job("describe", "none", status: 1).errors.contains("no such job"))
    }
}

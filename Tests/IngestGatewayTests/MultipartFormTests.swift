import BrokerTestKit
import ByteBuffers
import Testing

@testable import IngestGateway

/// Forms as clients send them, whole and byte by byte.
@Suite struct MultipartFormTests {
    private struct Read: Equatable {
        var file = ""
        var problem: String?
        var name: String?
        var type: String?
    }

    /// Reads a form in pieces of so many bytes.
    private static func read(_ text: String, by size: Int = .max, boundary: String = "b") -> Read {
        read(Array(text.utf8), by: size, boundary: boundary)
    }

    private static func read(_ bytes: [UInt8], by size: Int, boundary: String = "b") -> Read {
        let form = MultipartForm(boundary: Array(boundary.utf8), piece: 64 << 10)
        var (read, file) = (Read(), [UInt8]())
        var at = 0
        while at < bytes.count, read.problem == nil {
            let end = at + min(size, bytes.count - at)
            bytes[at..<end].withUnsafeBytes { read.problem = form.take($0) { file += $0 }?.detail }
            at = end
        }
        read.problem = read.problem ?? form.endProblem?.detail
        read.file = String(decoding: file, as: UTF8.self)
        read.name = form.fileName
        read.type = form.contentType.map { String(decoding: $0, as: UTF8.self) }
        return read
    }

    private static let usual =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n"

    /// Wherever its pieces end, a form gives what it gives in one piece.
    @Test(
        arguments: [
            ("a,b\r\n1,2\r\n", ""), ("", ""), ("\r\n", "epilogue\r\n--b\r\n"), ("--b", ""), ("\r\n-", "\r\n"),
            ("\r\n--\r\n--a\r\r\n--", "--"), ("é\r\n\r\n--c--\r\n", ""),
        ])
    func theFileIsWhatStandsBetweenTheBoundaries(file: String, epilogue: String) {
        for preamble in ["", "\r\n", "This is a form.\r\n--a\r\n"] {
            let text = preamble + Self.usual + file + "\r\n--b--" + epilogue
            for size in 1...text.utf8.count {
                let read = Self.read(text, by: size)
                #expect(read == Read(file: file, name: "a.csv", type: "text/csv"), "\(size) of \(text)")
            }
        }
    }

    /// Whatever comes, in pieces it is taken, or refused, as it is whole.
    @Test func thePiecesOfAnyFormDoNotMatter() {
        let words = ["\r\n--b", "--", "\r\n", "\r", "-", ": ", "\r\n\r\n", "; name=file", "\0", "é", Self.usual].map {
            Array($0.utf8)
        }
        for seed in testSeeds(200) {
            var random = SeededRandom(seed: seed)
            var form = Array((Self.usual + "a,b\r\n1,2\r\n--b--\r\n").utf8)
            for _ in 0..<(1 + random.below(4)) {
                let place = random.below(form.count)
                let end = min(form.count, place + random.below(12))
                form.replaceSubrange(place..<end, with: random.below(3) == 0 ? [] : words[random.below(words.count)])
                if random.below(40) == 0 { form.insert(contentsOf: repeatElement(0x61, count: 4200), at: place) }
            }
            let whole = Self.read(form, by: .max)
            for size in [1, 2, 7, 61] {
                #expect(Self.read(form, by: size) == whole, "seed \(seed), by \(size)")
            }
        }
    }

    @Test(
        arguments: [
            ("form-data; name=file; filename=a.csv", "a.csv"), ("form-data;name=\"file\"", nil),
            ("FORM-DATA; Filename=\"C:\\\\dir\\\\é \\\"x\\\".csv\"; NAME=file", "é \"x\".csv"),
            ("form-data; name=file; filename=\"../../etc/passwd\"", "passwd"),
            ("form-data; name=file; filename=\"C:\\dir\\a.csv\"", "a.csv"),
            ("form-data; name=file; filename=\"\"", nil), ("form-data; name=file; filename=\"a\u{1}\u{7f}b\"", "ab"),
            ("form-data; x=\"; name=other\"; name=file", nil),
        ] as [(String, String?)])
    func namesAreReadAndAreNoPaths(field: String, name: String?) {
        let read = Self.read("--b \t\r\nX: y\r\ncontent-disposition:\t\(field) \r\n\r\n1\r\n--b--\r\n")
        #expect(read == Read(file: "1", name: name))
    }

    @Test func aLongNameIsCut() {
        let name = String(repeating: "é", count: 300)
        let read = Self.read("--b\r\nContent-Disposition: form-data; name=file; filename=\(name)\r\n\r\n1\r\n--b--")
        #expect(read.name == String(repeating: "é", count: MultipartForm.maxNameBytes / 2))
    }

    @Test(
        arguments: [
            ("", "ends before its last boundary"), ("--b", "ends before"), ("--b-", "ends before"),
            (usual, "ends before"), (usual + "a\r\n--b", "ends before"), (usual + "a\r\n--b-", "ends before"),
            ("--b--", "no field file"), ("preamble\r\n--b--\r\n", "no field file"),
            ("--bad\r\n\r\n", "follows a boundary"), (usual + "a\r\n--bad", "follows a boundary"),
            ("--b\r\nContent-Disposition: form-data; name=note\r\n\r\n1\r\n--b--", "the field note, which is not read"),
            ("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n", "the field f, which"),
            (usual + "a\r\n" + usual, "the field file twice"),
            ("--b\r\n\r\n1\r\n--b--", "no Content-Disposition"),
            ("--b\r\nContent-Disposition: attachment; name=file\r\n\r\n1", "no Content-Disposition"),
            ("--b\r\nno field\r\n\r\n1", "a name, a colon and a value"),
            ("--b\r\n: x\r\n\r\n1", "a name, a colon and a value"),
        ])
    func whatIsNoFormIsRefused(text: String, words: String) {
        for size in [1, 2, 3, 7, Int.max] {
            let read = Self.read(text, by: size)
            #expect(read.problem?.contains(words) == true, "\(size) of \(text): \(read)")
        }
    }

    @Test func whatNobodyReadsIsBounded() {
        let long = String(repeating: "x", count: MultipartForm.maxPartFieldBytes)
        let fields = Self.read("--b\r\nX: \(long)")
        #expect(fields.problem?.contains("longer than 4096 bytes") == true)
        let whole = Self.read("--b\r\nX: \(long)\r\n\r\n")
        #expect(whole.problem?.contains("longer than 4096 bytes") == true)
        let preamble = Self.read(String(repeating: "x", count: MultipartForm.maxPreambleBytes + 8))
        #expect(preamble.problem?.contains("does not come in the first 4096 bytes") == true)
        let epilogue = String(repeating: "x", count: MultipartForm.maxEpilogueBytes)
        for size in [1, 7, 1000, Int.max] {
            #expect(Self.read("\(Self.usual)1\r\n--b--\(epilogue)", by: size).problem == nil)
            let more = Self.read("\(Self.usual)1\r\n--b--\(epilogue)x", by: size)
            #expect(more.problem?.contains("More than 4096 bytes stand behind") == true, "\(size): \(more)")
        }
        // As long as they may be.
        let fit = String(repeating: "x", count: MultipartForm.maxPartFieldBytes - 50)
        #expect(Self.read("--b\r\nX: \(fit)\r\n\(Self.usual.dropFirst(4))1\r\n--b--").problem != nil)
        let less = String(repeating: "x", count: MultipartForm.maxPartFieldBytes - 200)
        #expect(Self.read("--b\r\nX: \(less)\r\n\(Self.usual.dropFirst(4))1\r\n--b--").file == "1")
    }

    @Test(
        arguments: [
            ("multipart/form-data; boundary=abc", "abc"), ("multipart/form-data; Boundary=\"a b:c\"", "a b:c"),
            ("multipart/form-data; charset=utf-8;boundary=x", "x"), ("multipart/form-data", nil),
            ("multipart/form-data; boundary=", nil), ("multipart/form-data; boundary=\"a \"", nil),
            ("multipart/form-data; boundary=\(String(repeating: "x", count: 71))", nil),
            ("multipart/form-data; boundary=\(String(repeating: "x", count: 70))", String(repeating: "x", count: 70)),
        ] as [(String, String?)])
    func aBoundaryIsReadFromTheContentType(value: String, boundary: String?) {
        let found = Array(value.utf8).withUnsafeBytes { MultipartForm.boundary(of: $0) }
        #expect(found.map { String(decoding: $0, as: UTF8.self) } == boundary)
    }
}

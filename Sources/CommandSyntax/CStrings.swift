internal import Glibc

/// C's form of a list of texts: pointers to zero-terminated copies, with a null pointer at the end.
enum CStrings {
    struct Vector {
        let base: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
        let count: Int

        subscript(index: Int) -> UnsafePointer<CChar> { UnsafePointer(base[index]!) }
        func string(_ index: Int) -> String { String(cString: base[index]!) }
    }

    static func with<Result>(_ texts: [String], _ body: (Vector) -> Result) -> Result {
        var copies: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        // The callee may reorder the pointers, so the originals are freed.
        let originals = copies
        defer { for copy in originals { free(copy) } }
        return copies.withUnsafeMutableBufferPointer { body(Vector(base: $0.baseAddress!, count: texts.count)) }
    }
}

import Glibc

/// What libFuzzer calls with each input. `MILLRACE_FUZZ_TARGET` names the target.
///
/// A target says what is wrong by a trap: libFuzzer keeps the input then. What the input itself may do is refuse, throw,
/// close; never trap, read beyond its bytes (AddressSanitizer), or take memory or time without bound (libFuzzer's limits).
private let targets: [String: @Sendable (UnsafeRawBufferPointer) -> Void] = [
    "messages": fuzzMessages, "handlers": fuzzHandlers, "batches": fuzzBatches, "recovery": fuzzRecovery,
    "http": fuzzHTTP, "http2": fuzzHTTP2, "json": fuzzJSON, "tls": fuzzTLS, "tokens": fuzzTokens, "sasl": fuzzSasl,
    "signatures": fuzzSignatures, "sqs": fuzzSQS, "multipart": fuzzMultipart,
]

private let target: @Sendable (UnsafeRawBufferPointer) -> Void = {
    guard let name = getenv("MILLRACE_FUZZ_TARGET").map({ String(cString: $0) }), let found = targets[name] else {
        fatalError("MILLRACE_FUZZ_TARGET is one of \(targets.keys.sorted())")
    }
    raiseDescriptorLimit()
    return found
}()

/// Each connection that a broker keeps has a descriptor on both sides here.
private func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ base: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    target(UnsafeRawBufferPointer(start: base, count: count))
    return 0
}

/// A trap that says why in a release build, too.
func insist(_ isRight: Bool, _ otherwise: @autoclosure () -> String = "a promise does not hold") {
    if !isRight { fatalError(otherwise()) }
}

/// Takes bytes of an input from its front; zeros when it has ended.
struct Input {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { at >= bytes.count }

    mutating func byte() -> UInt8 {
        defer { at += 1 }
        return at < bytes.count ? bytes[at] : 0
    }

    mutating func uint16() -> Int { Int(byte()) << 8 | Int(byte()) }

    mutating func take(_ count: Int) -> UnsafeRawBufferPointer {
        let start = min(at, bytes.count)
        let end = min(start + count, bytes.count)
        at = end
        return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }

    mutating func rest() -> UnsafeRawBufferPointer { take(bytes.count) }
}

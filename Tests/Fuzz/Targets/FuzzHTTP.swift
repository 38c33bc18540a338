import HTTPWire

/// Requests as a connection gets them: heads, and bodies in chunks. Whole and in pieces they must come out the same.
@Sendable func fuzzHTTP(_ bytes: UnsafeRawBufferPointer) {
    var head = RequestHead()
    var progress = HeadProgress()
    let whole = head.parse(bytes, &progress)
    var sum = 0
    if case .complete(let length) = whole {
        insist(length <= bytes.count)
        for index in 0..<head.fieldCount {
            for byte in head.fieldName(index) { sum &+= Int(byte) }
            for byte in head.fieldValue(index) { sum &+= Int(byte) }
        }
        for byte in head.path { sum &+= Int(byte) }
        for byte in head.query { sum &+= Int(byte) }
        for byte in head.authority { sum &+= Int(byte) }
        if head.body == .chunked { fuzzChunks(UnsafeRawBufferPointer(rebasing: bytes[length...])) }
    } else {
        // Not a head: maybe a body.
        fuzzChunks(bytes)
    }
    growing(bytes, whole)
}

/// A head that arrives in pieces has the same end, and is refused no later than a whole one.
private func growing(_ bytes: UnsafeRawBufferPointer, _ whole: HeadOutcome) {
    var head = RequestHead()
    var progress = HeadProgress()
    let step = max(1, bytes.count / 13)
    var count = 0
    while count < bytes.count {
        count = min(count + step, bytes.count)
        switch head.parse(UnsafeRawBufferPointer(rebasing: bytes[..<count]), &progress) {
        case .incomplete:
            continue
        case .complete(let length):
            insist(whole == .complete(length: length), "in pieces \(length), whole \(whole)")
            return
        case .failure:
            guard case .failure = whole else { fatalError("refused in pieces, whole \(whole)") }
            return
        }
    }
    // A failure may be seen only when the end is there: what is incomplete in pieces is so as a whole, or refused.
    if case .complete = whole { fatalError("incomplete in pieces, whole \(whole)") }
}

private struct Body: Equatable {
    var bytes: [UInt8] = []
    var end: ChunkedDecoder.Event?
    var used = 0
}

private func fuzzChunks(_ bytes: UnsafeRawBufferPointer) {
    let whole = decode(bytes, step: bytes.count)
    insist(whole == decode(bytes, step: 1) && whole == decode(bytes, step: 3), "the pieces matter")
}

private func decode(_ bytes: UnsafeRawBufferPointer, step: Int) -> Body {
    var decoder = ChunkedDecoder(maxBody: 4096)
    var body = Body()
    var start = 0
    while start < bytes.count {
        let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + step, bytes.count)])
        var position = 0
        pieces: while true {
            switch decoder.next(piece, &position) {
            case .needMore:
                break pieces
            case .data(let range):
                body.bytes += piece[range]
            case let event:
                body.end = event
                // How far a failure has looked is nobody's affair.
                if event == .end { body.used = start + position }
                return body
            }
        }
        start += piece.count
    }
    return body
}

import ByteBuffers
import HTTPWire
import Telemetry
import Transport

/// Bodies that are read in pieces. Nothing of them is kept or reserved here: what a reader keeps is its own affair.
extension HTTPConnection {
    /// Begins to read the body of the request at hand. False: refused.
    func readPieces(
        by reader: any BodyReader, upTo most: Int, _ input: inout ConnectionInput, head length: Int,
        _ connection: Connection
    ) -> Bool {
        let framing: StreamedBody.Framing
        switch loop.head.body {
        case .length(let bytes):
            guard bytes <= most else {
                refuse(loop.bodyTooLarge(most), on: connection, begun: true)
                return false
            }
            framing = .length(bytes)
        case .chunked: framing = .chunks(ChunkedDecoder(maxBody: most))
        }
        beginReceivingBody(connection)
        if let windows = reader as? WindowedBody {
            if let problem = reserve(windows.price, connection) {
                refuse(problem, on: connection, begun: true)
                return false
            }
            // A body of any length may take any time, as long as it comes.
            exchange?.deadline = .max
        }
        exchange?.head = loop.pool.slice(copying: UnsafeRawBufferPointer(rebasing: input.readable[..<length]))
        input.consume(length)
        if loop.head.expectsContinue, input.isEmpty { connection.write { ResponseHead.writeContinue(&$0) } }
        state = .reading(StreamedBody(reader, framing))
        return true
    }

    /// Hands on what is here of the body. False: wait for more bytes.
    func readPieces(_ input: inout ConnectionInput, _ body: StreamedBody, _ connection: Connection) -> Bool {
        let bytes = input.readable
        var position = 0
        let isWhole: Bool?
        switch body.framing {
        case .length(let rest):
            position = min(rest, bytes.count, body.reader.room)
            body.framing = .length(rest - position)
            let took = position == 0 || take(0..<position, of: bytes, body, connection)
            isWhole = took ? rest == position : nil
        case .chunks(var decoder):
            isWhole = readChunks(&decoder, bytes, &position, body, connection)
            body.framing = .chunks(decoder)
        }
        // Refused: the connection is ending, and has let go of its input.
        guard let isWhole else { return false }
        input.consume(position)
        if let windows = body.windows, isWhole || windows.isFull {
            if isWhole { windows.end() }
            handleWindows(windows, body, connection)
            return false
        }
        if !isWhole { return false }
        state = .head
        finishReceiving(connection)
        revive(connection)
        if case .chunks = body.framing { loop.countChunks(body.received) }
        let started = MonotonicClock.nanoseconds
        loop.peer = peerKey(connection)
        if let rest = settle(body.reader.end(on: loop), started: started, connection) { wait(for: rest, connection) }
        return true
    }

    /// Whether the body has ended; nil: refused.
    private func readChunks(
        _ decoder: inout ChunkedDecoder, _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ body: StreamedBody,
        _ connection: Connection
    ) -> Bool? {
        while true {
            // No piece is longer than what its reader takes at the moment.
            let end = position + min(body.reader.room, bytes.count - position)
            switch decoder.next(UnsafeRawBufferPointer(rebasing: bytes[..<end]), &position) {
            case .needMore:
                if end == bytes.count { return false }
            case .data(let range):
                guard take(range, of: bytes, body, connection) else { return nil }
                if let windows = body.windows, windows.isFull { return false }
            case .failure(let failure):
                if let windows = body.windows {
                    gateway.metrics.refusedInput.add()
                    stop(windows, Problem(failure), connection)
                    return nil
                }
                chunksFailed(failure, limit: decoder.maxBody, connection)
                return nil
            case .end: return true
            }
        }
    }

    /// Hands one piece on. False: refused.
    private func take(
        _ range: Range<Int>, of bytes: UnsafeRawBufferPointer, _ body: StreamedBody, _ connection: Connection
    ) -> Bool {
        body.received += range.count
        gateway.metrics.receivedBytes.add(range.count)
        guard let problem = body.reader.take(UnsafeRawBufferPointer(rebasing: bytes[range]), on: loop) else {
            return true
        }
        revive(connection)
        refuse(problem, on: connection, begun: true)
        return false
    }
}

import ByteBuffers
import Telemetry
import Transport

/// What both versions of HTTP do alike for a reply that is made in slices: they differ in whom they send a slice to.
extension GatewayLoop {
    /// What came of one slice, which stands in `out`.
    enum ReplySlice {
        case pause
        case leave
        case wait
        case done
        case failed(Problem)
    }

    /// Works on the reply for one slice. `exchange` is asked for when the reply is not done within it.
    func makeSlice(of reply: RecordsReply, by peer: PeerKey, _ exchange: () -> Exchange) -> ReplySlice {
        let began = MonotonicClock.nanoseconds
        defer { slicing.charge(MonotonicClock.nanoseconds - began) }
        let place = reply.place
        if let part = place.flatMap({ waits.part(from: $0) }) {
            reply.jump(to: part.marks)
            sharedPart = part.text
            return .wait
        }
        switch reply.advance(&out) {
        case .done:
            self.reply.contentType = reply.mediaType
            return .done
        case .failed(let problem): return .failed(problem)
        case .leave(let price):
            if let problem = account(for: reply, adding: price, by: peer, exchange()) { return .failed(problem) }
            return reply.hasErrands ? .leave : .pause
        case .wait:
            if let place, out.count > 0 {
                let text = pool.slice(copying: out.bytes)
                waits.keep(SharedParts.Part(from: place, text: text, marks: reply.marks))
                sharedPart = text
            }
            // It keeps nothing.
            return account(for: reply, by: peer, exchange()).map { .failed($0) } ?? .wait
        case .pause:
            gateway.metrics.slices.add()
            if let problem = account(for: reply, by: peer, exchange()) { return .failed(problem) }
            return .pause
        }
    }

    /// Sends what `out` holds of a reply, behind its head when that is not sent yet.
    func writeSlice(of streamed: StreamedReply) {
        let part = sharedPart
        sharedPart = nil
        if part == nil, out.count == 0 { return }
        defer { trim() }
        if !streamed.writer.hasBegun {
            reply.contentType = streamed.reply.mediaType
            reply.isStream = streamed.reply.isStream
            streamed.writer.begin()
            count(started: now, ended: now)
        }
        let text = part ?? pool.slice(copying: out.bytes)
        if streamed.reply.isStream { metrics.reading.streamedBytes.add(text.count) }
        streamed.writer.write(text)
    }

    /// Counts what a reply holds until its next turn as its peer's. One that holds more than a peer may have takes all
    /// of that: the largest batch can be read, by one request of a peer at a time.
    func account(for reply: RecordsReply, adding price: Int = 0, by peer: PeerKey, _ exchange: Exchange) -> Problem? {
        let held = min(reply.heldBytes + price, gateway.options.maxInflightBytesPerPeer)
        if held <= exchange.reserved {
            gateway.inflight.release(exchange.reserved - held, of: peer)
            exchange.reserved = held
            return nil
        }
        guard let problem = reserve(held - exchange.reserved, by: peer, { exchange }) else { return nil }
        return reply.giveUp() ? nil : problem
    }

    /// Reserves memory for a request's body or reply; the exchange has it from then on.
    func reserve(_ bytes: Int, by peer: PeerKey, _ exchange: () -> Exchange) -> Problem? {
        if let problem = reserve(bytes, by: peer) { return problem }
        exchange().reserved += bytes
        return nil
    }

    /// Reserves memory that the caller gives back.
    func reserve(_ bytes: Int, by peer: PeerKey) -> Problem? {
        switch gateway.inflight.reserve(bytes, for: peer) {
        case .total: .tooManyBodies
        case .peer: Problem(.overloaded, "Too many bodies are being received from your address.", retryAfter: 1)
        case nil: nil
        }
    }
}

extension Problem {
    static var tooManyBodies: Problem {
        Problem(.overloaded, "Too many bodies are being received at the moment.", retryAfter: 1)
    }

    static var noWorker: Problem { Problem(.overloaded, "Too many requests wait for a worker.", retryAfter: 1) }
}

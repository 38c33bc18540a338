internal import KafkaModel

/// What came of the actions. An event that no action asked for is our bug.
extension ForwardLane {
    public mutating func producer(_ session: ForwardProducer) {
        (producer, isOpening, producerFailures, producerAtMs) = (session, false, 0, .min)
    }

    public mutating func producerFailed(nowMs: Int64) {
        isOpening = false
        producerFailures += 1
        producerAtMs = nowMs + backoffMs(producerFailures)
    }

    /// The intent is on disk.
    public mutating func recorded(_ partitionIndex: Int32) {
        change(partitionIndex) { line, batch in
            precondition(batch.phase == .recording, "a batch was recorded that is \(batch.phase)")
            batch.phase = .recorded
        }
    }

    /// The destination has answered, or has not.
    public mutating func answered(_ partitionIndex: Int32, _ outcome: ForwardOutcome, nowMs: Int64) {
        var line = lines.removeValue(forKey: partitionIndex) ?? Line()
        defer { lines[partitionIndex] = line }
        guard var batch = line.batch, batch.phase == .sending else {
            preconditionFailure("an answer to a batch that was not sent")
        }
        switch outcome {
        case .accepted:
            (line.failures, line.retryAtMs) = (0, .min)
            batch.phase = .accepted
            line.batch = batch
        case .failed:
            fail(&line, nowMs)
            batch.phase = .recorded
            line.batch = batch
        case .tooLarge(let reason):
            if batch.messages.count > 1, batch.bytes > 0 {
                knownLimit = max(Self.leastLimit, min(knownLimit, batch.bytes / 2))
            }
            refuse(&line, batch, reason)
        case .invalid(let reason): refuse(&line, batch, reason)
        case .producerLost:
            // It is not there, and neither is anything else of this producer's behind it: another one begins anew.
            fail(&line, nowMs)
            if producer == batch.intent.producer { producer = nil }
            leave(&line, batch, [batch.messages])
        }
    }

    /// What a destination said that it does not take is no reason for batches of less.
    private static let leastLimit = 16 << 10

    /// Halves a batch that is not taken as it is, down to the one message that is the reason.
    private mutating func refuse(_ line: inout Line, _ batch: Batch, _ reason: String) {
        (line.failures, line.retryAtMs) = (0, .min)
        guard batch.messages.count > 1 else {
            line.batch = batch
            line.batch?.phase = .refused(reason)
            return
        }
        let middle = batch.messages.count / 2
        // The intent on disk stays until that of the first half takes its place: sent again, it is refused again.
        leave(&line, batch, [Array(batch.messages[middle...]), Array(batch.messages[..<middle])])
    }

    private mutating func leave(_ line: inout Line, _ batch: Batch, _ pieces: [[ForwardMessage]]) {
        line.pieces += pieces
        // The sequences of a batch that was refused are free.
        line.nextSequence = batch.intent.baseSequence
        line.batch = nil
    }

    /// The messages have ended, and the intent is settled, on disk.
    public mutating func ended(_ partitionIndex: Int32) {
        var line = lines.removeValue(forKey: partitionIndex) ?? Line()
        guard let batch = line.batch, case .ending(let wasAccepted) = batch.phase else {
            preconditionFailure("a batch has ended that was not to end")
        }
        if wasAccepted {
            line.nextSequence = batch.intent.baseSequence.advanced(by: Int32(batch.messages.count))
        }
        line.batch = nil
        for message in batch.messages {
            live.remove(message.offset)
            old.remove(message.offset)
            liveBytes -= message.bytes
        }
        lines[partitionIndex] = line
    }

    /// The message that is refused has nowhere else to go: it is sent again and again.
    public mutating func kept(_ partitionIndex: Int32, nowMs: Int64) {
        var line = lines.removeValue(forKey: partitionIndex) ?? Line()
        precondition(line.batch?.phase == .ending(wasAccepted: false), "a message was kept that was not given up")
        line.batch?.phase = .recorded
        fail(&line, nowMs)
        lines[partitionIndex] = line
    }

    private mutating func change(_ partitionIndex: Int32, _ body: (inout Line, inout Batch) -> Void) {
        var line = lines.removeValue(forKey: partitionIndex) ?? Line()
        guard var batch = line.batch else { preconditionFailure("no batch for partition \(partitionIndex)") }
        body(&line, &batch)
        line.batch = batch
        lines[partitionIndex] = line
    }

    private mutating func fail(_ line: inout Line, _ nowMs: Int64) {
        line.failures += 1
        line.retryAtMs = nowMs + backoffMs(line.failures)
    }

    /// Milliseconds until the next try after so many failures: between half of the step and all of it, so that lanes which failed
    /// together do not come back together.
    private mutating func backoffMs(_ failures: Int) -> Int64 {
        let step = min(ForwardSettings.maxRetryMs, ForwardSettings.firstRetryMs << Int64(min(failures - 1, 20)))
        // SplitMix64.
        random &+= 0x9e37_79b9_7f4a_7c15
        var bits = random
        bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
        bits ^= bits >> 31
        return step / 2 + Int64(bits % UInt64(step / 2 + 1))
    }
}

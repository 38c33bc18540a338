import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel

/// The body of an accepting reply:
///
///     {"accepted":1,"rejected":1,"request_id":"…","results":[
///       {"index":0,"status":"ok","event_id":"…","topic":"t","partition":1,"offset":42,"timestamp":"…","duplicate":false},
///       {"index":1,"status":"invalid","code":"invalid_json","error":"…","position":17}]}
///
/// A list that would be too long leaves events out, and ends with `"results_truncated":true`: an event of two bytes has a
/// result of some hundred. The counts tell of all of them.
extension GatewayLoop {
    /// Bytes of a list of results from which on accepted events are left out: some forty thousand, more than one request
    /// should need to hear of.
    static let maxAcceptedBytes = 8 << 20
    /// And from which on all are: what clients need to hear of is what was refused.
    static let maxResultsBytes = 12 << 20

    func writeResults(topic: Topic, placement: Placement, firstID: UUIDv7?, wanted: ResultsWanted) {
        out.removeAll()
        out.text("{\"accepted\":")
        out.decimal(placement.count)
        out.member("rejected")
        out.decimal(events.count - placement.count)
        out.text(",\"request_id\":\"")
        // The characters of an id need no escape.
        out.bytes(requestID)
        out.text("\"")
        if wanted == .none {
            out.text("}")
            return
        }
        if wanted == .errors, placement.count == events.count {
            out.text(",\"results\":[]}")
            return
        }
        out.text(",\"results\":[")
        row.set(topic: topic, placement: placement, timestamp: timestampText(placement), firstID: firstID)
        let isWhole = Self.writeRows(
            &out, row, eventCount: events.count, rejections: rejections, batches: batches, placed: placement.count,
            withAccepted: wanted == .all, from: out.count, .whole)
        out.text(isWhole ? "]}" : "],\"results_truncated\":true}")
    }

    /// Bytes of a list of results, and the index of the first event that it may tell of.
    struct ListBounds {
        var acceptedBytes: Int
        var bytes: Int
        var firstIndex: Int

        static let whole = ListBounds(acceptedBytes: maxAcceptedBytes, bytes: maxResultsBytes, firstIndex: 0)

        /// A list that goes on from window to window: refused events have the last part of its room.
        static func window(from index: Int) -> ListBounds {
            let most = WindowedBody.maxResultsBytes - WindowedBody.lastResultBytes
            return ListBounds(acceptedBytes: most / 2, bytes: most, firstIndex: index)
        }
    }

    /// Counts a window of events for one partition, and adds their results to those before.
    func settle(_ body: WindowedBody, _ topic: Topic, _ placement: Placement, firstID: UUIDv7?) -> Completion {
        var isWhole = true
        if body.wanted != .none {
            row.set(topic: topic, placement: placement, timestamp: timestampText(placement), firstID: firstID)
            isWhole = Self.writeRows(
                &body.results, row, eventCount: events.count, rejections: rejections, batches: batches,
                placed: placement.count, withAccepted: body.wanted == .all, from: 0,
                .window(from: body.firstIndex))
        }
        return count(placement, known: 0, in: body, isListWhole: isWhole)
    }

    /// Counts what became of a window's events. The rest of the body is not taken where the disk has stopped taking it.
    func count(_ placement: Placement, known: Int, in body: WindowedBody, isListWhole: Bool) -> Completion {
        let lost = events.count - rejections.count - known - placement.count
        body.add(
            accepted: placement.count, rejected: rejections, duplicates: known, isTruncated: !isListWhole, lost: lost)
        if lost > 0 {
            body.stop(Problem(.storageUnavailable, "The broker stopped taking writes.", retryAfter: 5))
        }
        return placement.count > 0 ? .gated(placement.commits, bytes: placement.bytes) : .answered
    }

    /// Apart from the loop's properties, so that each of them is looked up once a request instead of once an event. Gives
    /// whether all that was asked for is listed.
    private static func writeRows(
        _ out: inout ByteWriter, _ row: borrowing ResultRow, eventCount: Int, rejections: [Rejection],
        batches: [EventBatch], placed: Int, withAccepted: Bool, from start: Int, _ bounds: ListBounds
    ) -> Bool {
        var nextRejection = 0
        var accepted = 0
        var batch = 0
        var isWhole = true
        for index in 0..<eventCount {
            if out.count - start >= bounds.bytes { return false }
            if nextRejection < rejections.count, rejections[nextRejection].index == index {
                write(
                    rejections[nextRejection], at: bounds.firstIndex + index, into: &out, isFirst: out.count == start)
                nextRejection += 1
                continue
            }
            defer { accepted += 1 }
            guard accepted < placed else {
                let rejection = Rejection(
                    index: index, kind: .storageUnavailable,
                    detail: "The broker stopped taking writes; send it again")
                write(rejection, at: bounds.firstIndex + index, into: &out, isFirst: out.count == start)
                continue
            }
            if !withAccepted { continue }
            if out.count - start >= bounds.acceptedBytes {
                isWhole = false
                continue
            }
            if accepted - batches[batch].firstEvent == batches[batch].count { batch += 1 }
            let offset = batches[batch].baseOffset + Int64(accepted - batches[batch].firstEvent)
            row.write(
                index: bounds.firstIndex + index, offset: offset, accepted: accepted, into: &out,
                isFirst: out.count == start)
        }
        return isWhole
    }

    private static func write(_ rejection: Rejection, at index: Int, into out: inout ByteWriter, isFirst: Bool) {
        out.text(isFirst ? "{\"index\":" : ",{\"index\":")
        out.decimal(index)
        out.text(",\"status\":\"")
        out.text(rejection.status)
        out.text("\",\"code\":\"")
        out.text(rejection.kind.code)
        out.text("\",\"error\":\"")
        out.text(rejection.detail)
        out.text("\"")
        if let position = rejection.position {
            out.member("position")
            out.decimal(position)
        }
        out.text("}")
    }

    /// Returns the records' timestamp in words.
    func timestampText(_ placement: Placement) -> [UInt8] {
        if placement.timestampMs == wallClockMs {
            receivedAt.update(toMs: wallClockMs)
            return receivedAt.text
        }
        return Array(ReceivedAt.text(ofMs: placement.timestampMs).utf8)
    }
}

/// The result of an accepted event. All but the index, the offset and the end of the identifier is the same for all events
/// of a request, and is made once:
///
///     ,{"index": 0 ,"status":"ok","event_id":"…","topic":"t","partition":1,"offset": 42 ,"timestamp":"…","duplicate":false}
///     └─piece──┘   └─piece───────────────────────────────────────────────────────┘    └─piece──────────────────────────┘
struct ResultRow: ~Copyable {
    private var pieces = ByteWriter(capacity: 512)
    private var middleStart = 0
    private var endStart = 0
    /// Where the identifier begins; 0: there is none.
    private var idStart = 0
    private var firstID = UUIDv7(high: 0, low: 0)

    mutating func set(topic: Topic, placement: Placement, timestamp: [UInt8], firstID: UUIDv7?) {
        pieces.removeAll()
        pieces.text(",{\"index\":")
        middleStart = pieces.count
        pieces.text(",\"status\":\"ok\"")
        idStart = 0
        if let firstID {
            pieces.text(",\"event_id\":\"")
            idStart = pieces.count
            firstID.write(to: pieces.append(uninitialized: UUIDv7.textLength))
            pieces.text("\"")
            self.firstID = firstID
        }
        // A topic's name needs no escape.
        pieces.text(",\"topic\":\"")
        pieces.bytes(topic.nameBytes)
        pieces.text("\",\"partition\":")
        pieces.decimal(Int(placement.partitionIndex))
        pieces.text(",\"offset\":")
        endStart = pieces.count
        pieces.text(",\"timestamp\":\"")
        pieces.bytes(timestamp)
        pieces.text("\",\"duplicate\":false}")
    }

    /// `accepted`: accepted events of the request before this one.
    borrowing func write(index: Int, offset: Int64, accepted: Int, into out: inout ByteWriter, isFirst: Bool) {
        let source = pieces.bytes.baseAddress!
        let most = pieces.count + 2 * ResponseHead.maxDigits
        let start = out.append(uninitialized: most)
        var at = start
        func copy(_ from: Int, _ end: Int) {
            at.copyMemory(from: source + from, byteCount: end - from)
            at += end - from
        }
        copy(isFirst ? 1 : 0, middleStart)
        at += ResponseHead.digits(of: UInt(index), to: at)
        let middle = at
        copy(middleStart, endStart)
        if idStart > 0 {
            let id = firstID.advanced(by: accepted)
            let place = middle + (idStart - middleStart)
            if id.low &>> 32 == firstID.low &>> 32 {
                id.writeLastDigits(to: place + (UUIDv7.textLength - UUIDv7.lastDigits))
            } else {
                id.write(to: place)
            }
        }
        at += ResponseHead.digits(of: UInt(offset), to: at)
        copy(endStart, pieces.count)
        out.truncate(to: out.count - (most - (at - start)))
    }
}

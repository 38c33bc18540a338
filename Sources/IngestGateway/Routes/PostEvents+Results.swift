import BrokerCore
import ByteBuffers
import KafkaModel

/// The body of an accepting reply. gateway-api 3.2:
///
///     {"accepted":1,"rejected":1,"request_id":"…","results":[
///       {"index":0,"status":"ok","event_id":"…","topic":"t","partition":1,"offset":42,"timestamp":"…","duplicate":false},
///       {"index":1,"status":"invalid","code":"invalid_json","error":"…","position":17}]}
extension GatewayLoop {
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
        let row = ResultRow(topic: topic, placement: placement, timestamp: timestampText(placement))
        var isFirst = true
        var nextRejection = 0
        var accepted = 0
        var batch = 0
        for index in events.indices {
            if nextRejection < rejections.count, rejections[nextRejection].index == index {
                separate(&isFirst)
                write(rejections[nextRejection])
                nextRejection += 1
                continue
            }
            defer { accepted += 1 }
            guard accepted < placement.count else {
                separate(&isFirst)
                write(
                    Rejection(
                        index: index, kind: .storageUnavailable,
                        detail: "The broker stopped taking writes; send it again"))
                continue
            }
            if wanted == .errors { continue }
            if accepted - batches[batch].firstEvent == batches[batch].count { batch += 1 }
            separate(&isFirst)
            let offset = batches[batch].baseOffset + Int64(accepted - batches[batch].firstEvent)
            row.write(index: index, offset: offset, eventID: firstID?.advanced(by: accepted), into: &out)
        }
        out.text("]}")
    }

    private func separate(_ isFirst: inout Bool) {
        if !isFirst { out.text(",") }
        isFirst = false
    }

    private func write(_ rejection: Rejection) {
        out.text("{\"index\":")
        out.decimal(rejection.index)
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

    /// The records' timestamp in words.
    func timestampText(_ placement: Placement) -> [UInt8] {
        if placement.timestampMs == wallClockMs {
            receivedAt.update(toMs: wallClockMs)
            return receivedAt.text
        }
        return Array(ReceivedAt.text(ofMs: placement.timestampMs).utf8)
    }
}

/// Writes the result of an accepted event. All but the index, the identifier and the offset is the same for all events of
/// a request, and is made once.
private struct ResultRow {
    private let middle: [UInt8]
    private let end: [UInt8]

    init(topic: Topic, placement: Placement, timestamp: [UInt8]) {
        var writer = ByteWriter(capacity: 320)
        // A topic's name needs no escape.
        writer.text("\"topic\":\"")
        writer.bytes(topic.nameBytes)
        writer.text("\",\"partition\":")
        writer.decimal(Int(placement.partitionIndex))
        writer.text(",\"offset\":")
        middle = writer.array
        writer.removeAll()
        writer.text(",\"timestamp\":\"")
        writer.bytes(timestamp)
        writer.text("\",\"duplicate\":false}")
        end = writer.array
    }

    func write(index: Int, offset: Int64, eventID: UUIDv7?, into out: inout ByteWriter) {
        out.text("{\"index\":")
        out.decimal(index)
        out.text(",\"status\":\"ok\",")
        if let eventID {
            out.text("\"event_id\":\"")
            eventID.write(to: out.append(uninitialized: UUIDv7.textLength))
            out.text("\",")
        }
        out.bytes(middle)
        out.decimal(Int(offset))
        out.bytes(end)
    }
}

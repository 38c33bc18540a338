import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel

extension GatewayLoop {
    /// The reply of `.shard`: that of `/ingest`, in words of the route's own.
    func writeShard(
        _ placement: Placement, _ eventID: UUIDv7, _ text: UnsafeRawBufferPointer, _ message: String,
        _ echo: [PlanReply.Echo]
    ) {
        out.removeAll()
        out.text("{\"message\":")
        JSONText.write(message, into: &out)
        let walk = JSONWalk(text)
        for member in echo {
            // What the event has not is not repeated.
            guard let value = member.pointer.find(in: walk, events[0]) else { continue }
            out.text(",")
            JSONText.write(member.name, into: &out)
            out.text(":")
            out.bytes(value.range.bytes(of: text))
        }
        writePlace(placement, eventID)
    }

    /// The result of each event, as for `/v1/topics/{topic}/events`; they may have gone to different partitions.
    func writeRoutedResults(_ topic: Topic, _ placement: Placement, _ firstID: UUIDv7, _ wanted: ResultsWanted) {
        out.removeAll()
        out.text("{\"accepted\":")
        let known = knownCount
        out.decimal(placement.count + known)
        out.member("rejected")
        out.decimal(events.count - placement.count - known)
        if known > 0 {
            out.member("duplicates")
            out.decimal(known)
        }
        if routed.formulas > 0 {
            out.member("formula_cells")
            out.decimal(routed.formulas)
        }
        out.text(",\"request_id\":\"")
        out.bytes(requestID)
        out.text("\"")
        if wanted == .none { return out.text("}") }
        out.text(",\"results\":[")
        let isWhole = writeRoutedRows(topic, placement, firstID, wanted, from: out.count, .whole)
        out.text(isWhole ? "]}" : "],\"results_truncated\":true}")
    }

    /// Counts a window of events, and adds their results to those before.
    func settleRouted(
        _ body: WindowedBody, _ topic: Topic, _ placement: Placement, _ firstID: UUIDv7, known: Int
    ) -> Completion {
        var isWhole = true
        body.add(formulas: routed.formulas)
        if body.wanted != .none {
            swap(&out, &body.results)
            isWhole = writeRoutedRows(
                topic, placement, firstID, body.wanted, from: 0, .window(from: body.firstIndex))
            swap(&out, &body.results)
        }
        return count(placement, known: known, in: body, isListWhole: isWhole)
    }

    /// Writes a result for each event of which one is wanted, into a list that has begun at `start`; gives whether there was room for all.
    private func writeRoutedRows(
        _ topic: Topic, _ placement: Placement, _ firstID: UUIDv7, _ wanted: ResultsWanted, from start: Int,
        _ bounds: ListBounds
    ) -> Bool {
        let timestamp = timestampText(placement)
        var next = 0
        var isWhole = true
        for index in events.indices {
            let isRejected = next < rejections.count && rejections[next].index == index
            let isAppended = routed.offsets[index] >= 0
            let place = knownPlace(of: index)
            if isAppended || place != nil, wanted == .errors { continue }
            guard out.count - start < (isAppended || place != nil ? bounds.acceptedBytes : bounds.bytes) else {
                isWhole = false
                if isRejected { next += 1 }
                continue
            }
            out.text(out.count == start ? "{\"index\":" : ",{\"index\":")
            out.decimal(bounds.firstIndex + index)
            if isRejected {
                writeResult(of: rejections[next])
                next += 1
            } else if let place {
                topic.nameBytes.withUnsafeBytes { writeResult(known: place, $0) }
            } else if isAppended {
                writeResult(of: index, topic, timestamp, firstID)
            } else {
                writeResult(
                    of: Rejection(
                        index: index, kind: .storageUnavailable,
                        detail: "The broker stopped taking writes; send it again"))
            }
        }
        return isWhole
    }

    private func writeResult(of index: Int, _ topic: Topic, _ timestamp: [UInt8], _ firstID: UUIDv7) {
        out.text(",\"status\":\"ok\",\"event_id\":\"")
        firstID.advanced(by: index).write(to: out.append(uninitialized: UUIDv7.textLength))
        out.text("\",\"topic\":\"")
        out.bytes(topic.nameBytes)
        out.text("\",\"partition\":")
        out.decimal(Int(routed.partitions[index]))
        out.text(",\"offset\":")
        out.decimal(Int(routed.offsets[index]))
        out.text(",\"timestamp\":\"")
        out.bytes(timestamp)
        out.text("\",\"duplicate\":false}")
    }

    private func writeResult(of rejection: Rejection) {
        out.text(",\"status\":\"")
        out.text(rejection.status)
        out.text("\",\"code\":\"")
        out.text(rejection.kind.code)
        out.text("\"")
        out.member("error")
        JSONText.write(rejection.finding?.words ?? rejection.detail.description, into: &out)
        if let finding = rejection.finding, !finding.pointer.isEmpty {
            out.member("pointer")
            JSONText.write(finding.pointer, into: &out)
        }
        if let position = rejection.position {
            out.member("position")
            out.decimal(position)
        }
        out.text("}")
    }
}

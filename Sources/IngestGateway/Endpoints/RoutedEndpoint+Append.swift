import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import RecordFormat

/// Events with keys of their own: each goes to its key's partition, and all of one partition in the request's order.
extension GatewayLoop {
    /// Sets where each accepted event goes, and their order.
    func choosePartitions(of topic: Topic) {
        let count = topic.partitions.count
        var keyless: Int32?
        var next = 0
        // How many go to each partition, then where those of each begin.
        var starts = [Int](repeating: 0, count: count + 1)
        for index in events.indices {
            if next < rejections.count, rejections[next].index == index {
                next += 1
                routed.partitions.append(-1)
                continue
            }
            if !routed.known.isEmpty, routed.known[index] != nil {
                routed.partitions.append(-1)
                continue
            }
            let chosen: Int32
            if !routed.wanted.isEmpty, routed.wanted[index] >= 0 {
                chosen = routed.wanted[index]
            } else if let key = routed.key(of: index) {
                chosen = Int32(Murmur2.partition(of: key, among: count))
            } else {
                // One request's events without a key go to one partition.
                chosen = keyless ?? partition(of: topic, key: nil).partitionIndex
                keyless = chosen
            }
            if let window, window.upload?.isStored(row: window.firstIndex + index, in: Int(chosen)) == true {
                routed.passed += 1
                routed.partitions.append(-1)
                continue
            }
            routed.partitions.append(chosen)
            starts[Int(chosen) + 1] += 1
        }
        for partition in 1...count { starts[partition] += starts[partition - 1] }
        routed.order.append(contentsOf: repeatElement(0, count: starts[count]))
        for index in events.indices where routed.partitions[index] >= 0 {
            let partition = Int(routed.partitions[index])
            routed.order[starts[partition]] = index
            starts[partition] += 1
        }
    }

    /// Builds the batches of the accepted events, of at most `maxBatchBytes` each.
    func buildRouted(_ text: UnsafeRawBufferPointer, _ firstID: UUIDv7, maxBatchBytes: Int) {
        let shared = recordHeaders.bytes
        let hasKeys = !routed.eventKeys.isEmpty
        let upload = window?.upload
        let fixed =
            shared.count + Self.recordOverhead + (hasKeys ? IdempotencyMark.maxBytes : 0)
            + (upload?.markBytes ?? 0)
        builder.begin()
        let mark = idempotencyMark()
        var first = 0
        for position in routed.order.indices {
            let event = routed.order[position]
            let partition = routed.partitions[event]
            let value = events[event] == RoutedEvents.noValue ? nil : events[event].bytes(of: text)
            let key = routed.key(of: event)
            let own = routed.recordHeaders.isEmpty ? nil : routed.recordHeaders[event]
            var headers = own?.range.bytes(of: routed.headerBytes.bytes) ?? shared
            var headerCount = own?.count ?? routed.headerCount
            let size = (value?.count ?? 0) + (key?.count ?? 0) + headers.count + fixed
            if !builder.isEmpty,
                partition != routed.partitions[routed.order[first]] || builder.sizeInBytes + size > maxBatchBytes
            {
                closeBatch(first, position)
                first = position
            }
            let id = firstID.advanced(by: event)
            for place in routed.idPlaces {
                id.write(to: UnsafeMutableRawPointer(mutating: shared.baseAddress! + place))
            }
            let ownMark = hasKeys && (routed.eventKeys[event] != nil || builder.isEmpty)
            if ownMark || position == 0 && mark != nil {
                markedHeaders.removeAll()
                if ownMark {
                    RecordMark.writeEvent(routed.eventKeys[event], into: &markedHeaders)
                } else {
                    mark?.write(into: &markedHeaders)
                }
                markedHeaders.bytes(headers)
                headers = markedHeaders.bytes
                headerCount += 1
            }
            // A job's batches have no other marks.
            if let upload, builder.isEmpty || upload.isPull {
                headerCount += writeJobMark(upload, of: event, isFirst: builder.isEmpty)
                markedHeaders.bytes(headers)
                headers = markedHeaders.bytes
            }
            builder.append(
                key: key, value: value, headers: headers, headerCount: headerCount, timestampMs: wallClockMs)
        }
        if !builder.isEmpty { closeBatch(first, routed.order.count) }
    }

    /// Into `markedHeaders`; gives how many headers these are.
    private func writeJobMark(_ upload: FileUpload, of event: Int, isFirst: Bool) -> Int32 {
        markedHeaders.removeAll()
        if isFirst { JobMark.write(upload.id, into: &markedHeaders) }
        if upload.isPull { JobMark.write(line: upload.rows.places[event].line, into: &markedHeaders) }
        return (isFirst ? 1 : 0) + (upload.isPull ? 1 : 0)
    }

    private func closeBatch(_ first: Int, _ end: Int) {
        let slice = Self.finish(&builder, &packer)
        routed.batches.append(
            RoutedBatch(
                partition: routed.partitions[routed.order[first]], slice: slice, first: first, count: end - first))
    }

    /// Appends the batches. The first refusal ends it; one of the very first batch is returned, a later one shows in the
    /// placement's `count`.
    func appendRouted(to topic: Topic) -> Result<Placement, AppendRefusal> {
        defer { routed.batches.removeAll(keepingCapacity: true) }
        var placement = Placement(partitionIndex: -1, baseOffset: -1, count: 0, timestampMs: wallClockMs)
        for batch in routed.batches {
            willAppend(to: topic.partitions[Int(batch.partition)])
            switch topic.partitions[Int(batch.partition)].append(batch.slice, origin: .client, nowMs: wallClockMs) {
            case .success(let receipt):
                let base = receipt.baseOffset.rawValue
                if placement.count == 0 { (placement.partitionIndex, placement.baseOffset) = (batch.partition, base) }
                for place in 0..<batch.count { routed.offsets[routed.order[batch.first + place]] = base + Int64(place) }
                if receipt.logAppendTimeMs >= 0 { placement.timestampMs = receipt.logAppendTimeMs }
                if claim.isOfEvents {
                    routed.appended.append(
                        AppendedBatch(
                            partition: TopicPartition(topicID: topic.id, partitionIndex: batch.partition),
                            baseOffset: base,
                            ticket: receipt.ticket, first: batch.first, count: batch.count))
                }
                placement.commits.add(receipt.ticket)
                placement.count += batch.count
                placement.bytes += batch.slice.count
            case .failure(let refusal):
                return placement.count == 0 ? .failure(refusal) : .success(placement)
            }
        }
        didAppend(placement, to: topic)
        return .success(placement)
    }
}

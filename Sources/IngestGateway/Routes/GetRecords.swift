import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import RecordFormat

/// `GET /v1/topics/{t}/records?partition=&offset=&limit=&max_bytes=` and `/v1/topics/{t}/partitions/{p}/records?…`: a
/// stateless, repeatable read for people with curl.
///
///     {"topic":"t","partition":0,"records":[{"offset":5,"timestamp":"…","timestamp_ms":…,"key":null,"value":{…},
///      "value_encoding":"json","headers":[{"name":"event_id","value":"…"}]}],"next_offset":6,"high_watermark":9, …}
///
/// A value that is JSON stands there as JSON, byte for byte; other UTF-8 as a string (`"text"`), anything else as
/// `"base64"`.
extension GatewayLoop {
    /// Records of one reply, unless `limit` says otherwise, and at most.
    static let defaultRecords = 100
    static let maxRecords = 10_000
    /// Bytes of log read for one reply, unless `max_bytes` says otherwise, and at most.
    static let defaultReadBytes = 1 << 20
    static let maxReadBytes = 4 << 20

    private struct Position {
        var offset: Offset?
        var fromEnd = false
        var partition: Int?
        var limit = defaultRecords
        var maxBytes = defaultReadBytes
    }

    func getRecords(_ rawTopic: UnsafeRawBufferPointer, _ rawPartition: UnsafeRawBufferPointer?) {
        var position = Position()
        if let problem = readQuery(&position) { return answer(problem, instance: head.path) }
        if let rawPartition {
            guard let number = rawPartition.decimalValue else {
                return answer(Problem(.partitionNotFound, "A partition is a number."), instance: head.path)
            }
            position.partition = number
        }
        guard let name = PercentDecoding.string(rawTopic), let topic = broker.catalog.topic(named: name) else {
            return answer(Problem(.topicNotFound, "There is no such topic."), instance: head.path)
        }
        let index = position.partition ?? 0
        guard index < topic.partitions.count else {
            return answer(
                Problem(.partitionNotFound, "The topic has the partitions 0 to \(topic.partitions.count - 1)."),
                instance: head.path)
        }
        read(topic, topic.partitions[index], position)
    }

    private func readQuery(_ position: inout Position) -> Problem? {
        var items = QueryItems(head.query)
        while let item = items.next() {
            let number = item.value.decimalValue
            if item.name.equals("partition") {
                guard let number else { return Problem(.invalidParameter, "partition is a number.") }
                position.partition = number
            } else if item.name.equals("offset") {
                if item.value.equals("latest") {
                    position.fromEnd = true
                } else if let number {
                    position.offset = Offset(Int64(number))
                } else if !item.value.equals("earliest") {
                    return Problem(.invalidParameter, "offset is a number, earliest or latest.")
                }
            } else if item.name.equals("limit") {
                guard let number, number > 0, number <= Self.maxRecords else {
                    return Problem(.invalidParameter, "limit is 1 to \(Self.maxRecords).", limit: Self.maxRecords)
                }
                position.limit = number
            } else if item.name.equals("max_bytes") {
                guard let number, number > 0, number <= Self.maxReadBytes else {
                    return Problem(
                        .invalidParameter, "max_bytes is 1 to \(Self.maxReadBytes).", limit: Self.maxReadBytes)
                }
                position.maxBytes = number
            }
        }
        return nil
    }

    private func read(_ topic: Topic, _ partition: PartitionLog, _ position: Position) {
        let offsets = partition.offsets
        let from = position.fromEnd ? offsets.highWatermark : position.offset ?? offsets.logStart
        out.removeAll()
        out.text("{\"topic\":\"")
        out.bytes(topic.nameBytes)
        out.text("\",\"partition\":")
        out.decimal(Int(partition.partitionIndex))
        out.text(",\"records\":[")
        var next = from
        var count = 0
        var end = offsets.highWatermark
        var start = offsets.logStart
        // One read gives what lies together: the end of a file, then what is still in memory.
        repeat {
            let before = next
            switch partition.read(from: next, maxBytes: position.maxBytes, pool: pool) {
            case .success(let fetched):
                (start, end) = (fetched.logStartOffset, fetched.highWatermark)
                do throws(RecordBatchError) {
                    try write(fetched, from: from, position, next: &next, count: &count)
                } catch {
                    return answer(damage(after: next), instance: head.path)
                }
            case .failure(.outOfRange(let first, let last)):
                return answer(
                    Problem(
                        .offsetOutOfRange, "Offset \(next.rawValue) is not in \(first.rawValue) to \(last.rawValue)."),
                    instance: head.path)
            case .failure: return answer(damage(after: next), instance: head.path)
            }
            if next == before { break }
        } while next < end && count < position.limit && out.count < position.maxBytes
        out.text("],\"next_offset\":")
        out.decimal(Int(next.rawValue))
        out.text(",\"high_watermark\":")
        out.decimal(Int(end.rawValue))
        out.text(",\"log_start_offset\":")
        out.decimal(Int(start.rawValue))
        out.text("}")
    }

    private func damage(after offset: Offset) -> Problem {
        Problem(.storageUnavailable, "The records from offset \(offset.rawValue) on could not be read.")
    }

    private func write(
        _ fetched: FetchedRecords, from: Offset, _ position: Position, next: inout Offset, count: inout Int
    ) throws(RecordBatchError) {
        for slice in fetched.slices {
            var cursor = RecordBatchCursor(slice.bytes)
            while count < position.limit, out.count < position.maxBytes || count == 0, let batch = try cursor.next() {
                try write(batch, from: from, limit: position.limit, next: &next, count: &count)
            }
        }
    }

    private func write(
        _ batch: RecordBatchHeader, from: Offset, limit: Int, next: inout Offset, count: inout Int
    ) throws(RecordBatchError) {
        if !batch.isControl {
            try records.open(batch)
            while let record = try records.next() {
                if record.offset < from { continue }
                if count == limit { return }
                out.text(count == 0 ? "{\"offset\":" : ",{\"offset\":")
                write(record)
                count += 1
                next = record.offset + 1
            }
        }
        // Also past offsets that compaction or a marker has taken.
        next = max(next, batch.lastOffset + 1)
    }

    private func write(_ record: RecordView) {
        out.decimal(Int(record.offset.rawValue))
        out.text(",\"timestamp\":\"")
        out.utf8(ReceivedAt.text(ofMs: record.timestampMs))
        out.text("\",\"timestamp_ms\":")
        out.decimal(Int(record.timestampMs))
        out.text(",\"key\":")
        if writeText(record.key) == .base64 { out.text(",\"key_encoding\":\"base64\"") }
        out.text(",\"value\":")
        switch writeValue(record.value) {
        case .json: out.text(",\"value_encoding\":\"json\"")
        case .text: out.text(",\"value_encoding\":\"text\"")
        case .base64: out.text(",\"value_encoding\":\"base64\"")
        case .null: break
        }
        out.text(",\"headers\":[")
        var isFirst = true
        for header in record.headers {
            out.text(isFirst ? "{\"name\":" : ",{\"name\":")
            isFirst = false
            _ = writeText(header.key)
            out.text(",\"value\":")
            if writeText(header.value) == .base64 { out.text(",\"value_encoding\":\"base64\"") }
            out.text("}")
        }
        out.text("]}")
    }

    private enum Encoding { case json, text, base64, null }

    private func writeValue(_ bytes: UnsafeRawBufferPointer?) -> Encoding {
        guard let bytes else { return writeText(nil) }
        var scanner = JSONScanner(bytes)
        do throws(JSONFailure) {
            _ = try scanner.onlyValue()
            out.bytes(bytes)
            return .json
        } catch {
            return writeText(bytes)
        }
    }

    private func writeText(_ bytes: UnsafeRawBufferPointer?) -> Encoding {
        guard let bytes else {
            out.text("null")
            return .null
        }
        if String(validating: bytes, as: UTF8.self) != nil {
            JSONText.write(bytes, into: &out)
            return .text
        }
        out.text("\"")
        Base64.write(bytes, into: &out)
        out.text("\"")
        return .base64
    }
}

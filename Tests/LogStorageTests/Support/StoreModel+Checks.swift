import BrokerTestKit
import ByteBuffers
import KafkaModel
import RecordFormat
import StorageIO

@testable import LogStorage

/// What is checked: after every step, at random moments, and after every restart.
extension StoreModel {
    /// High watermark and log start never go back while a store runs.
    func verifyProgress() throws {
        for place in partitions.indices {
            let offsets = partitions[place].log.offsets
            let (watermark, start) = (offsets.highWatermark.rawValue, offsets.logStart.rawValue)
            guard watermark >= partitions[place].seenHighWatermark, start >= partitions[place].seenStart else {
                throw Failure(description: "partition \(place): high watermark or log start went back")
            }
            partitions[place].seenHighWatermark = watermark
            partitions[place].seenStart = start
        }
    }

    /// Reads every partition from its start to its high watermark and compares with the model.
    func verify() throws {
        for place in partitions.indices {
            if partitions[place].log.highWatermark.rawValue < partitions[place].acknowledgedEnd {
                throw Failure(description: "partition \(place): high watermark below what was acknowledged")
            }
            if partitions[place].settings.isCompacted {
                try verifyCompacted(place)
            } else {
                try verifyRecords(place)
            }
            try verifyTimes(place)
            try verifyIndexes(place)
        }
    }

    /// Every batch that is readable, from the log's start on, CRC checked.
    private func eachBatch(_ place: Int, _ body: (RecordBatchHeader) throws -> Void) throws {
        let log = partitions[place].log
        let offsets = log.offsets
        var offset = offsets.logStart
        while offset < offsets.highWatermark {
            let fetched: FetchedRecords
            let fileFrom = random.chance(0.3) ? random.number(in: 1...20_000) : .max
            switch log.read(from: offset, maxBytes: random.number(in: 1...20_000), fileFrom: fileFrom) {
            case .success(let found): fetched = found
            case .failure(let refusal):
                throw Failure(description: "partition \(place), offset \(offset.rawValue): \(refusal)")
            }
            if fetched.byteCount == 0 {
                throw Failure(
                    description: "partition \(place): nothing at \(offset.rawValue) below the high watermark")
            }
            for slice in try fetched.loaded() {
                var cursor = RecordBatchCursor(slice.bytes, validator: RecordBatchValidator(origin: .broker))
                while let header = try cursor.next() {
                    try body(header)
                    offset = header.lastOffset + 1
                }
            }
        }
    }

    /// All that was written is there, batch by batch and byte by byte.
    private func verifyRecords(_ place: Int) throws {
        let start = partitions[place].log.logStartOffset.rawValue
        var expected = partitions[place].batches.filter { $0.lastOffset >= start }[...]
        try eachBatch(place) { header in
            guard let batch = expected.popFirst() else {
                throw Failure(description: "partition \(place): a batch at \(header.baseOffset) never written")
            }
            guard header.baseOffset.rawValue == batch.baseOffset, header.recordCount == batch.count,
                header.recordsBytes.elementsEqual(batch.records)
            else { throw Failure(description: "partition \(place): other records at \(header.baseOffset)") }
        }
    }

    /// What is there was written, at its offset. The newest record of each key is there; only where that is a tombstone
    /// may the key be gone altogether. What was never compacted is all there. So is the newest batch of each producer.
    private func verifyCompacted(_ place: Int) throws {
        let partition = partitions[place]
        let offsets = partition.log.offsets
        var written: [Int64: TestRecord] = [:]
        var newest: [[UInt8]: (offset: Int64, isTombstone: Bool)] = [:]
        for batch in partition.batches where batch.baseOffset < offsets.highWatermark.rawValue {
            for (index, record) in batch.contents.enumerated() {
                let offset = batch.baseOffset + Int64(index)
                written[offset] = record
                newest[record.key ?? []] = (offset, record.value == nil)
            }
        }
        var seen: Set<Int64> = []
        var newestSeen: [[UInt8]: Int64] = [:]
        var lastBatches: [Int64: Int64] = [:]
        var last: Int64 = -1
        var records = RecordIterator()
        try eachBatch(place) { header in
            guard header.baseOffset.rawValue > last else {
                throw Failure(description: "partition \(place): batch at \(header.baseOffset) after \(last)")
            }
            last = header.lastOffset.rawValue
            if header.hasProducerID { lastBatches[header.producerID.rawValue] = last }
            try records.open(header)
            while let record = try records.next() {
                if record.offset < offsets.logStart { continue }
                let offset = record.offset.rawValue
                guard let expected = written[offset], record.key.map(Array.init) == expected.key,
                    record.value.map(Array.init) == expected.value
                else { throw Failure(description: "partition \(place): another record at \(offset)") }
                seen.insert(offset)
                newestSeen[expected.key ?? []] = offset
            }
        }
        for (key, record) in newest where record.offset >= offsets.logStart.rawValue {
            let found = newestSeen[key]
            guard found == record.offset || record.isTombstone && found == nil else {
                throw Failure(
                    description:
                        "partition \(place): key \(key) reads \(found.map(String.init) ?? "nothing"), written at "
                        + "\(record.offset), tombstone: \(record.isTombstone)")
            }
        }
        let untouched = max(offsets.logStart.rawValue, partition.compactedEnd)
        for offset in written.keys where offset >= untouched && !seen.contains(offset) {
            throw Failure(description: "partition \(place): no record at \(offset), which was never compacted")
        }
        let producers = partition.log.state.withLock { $0.producers.lastOffsets }
        for (id, offset) in producers
        where offset >= offsets.logStart.rawValue && offset < offsets.highWatermark.rawValue
            && lastBatches[id] != offset
        {
            throw Failure(description: "partition \(place): the newest batch of producer \(id), at \(offset), is gone")
        }
    }

    /// The first record by time is the log's first.
    private func verifyTimes(_ place: Int) throws {
        let log = partitions[place].log
        let found: PartitionLog.TimestampedOffset?
        switch log.firstOffset(notBefore: 0) {
        case .success(let offset): found = offset
        case .failure(let refusal): throw Failure(description: "partition \(place): by time: \(refusal)")
        }
        let offsets = log.offsets
        if partitions[place].settings.isCompacted { return }
        if offsets.highWatermark > offsets.logStart, found?.offset != offsets.logStart {
            throw Failure(description: "partition \(place): first record by time is \(String(describing: found))")
        }
    }

    /// Every entry of every index, in memory or in its file, says what a scan of the segment says.
    private func verifyIndexes(_ place: Int) throws {
        let log = partitions[place].log
        let segments = log.state.withLock { state in
            state.segments.map { ($0, $0.readable, $0.index.isInMemory ? $0.index.entries : nil) }
        }
        for (segment, readable, inMemory) in segments where readable > 0 {
            var entries = inMemory ?? []
            if inMemory == nil {
                let path = Path.join(log.folder, segment.indexName)
                guard let bytes = fileSystem.contents(path),
                    let stored = bytes.withUnsafeBytes({ SegmentIndex.decode($0, baseOffset: segment.baseOffset) })
                else { throw Failure(description: "partition \(place): no index \(segment.indexName)") }
                entries = stored.index.entries
            }
            guard let bytes = fileSystem.contents(Path.join(log.folder, segment.logName)) else {
                throw Failure(description: "partition \(place): no segment \(segment.logName)")
            }
            var batches: [Int64: (base: Int64, timeBefore: Int64)] = [:]
            try bytes.withUnsafeBytes { raw in
                var at = 0
                var time = Int64.min
                while at < min(Int(readable), raw.count) {
                    let header = RecordBatchHeader(unchecked: raw.baseAddress! + at)
                    guard raw.count - at >= RecordBatchHeader.size, header.totalSize >= RecordBatchHeader.size else {
                        throw Failure(description: "partition \(place): no batch at \(at) of \(segment.logName)")
                    }
                    batches[Int64(at)] = (header.baseOffset.rawValue, time)
                    time = max(time, header.maxTimestampMs)
                    at += header.totalSize
                }
            }
            for entry in entries where Int64(entry.position) < readable {
                guard let batch = batches[Int64(entry.position)],
                    batch.base == segment.baseOffset + Int64(entry.relativeOffset),
                    batch.timeBefore == entry.maxTimestampBefore
                else { throw Failure(description: "partition \(place): \(segment.indexName) says \(entry)") }
            }
        }
    }

    /// The producer states are those of a scan of all batches, less what was silent for long enough to be forgotten.
    func verifyProducers(_ place: Int) throws {
        var expected = ProducerStates()
        var lastSeenMs: [Int64: Int64] = [:]
        var mayBeForgotten: Set<Int64> = []
        for batch in partitions[place].batches {
            guard let producer = batch.producer else { continue }
            let id = producer.producerID
            if batch.appendedMs - (lastSeenMs[id] ?? batch.appendedMs) >= Self.expirationMs {
                mayBeForgotten.insert(id)
            }
            lastSeenMs[id] = batch.appendedMs
            expected.record(producer, lastOffset: batch.lastOffset, timestampMs: 0)
        }
        for (id, time) in lastSeenMs where nowMs - time >= Self.expirationMs { mayBeForgotten.insert(id) }
        let actual = partitions[place].log.state.withLock { $0.producers }
        for (id, entry) in actual.entries {
            let window = expected.entries[id]?.window ?? []
            let isRight =
                mayBeForgotten.contains(id)
                ? window.suffix(entry.window.count) == entry.window[...] : window == entry.window
            guard isRight else {
                throw Failure(description: "partition \(place), producer \(id): \(entry.window) for \(window)")
            }
        }
        for id in expected.entries.keys where actual.entries[id] == nil && !mayBeForgotten.contains(id) {
            throw Failure(description: "partition \(place): producer \(id) was forgotten")
        }
    }
}

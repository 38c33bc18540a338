import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import RecordFormat
import Security

/// Putting records: all of a request are looked at before the first is appended. The partition key is the record's key.
extension KinesisCalls {
    func putRecord(
        _ members: KinesisMembers, _ out: inout ByteWriter, _ reserve: (Int) -> Bool
    ) throws(KinesisError) -> Effect {
        let topic = try stream(members, .write)
        let shards = KinesisShards(topic)
        let entry = try entry(members, "The record", shards, reserve, topic)
        let (placed, effect) = append([entry], to: topic)
        switch placed[0] {
        case .success(let offset): Self.write(offset, in: entry.shard, &out)
        case .failure(let refusal): throw Self.error(refusal, topic)
        }
        return effect
    }

    func putRecords(
        _ members: KinesisMembers, _ out: inout ByteWriter, _ reserve: (Int) -> Bool
    ) throws(KinesisError) -> Effect {
        let topic = try stream(members, .write)
        let known = KinesisOperation.recordMembers
        guard let asked = try members.objects("Records", known, atMost: KinesisLimits.maxRecords), !asked.isEmpty else {
            throw KinesisError(.invalidArgument, "Records is required, and has at least one entry.")
        }
        let shards = KinesisShards(topic)
        var entries: [Entry] = []
        for (place, members) in asked.enumerated() {
            entries.append(try entry(members, "Record \(place)", shards, reserve, topic))
        }
        let (placed, effect) = append(entries, to: topic)
        out.text("{\"FailedRecordCount\":")
        out.decimal(placed.count - effect.records)
        out.text(",\"Records\":[")
        for (place, result) in placed.enumerated() {
            if place > 0 { out.text(",") }
            switch result {
            case .success(let offset): Self.write(offset, in: entries[place].shard, &out)
            case .failure(let refusal):
                let error = Self.error(refusal, topic)
                out.text("{\"ErrorCode\":\"")
                out.utf8(error.type)
                out.text("\",\"ErrorMessage\":")
                JSONText.write(error.message, into: &out)
                out.text("}")
            }
        }
        out.text("]}")
        return effect
    }

    /// A record that is acceptable.
    struct Entry {
        let key: [UInt8]
        let bytes: [UInt8]
        let shard: Int

        var sizeInBatch: Int { Self.overhead + key.count + bytes.count }

        /// Bytes that it takes in a batch beside its key and its value, at most: their lengths and its own of five bytes each, of its
        /// headers and attributes six, and ten each of time and offset.
        static let overhead = 41
    }

    private func entry(
        _ members: KinesisMembers, _ what: String, _ shards: KinesisShards, _ reserve: (Int) -> Bool, _ topic: Topic
    ) throws(KinesisError) -> Entry {
        let key = try members.required("PartitionKey")
        guard key.unicodeScalars.count <= KinesisLimits.maxKeyCharacters else {
            throw KinesisError(
                .invalidArgument,
                "\(what) has a PartitionKey of more than \(KinesisLimits.maxKeyCharacters) characters.")
        }
        let keyBytes = Array(key.utf8)
        let most = min(
            maxRecordBytes, topic.partitions[0].settings.maxBatchBytes - RecordBatchHeader.size - Entry.overhead)
        // Four characters stand for three bytes; escapes only make more of them.
        guard reserve(members.textBytes("Data")) else {
            throw KinesisError(.throughputExceeded, "Too many bodies are being received at the moment.")
        }
        guard let bytes = try members.bytes("Data") else {
            throw KinesisError(.invalidArgument, "\(what) has no Data.")
        }
        guard bytes.count + keyBytes.count <= most else {
            throw KinesisError(
                .invalidArgument,
                "\(what) has \(bytes.count + keyBytes.count) bytes, and may have \(most), its PartitionKey included.")
        }
        return Entry(key: keyBytes, bytes: bytes, shard: try shard(of: keyBytes, members, what, shards))
    }

    private func shard(
        of key: [UInt8], _ members: KinesisMembers, _ what: String, _ shards: KinesisShards
    ) throws(KinesisError) -> Int {
        if let text = try members.text("ExplicitHashKey") {
            guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let hash = UInt128(text) else {
                throw KinesisError(.invalidArgument, "\(what) has an ExplicitHashKey that is no number below 2^128.")
            }
            return shards.index(of: hash)
        }
        guard let hash = KinesisShards.hash(of: key) else {
            throw KinesisError(
                .internalFailure, "This machine's OpenSSL has no MD5: a record needs an ExplicitHashKey.")
        }
        return shards.index(of: hash)
    }

    // MARK: Appending

    /// Appends in batches that the topic takes, shard by shard, records of one shard in their order. What follows a refusal in its
    /// shard is refused like it.
    private func append(
        _ entries: [Entry], to topic: Topic
    ) -> (placed: [Result<Offset, AppendRefusal>], effect: Effect) {
        defer { broker.store.kick() }
        var placed = Array(
            repeating: Result<Offset, AppendRefusal>.failure(AppendRefusal(.kafkaStorageError, "it was not appended")),
            count: entries.count)
        var effect = Effect()
        let places = Dictionary(grouping: entries.indices, by: { entries[$0].shard })
        for shard in places.keys.sorted() {
            append(entries, at: places[shard] ?? [], to: topic.partitions[shard], &placed, &effect)
        }
        return (placed, effect)
    }

    private func append(
        _ entries: [Entry], at places: [Int], to partition: PartitionLog,
        _ placed: inout [Result<Offset, AppendRefusal>], _ effect: inout Effect
    ) {
        let limit = min(partition.settings.maxBatchBytes, GatewayLoop.preferredBatchBytes)
        let nowMs = BrokerClock.wallMs()
        var builder = RecordBatchBuilder(pool: broker.store.chunkPool)
        var first = 0
        while first < places.count {
            builder.begin()
            var end = first
            while end < places.count {
                let entry = entries[places[end]]
                // One is in any case: it was held against the topic's own limit.
                if end > first, builder.sizeInBytes + entry.sizeInBatch > limit { break }
                builder.append(key: entry.key, value: entry.bytes, timestampMs: nowMs)
                end += 1
            }
            let batch = builder.finishUncompressed()
            switch partition.append(batch, origin: .client, nowMs: nowMs) {
            case .success(let receipt):
                effect.commits.add(receipt.ticket)
                effect.records += end - first
                effect.bytes += batch.count
                for place in first..<end {
                    placed[places[place]] = .success(receipt.baseOffset + Int64(place - first))
                }
            case .failure(let refusal):
                for place in places[first...] { placed[place] = .failure(refusal) }
                return
            }
            first = end
        }
    }

    private static func error(_ refusal: AppendRefusal, _ topic: Topic) -> KinesisError {
        switch refusal.code {
        case .unknownTopicOrPartition: noStream(topic.name)
        case .messageTooLarge, .invalidRecord, .invalidTimestamp:
            KinesisError(.invalidArgument, "The stream does not take the record: \(refusal.message).")
        default:
            // What failed on the disk is the operator's affair; how full it is helps the client to decide.
            KinesisError(
                .internalFailure,
                refusal.isDiskFull
                    ? "No records are taken: \(refusal.message)." : "The broker cannot commit writes at the moment.")
        }
    }

    private static func write(_ offset: Offset, in shard: Int, _ out: inout ByteWriter) {
        out.text("{\"SequenceNumber\":\"")
        out.decimal(Int(offset.rawValue))
        out.text("\",\"ShardId\":\"")
        out.utf8(KinesisShards.id(of: shard))
        out.text("\"}")
    }
}

import ByteBuffers
import KafkaWire
import Testing

/// The readers that walk requests in place, held against the generated structs.
@Suite struct InPlaceReaderTests {
    private static let rounds: UInt64 = 60

    private func text(_ bytes: UnsafeRawBufferPointer?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    // MARK: - Produce

    private func check(_ request: ProduceRequest, _ bytes: [UInt8], _ version: Int16) throws {
        try bytes.withUnsafeBytes { raw in
            var walk = try ProduceRequestReader(ByteReader(raw), version: version)
            #expect(text(walk.transactionalID) == request.transactionalID)
            #expect(walk.acks == request.acks && walk.timeoutMs == request.timeoutMs)
            #expect(walk.topicCount == request.topicData.count)
            #expect(walk.partitionCount == request.topicData.reduce(0) { $0 + $1.partitionData.count })
            let all = request.topicData.flatMap(\.partitionData)
            #expect(walk.recordBytes == all.reduce(0) { $0 + ($1.records?.count ?? 0) })
            for topic in request.topicData {
                let next = walk.nextTopic()
                let found = try #require(next)
                #expect(text(found.name) == topic.name && found.topicID == topic.topicID)
                #expect(found.partitionCount == topic.partitionData.count)
                for partition in topic.partitionData {
                    let next = walk.nextPartition()
                    let place = try #require(next)
                    #expect(place.index == partition.index)
                    #expect(place.records.map { Array(raw[$0]) } == partition.records)
                }
                let last = walk.nextPartition()
                #expect(last == nil)
            }
            for _ in 0..<2 {
                let end = walk.nextTopic()
                #expect(end == nil)
            }
        }
    }

    @Test(arguments: ProduceRequest.versions)
    func produceRequestIsReadAsTheStructIs(_ version: Int16) throws {
        for seed in 0..<Self.rounds {
            var messages = RandomMessages(random: SplitMix(state: seed), version: version)
            let request = messages.produceRequest()
            try check(request, encode(request, version), version)
        }
    }

    @Test func goldenProduceRequestsAreReadInPlace() throws {
        for line in try GoldenFile.lines("00_Produce") where line.kind == "request" {
            let request = try #require(try decode(ProduceRequest.self, line.bytes, line.version) as? ProduceRequest)
            try check(request, line.bytes, line.version)
        }
    }

    @Test func topicsWhosePartitionsWereNotReadArePassedOver() throws {
        for version: Int16 in [3, 9, 13] {
            var messages = RandomMessages(random: SplitMix(state: 5), version: version)
            var request = messages.produceRequest()
            while request.topicData.count < 3 { request = messages.produceRequest() }
            try encode(request, version).withUnsafeBytes { raw in
                var walk = try ProduceRequestReader(ByteReader(raw), version: version)
                for topic in request.topicData {
                    let next = walk.nextTopic()
                    #expect(text(next?.name) == topic.name)
                }
                let end = walk.nextTopic()
                #expect(end == nil)
            }
        }
    }

    @Test(arguments: ProduceRequest.versions)
    func damagedProduceRequestIsRefusedOrReadAsTheStructIs(_ version: Int16) throws {
        var messages = RandomMessages(random: SplitMix(state: UInt64(version)), version: version)
        for _ in 0..<100 {
            var bytes = encode(messages.produceRequest(), version)
            let place = Int.random(in: 0..<bytes.count, using: &messages.random)
            bytes[place] = UInt8.random(in: 0...255, using: &messages.random)
            if let request = try? decode(ProduceRequest.self, bytes, version) as? ProduceRequest {
                try check(request, bytes, version)
            } else {
                bytes.withUnsafeBytes { raw in
                    // The reader takes names that are not UTF-8; what it takes, it must be able to walk.
                    guard var walk = try? ProduceRequestReader(ByteReader(raw), version: version) else { return }
                    while walk.nextTopic() != nil { while walk.nextPartition() != nil {} }
                }
            }
            for count in stride(from: 0, to: bytes.count, by: 7) {
                bytes[..<count].withUnsafeBytes { raw in
                    _ = try? ProduceRequestReader(ByteReader(raw), version: version)
                }
            }
        }
    }

    // MARK: - Fetch

    private func check(_ request: FetchRequest, _ bytes: [UInt8], _ version: Int16) throws {
        try bytes.withUnsafeBytes { raw in
            var walk = try FetchRequestReader(ByteReader(raw), version: version)
            #expect(walk.replicaID == (version >= 15 ? request.replicaState.replicaID : request.replicaID))
            #expect(walk.replicaEpoch == request.replicaState.replicaEpoch)
            #expect(text(walk.clusterID) == request.clusterID)
            #expect(walk.maxWaitMs == request.maxWaitMs && walk.minBytes == request.minBytes)
            #expect(walk.maxBytes == request.maxBytes && walk.isolationLevel == request.isolationLevel)
            #expect(walk.sessionID == request.sessionID && walk.sessionEpoch == request.sessionEpoch)
            #expect(text(walk.rackID) == request.rackID)
            #expect(walk.topicCount == request.topics.count)
            #expect(walk.partitionCount == request.topics.reduce(0) { $0 + $1.partitions.count })
            #expect(walk.forgottenTopicCount == request.forgottenTopicsData.count)
            for topic in request.topics {
                let next = walk.nextTopic()
                let found = try #require(next)
                #expect(text(found.name) == topic.topic && found.topicID == topic.topicID)
                #expect(found.partitionCount == topic.partitions.count)
                for partition in topic.partitions {
                    let next = walk.nextPartition()
                    let place = try #require(next)
                    var expected = place
                    expected.index = partition.partition
                    expected.currentLeaderEpoch = partition.currentLeaderEpoch
                    expected.fetchOffset = partition.fetchOffset
                    expected.lastFetchedEpoch = partition.lastFetchedEpoch
                    expected.logStartOffset = partition.logStartOffset
                    expected.maxBytes = partition.partitionMaxBytes
                    expected.replicaDirectoryID = partition.replicaDirectoryID
                    expected.highWatermark = partition.highWatermark
                    #expect(place == expected)
                }
                let last = walk.nextPartition()
                #expect(last == nil)
            }
            let end = walk.nextTopic()
            #expect(end == nil)
            for topic in request.forgottenTopicsData {
                let next = walk.nextForgottenTopic()
                let found = try #require(next)
                #expect(text(found.name) == topic.topic && found.topicID == topic.topicID)
                for partition in topic.partitions {
                    let next = walk.nextForgottenPartition()
                    #expect(next == partition)
                }
                let last = walk.nextForgottenPartition()
                #expect(last == nil)
            }
            let forgottenEnd = walk.nextForgottenTopic()
            #expect(forgottenEnd == nil)
        }
    }

    @Test(arguments: FetchRequest.versions)
    func fetchRequestIsReadAsTheStructIs(_ version: Int16) throws {
        for seed in 0..<Self.rounds {
            var messages = RandomMessages(random: SplitMix(state: seed), version: version)
            let request = messages.fetchRequest()
            try check(request, encode(request, version), version)
        }
    }

    @Test func goldenFetchRequestsAreReadInPlace() throws {
        for line in try GoldenFile.lines("01_Fetch") where line.kind == "request" {
            let request = try #require(try decode(FetchRequest.self, line.bytes, line.version) as? FetchRequest)
            try check(request, line.bytes, line.version)
        }
    }

    @Test func forgottenTopicsWhosePartitionsWereNotReadArePassedOver() throws {
        for version: Int16 in [7, 12, 18] {
            var messages = RandomMessages(random: SplitMix(state: 5), version: version)
            var request = messages.fetchRequest()
            while request.topics.count < 3 || request.forgottenTopicsData.count < 3 {
                request = messages.fetchRequest()
            }
            try encode(request, version).withUnsafeBytes { raw in
                var walk = try FetchRequestReader(ByteReader(raw), version: version)
                for topic in request.topics {
                    let next = walk.nextTopic()
                    #expect(text(next?.name) == topic.topic)
                    _ = walk.nextPartition()
                }
                for topic in request.forgottenTopicsData {
                    let next = walk.nextForgottenTopic()
                    #expect(text(next?.name) == topic.topic)
                    _ = walk.nextForgottenPartition()
                }
                let end = walk.nextTopic()
                #expect(end == nil)
                let forgottenEnd = walk.nextForgottenTopic()
                #expect(forgottenEnd == nil)
            }
        }
    }

    @Test(arguments: FetchRequest.versions)
    func damagedFetchRequestIsRefusedOrReadAsTheStructIs(_ version: Int16) throws {
        var messages = RandomMessages(random: SplitMix(state: UInt64(version)), version: version)
        for _ in 0..<100 {
            var bytes = encode(messages.fetchRequest(), version)
            let place = Int.random(in: 0..<bytes.count, using: &messages.random)
            bytes[place] = UInt8.random(in: 0...255, using: &messages.random)
            if let request = try? decode(FetchRequest.self, bytes, version) as? FetchRequest {
                try check(request, bytes, version)
            } else {
                bytes.withUnsafeBytes { raw in
                    guard var walk = try? FetchRequestReader(ByteReader(raw), version: version) else { return }
                    while walk.nextTopic() != nil { while walk.nextPartition() != nil {} }
                    while walk.nextForgottenTopic() != nil { while walk.nextForgottenPartition() != nil {} }
                }
            }
        }
    }

    @Test func everyPrefixOfARequestIsRefused() throws {
        for line in try GoldenFile.lines("00_Produce") where line.kind == "request" && line.variant == "full" {
            for count in 0..<line.bytes.count {
                let prefix = Array(line.bytes[..<count])
                #expect(throws: DecodeError.self) {
                    try prefix.withUnsafeBytes { _ = try ProduceRequestReader(ByteReader($0), version: line.version) }
                }
            }
        }
        for line in try GoldenFile.lines("01_Fetch") where line.kind == "request" && line.variant == "full" {
            for count in 0..<line.bytes.count {
                let prefix = Array(line.bytes[..<count])
                #expect(throws: DecodeError.self) {
                    try prefix.withUnsafeBytes { _ = try FetchRequestReader(ByteReader($0), version: line.version) }
                }
            }
        }
    }
}

import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@testable import KafkaServer

/// Random histories of a session beside a naive model: the model asks for every partition each time, without a session, and
/// leaves out what its client knows. The session, which looks at what is ready alone, must answer the same, in the same order.
@Suite struct ReadyListModelTests {
    @Test(arguments: 1...12) func aSessionAnswersAsAWalkOverAllPartitionsWould(seed: UInt64) throws {
        var history = try SessionHistory(seed: seed)
        for _ in 0..<250 { try history.step() }
        #expect(history.fetches > 50 && history.records > 20, "seed \(seed) did too little")
    }

    /// Between such steps fetches wait while other things happen, and their connections are given up. Topics go by name or by id,
    /// and workers have a part in it, or do nearly all of it.
    @Test(arguments: 1...24) func itDoesSoWhenItsFetchesWait(seed: UInt64) throws {
        var history = try SessionHistory(seed: seed, byID: seed % 2 == 0, inline: [1000, 5, 1][Int(seed % 3)])
        for round in 0..<30 {
            for _ in 0..<round % 7 { try history.step() }
            try history.wait()
        }
        #expect(history.waits == 30 && history.givenUp > 0 && history.records > 20, "seed \(seed) did too little")
    }

    /// A fetch that waits is answered by the append with which all partitions together have enough, and by no earlier one.
    @Test(arguments: 1...8) func aWaitEndsWhenAllPartitionsTogetherHaveEnough(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let broker = try TestBroker()
        let (reader, writer) = (try broker.client(), try broker.client())
        let count = Int32.random(in: 1...40, using: &random)
        try writer.createTopic("orders", partitions: count)
        var wanted = (0..<count).map { WireClient.Wanted(topic: "orders", partition: $0, maxBytes: 3000) }
        let id = try reader.call(WireClient.fetchRequest(wanted, epoch: 0), version: 12).sessionID
        try #require(id > 0)
        var changed: [WireClient.Wanted] = []
        for epoch in Int32(1)...15 {
            let minBytes = Int32.random(in: 1...6000, using: &random)
            let correlation = try reader.send(
                WireClient.fetchRequest(
                    changed, maxWaitMs: 600_000, minBytes: minBytes, sessionID: id, epoch: epoch), version: 12)
            try waitUntil { broker.parkedFetches == 1 }
            // The client has read all there is, so growth is all that counts.
            let enough = min(Int(minBytes), 3000 * Int(count))
            var grown = [Int](repeating: 0, count: Int(count))
            var available = 0
            while available < enough {
                let partition = Int32.random(in: 0..<count, using: &random)
                let batch = TestBatch(count: 1, valueSize: Int.random(in: 0...400, using: &random)).bytes()
                #expect(try writer.produce("orders", batch, partition: partition).code == .none)
                grown[Int(partition)] += batch.count
                available = grown.reduce(0) { $0 + min($1, 3000) }
                if available >= enough { break }
                try #require(
                    broker.parkedFetches == 1 && !reader.hasInput,
                    "seed \(seed): answered with \(available) of \(enough) bytes")
            }
            let reply = try reader.receive(FetchResponse.self, version: 12, correlationID: correlation)
            #expect(reply.code == .none)
            changed = try (0..<count).compactMap { partition in
                let end = try writer.listOffset("orders", at: -1, partition: partition).offset
                if end == wanted[Int(partition)].offset { return nil }
                wanted[Int(partition)].offset = end
                return wanted[Int(partition)]
            }
        }
    }
}

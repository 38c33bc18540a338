import BrokerTestKit
import Coordinators
import KafkaModel
import Testing

@Suite struct ProducerIDAllocatorTests {
    private func ids(_ actions: ProducerIDAllocator.Actions) -> [Int64?] {
        actions.grants.map { $0.producerID?.rawValue }
    }

    @Test func firstIDWaitsForADurableBlock() {
        var allocator = ProducerIDAllocator(frontier: 5_000)
        let asked = allocator.request(WaiterID(1))
        #expect(asked.grants.isEmpty)
        #expect(asked.store == ProducerIDBlock(first: 5_000, count: 1_000))
        // Others wait for the same block.
        let second = allocator.request(WaiterID(2))
        #expect(second.grants.isEmpty && second.store == nil)
        let stored = allocator.stored(asked.store!)
        #expect(stored.grants.map(\.waiter) == [WaiterID(1), WaiterID(2)])
        #expect(ids(stored) == [5_000, 5_001])
        #expect(stored.store == nil)
    }

    @Test func nextBlockIsClaimedBeforeTheLastEnds() {
        var allocator = ProducerIDAllocator(frontier: 0)
        let first = allocator.request(WaiterID(0)).store!
        _ = allocator.stored(first)
        var claims: [ProducerIDBlock] = []
        for waiter in 1..<1_000 {
            let actions = allocator.request(WaiterID(UInt64(waiter)))
            #expect(ids(actions) == [Int64(waiter)])
            if let block = actions.store { claims.append(block) }
        }
        #expect(claims == [ProducerIDBlock(first: 1_000, count: 1_000)])
        // The block ran out while the claim is under way: wait.
        #expect(allocator.request(WaiterID(1_000)).grants.isEmpty)
        #expect(ids(allocator.stored(claims[0])) == [1_000])
    }

    @Test func failedClaimRefusesWhoWaitsAndIsTriedAgain() {
        var allocator = ProducerIDAllocator(frontier: 0)
        let block = allocator.request(WaiterID(1)).store!
        let failed = allocator.storeFailed(block)
        #expect(ids(failed) == [nil] && failed.store == nil)
        #expect(allocator.request(WaiterID(2)).store == block)
    }

    @Test func claimThatAnotherBrokerWonIsMadeBehindIt() {
        var allocator = ProducerIDAllocator(frontier: 0)
        let block = allocator.request(WaiterID(1)).store!
        let retried = allocator.storeFailed(block, frontier: 1_000)
        #expect(retried.grants.isEmpty)
        #expect(retried.store == ProducerIDBlock(first: 1_000, count: 1_000))
        #expect(ids(allocator.stored(retried.store!)) == [1_000])
    }

    @Test(arguments: testSeeds(20)) func idIsNeverGivenTwiceThroughRestarts(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var durable: Int64 = 0
        var given: Set<Int64> = []
        for _ in 0..<5 {
            var allocator = ProducerIDAllocator(frontier: durable)
            var pending: ProducerIDBlock?
            var waiting = 0
            func take(_ actions: ProducerIDAllocator.Actions) {
                for grant in actions.grants {
                    waiting -= 1
                    guard let id = grant.producerID else { continue }
                    #expect(given.insert(id.rawValue).inserted, "seed \(seed): \(id.rawValue) twice")
                    #expect(id.rawValue < durable, "seed \(seed): \(id.rawValue) is not durable")
                }
                if let block = actions.store { pending = block }
            }
            for step in 0..<4_000 {
                if let block = pending, random.chance(0.02) {
                    pending = nil
                    if random.chance(0.2) {
                        let other = durable + 1_000
                        let lost = random.chance(0.5)
                        if lost { durable = other }
                        take(allocator.storeFailed(block, frontier: lost ? other : nil))
                    } else {
                        durable = block.end
                        take(allocator.stored(block))
                    }
                } else {
                    waiting += 1
                    take(allocator.request(WaiterID(UInt64(step))))
                }
            }
            #expect(waiting == 0 || pending != nil, "seed \(seed): \(waiting) wait for nothing")
        }
    }
}

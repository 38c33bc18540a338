import Testing

@testable import KafkaServer

@Suite struct GrowthRoundTests {
    /// Plays partitions that tell of their steps, and counts what was told and looked at.
    private struct Model {
        var round: GrowthRound
        var position: [Int]
        var seen: [Int]
        var threshold: [Int]
        var told = 0
        var rounds = 0
        var isDone = false

        init(partitions: Int, missing: Int) {
            round = GrowthRound(missing: missing)
            position = Array(repeating: 0, count: partitions)
            seen = position
            threshold = position
            begin()
        }

        mutating func begin() {
            repeat {
                rounds += 1
                round.begin(over: position.count)
                for place in position.indices { watch(place) }
            } while round.isOver && !round.isEnough
            isDone = round.isEnough
        }

        mutating func watch(_ place: Int) {
            round.gain(position[place] - seen[place])
            seen[place] = position[place]
            threshold[place] = position[place] + round.step
        }

        mutating func grow(_ place: Int, by bytes: Int) {
            position[place] += bytes
            guard position[place] >= threshold[place] else { return }
            told += 1
            watch(place)
            if round.isOver { begin() }
        }
    }

    @Test(arguments: [1, 2, 3, 7, 50, 1000], [1, 2, 100, 4096, 1_000_000])
    func enoughIsNeverMissedAndSeldomAskedFor(partitions: Int, missing: Int) {
        var random = SystemRandomNumberGenerator()
        for largest in [1, 100, 5000] where missing / largest <= 20_000 {
            var model = Model(partitions: partitions, missing: missing)
            var total = 0
            while total < missing {
                #expect(!model.isDone)
                let bytes = Int.random(in: 1...largest, using: &random)
                total += bytes
                model.grow(Int.random(in: 0..<partitions, using: &random), by: bytes)
            }
            #expect(model.isDone)
            var halvings = 2
            while missing >> halvings > partitions { halvings += 1 }
            #expect(model.rounds <= halvings + 2, "\(partitions) \(missing) \(largest)")
            #expect(model.told <= (halvings + 2) * (partitions + 1), "\(partitions) \(missing) \(largest)")
        }
    }

    @Test func onePartitionTellsOnce() {
        var model = Model(partitions: 1, missing: 1_000_000)
        for _ in 0..<9_999 { model.grow(0, by: 100) }
        #expect(model.told == 0)
        model.grow(0, by: 100)
        #expect(model.told == 1)
        #expect(model.isDone)
    }
}

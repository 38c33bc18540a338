import BrokerTestKit
import ByteBuffers
import KafkaModel
import Testing

@testable import JobLedger

@Suite struct JobLedgerTests {
    private static let topic = TopicID(high: 1, low: 2)

    private static func job(_ number: UInt64, atMs: Int64 = 1_000) -> Job {
        Job(
            id: JobID(high: 7, low: number), route: "/v1/files", topic: "rows", quarantine: "quarantine.rows",
            owner: number % 2 == 0 ? "ann" : nil, fileName: number % 3 == 0 ? "é.csv" : nil,
            source: number % 5 == 0 ? FileIdentity(inode: .max, size: 1 << 40, modifiedNs: -1) : nil, createdMs: atMs)
    }

    private static func redrive(_ number: UInt64, atMs: Int64 = 1_000) -> Job {
        let redrive = Job.Redrive(
            source: "dead", destination: number % 2 == 0 ? "orders" : nil, perSecond: number % 3 == 0 ? 5 : nil,
            expected: Int(number))
        return Job(
            id: JobID(high: 7, low: number), redrive, route: "/v1/queues/dead/messages:redrive", topic: "q.dead",
            owner: number % 2 == 0 ? "ann" : nil, createdMs: atMs)
    }

    /// Applies changes as their log would.
    private static func take(_ changes: [JobChange], _ ledger: inout JobLedger) throws {
        for change in changes { try replay(change, &ledger) }
    }

    private static func replay(_ change: JobChange, _ ledger: inout JobLedger) throws {
        try change.key.withUnsafeBytes { key in
            if let value = change.value {
                try value.withUnsafeBytes { try ledger.replay(key: key, value: $0) }
            } else {
                try ledger.replay(key: key, value: nil)
            }
        }
    }

    // MARK: Events

    @Test func aJobRunsAndEndsWithWhatIsOnDisk() throws {
        var ledger = JobLedger()
        let job = Self.job(3)
        try Self.take(try ledger.begin(job), &ledger)
        #expect(ledger[job.id] == job && ledger.running == [job])
        let ends = JobFloors.Ends(topicID: Self.topic, offsets: [Offset(5), Offset(1 << 40)])
        let progress = JobProgress(bytes: 100, accepted: 9, rejected: 1, line: 12)
        try Self.take([try ledger.progress(of: job.id, progress, JobFloors(topic: ends), nowMs: 1_500)], &ledger)
        let running = try #require(ledger[job.id])
        #expect(running.progress == progress && running.floors == JobFloors(topic: ends) && running.changedMs == 1_500)
        #expect(running.progress.rows == 10)
        let whole = JobProgress(bytes: 200, accepted: 19, rejected: 2, line: 22)
        let rows = [
            RejectedRow(line: 4, column: 2, reason: "no number"), RejectedRow(line: 9, column: nil, reason: ""),
        ]
        try Self.take([try ledger.end(job.id, .finished, reason: nil, whole, rejected: rows, nowMs: 2_000)], &ledger)
        let ended = try #require(ledger[job.id])
        #expect(ended.state == .finished && ended.reason == nil && ended.progress == whole && ended.rejected == rows)
        #expect(ended.changedMs == 2_000 && ended.createdMs == 1_000 && ended.floors == JobFloors())
        #expect(ledger.running.isEmpty)
    }

    @Test func whatHasEndedOrIsNotKnownDoesNotGoOn() throws {
        var ledger = JobLedger()
        let job = Self.job(1)
        #expect(throws: JobRefusal.notFound) {
            try ledger.progress(of: job.id, JobProgress(), JobFloors(), nowMs: 0)
        }
        try Self.take(try ledger.begin(job), &ledger)
        try Self.take(
            [try ledger.end(job.id, .cancelled, reason: "why", JobProgress(), rejected: [], nowMs: 1)], &ledger)
        #expect(throws: JobRefusal.ended) { try ledger.progress(of: job.id, JobProgress(), JobFloors(), nowMs: 0) }
        #expect(throws: JobRefusal.ended) {
            try ledger.end(job.id, .failed, reason: nil, JobProgress(), rejected: [], nowMs: 0)
        }
        #expect(ledger[job.id]?.state == .cancelled && ledger[job.id]?.reason == "why")
    }

    @Test func aPullGoesFromPlaceToPlace() throws {
        var ledger = JobLedger()
        func job(_ pull: PullProgress) -> Job {
            Job(
                id: JobID(high: 7, low: 9), route: "http://h/items", topic: "rows", quarantine: "quarantine.rows",
                owner: nil,
                fileName: nil, createdMs: 5, pull: pull)
        }
        let begun = job(PullProgress(name: "items"))
        #expect(begun.kind == .pull && Self.job(1).kind == .upload)
        try Self.take(try ledger.begin(begun), &ledger)
        #expect(ledger[begun.id] == begun)
        for place in ["2", "", nil] {
            let pull = PullProgress(name: "items", pages: 4, place: place)
            let progress = JobProgress(bytes: 9, accepted: 3, rejected: 1, line: 4)
            try Self.take(
                [try ledger.progress(of: begun.id, progress, JobFloors(), pull: pull, nowMs: 7)], &ledger)
            #expect(ledger[begun.id]?.pull == pull && ledger[begun.id]?.progress == progress)
        }
        try Self.take(
            [try ledger.end(begun.id, .failed, reason: "r", JobProgress(), rejected: [], nowMs: 8)], &ledger)
        #expect(ledger[begun.id]?.pull?.pages == 4 && ledger[begun.id]?.state == .failed)
    }

    /// What earlier versions have written of files is read, and written alike.
    @Test func aFilesRecordIsAsItWas() throws {
        let change = JobChange.put(Self.job(1))
        let file = try #require(change.value)
        #expect(file[0] == 1 && file[1] == 1)
        // Of another version, of a kind that is none, and those that have more without that.
        let starts: [[UInt8]] = [[2, 1], [1, 5], [1, 2], [1, 3], [1, 4]]
        for wrong in starts.map({ $0 + file[2...] }) {
            #expect(throws: (any Error).self) {
                try change.key.withUnsafeBytes { key in
                    try wrong.withUnsafeBytes { value in
                        var ledger = JobLedger()
                        try ledger.replay(key: key, value: value)
                    }
                }
            }
        }
    }

    // MARK: Limits

    @Test func noMoreRunThanMayAndAnEndMakesRoom() throws {
        var limits = JobLimits()
        limits.running = 2
        var ledger = JobLedger(limits)
        for number in 1...2 { try Self.take(try ledger.begin(Self.job(UInt64(number))), &ledger) }
        #expect(throws: JobRefusal.tooManyRunning(2)) { try ledger.begin(Self.job(3)) }
        try Self.take(
            [try ledger.end(Self.job(1).id, .failed, reason: "x", JobProgress(), rejected: [], nowMs: 2)], &ledger)
        try Self.take(try ledger.begin(Self.job(3)), &ledger)
        #expect(ledger.running.map(\.id.low) == [2, 3])
    }

    @Test func redrivesAndFilesTakeNoRoomFromEachOther() throws {
        var limits = JobLimits()
        (limits.running, limits.redrives) = (1, 2)
        var ledger = JobLedger(limits)
        try Self.take(try ledger.begin(Self.job(1)), &ledger)
        for number in UInt64(2)...3 { try Self.take(try ledger.begin(Self.redrive(number)), &ledger) }
        #expect(throws: JobRefusal.tooManyRunning(1)) { try ledger.begin(Self.job(4)) }
        #expect(throws: JobRefusal.tooManyRunning(2)) { try ledger.begin(Self.redrive(4)) }
        #expect(ledger[Self.redrive(2).id] == Self.redrive(2) && ledger[Self.redrive(3).id] == Self.redrive(3))
    }

    @Test func theOldestThatHaveEndedAreForgottenByNumberAndByAge() throws {
        var limits = JobLimits()
        (limits.remembered, limits.rememberedMs) = (3, 1_000)
        var ledger = JobLedger(limits)
        // One that runs is never forgotten, however old.
        try Self.take(try ledger.begin(Self.job(1, atMs: 0)), &ledger)
        for number in UInt64(2)...6 {
            let job = Self.redrive(number, atMs: 10)
            try Self.take(try ledger.begin(job), &ledger)
            try Self.take(
                [
                    try ledger.end(
                        job.id, .finished, reason: nil, JobProgress(), rejected: [], nowMs: Int64(number) * 10)
                ], &ledger)
        }
        // Each beginning leaves room for no more than are remembered.
        #expect(ledger.newestFirst.map(\.id.low) == [6, 5, 4, 3, 1])
        try Self.take(try ledger.begin(Self.job(7, atMs: 100)), &ledger)
        #expect(ledger.newestFirst.map(\.id.low) == [7, 6, 5, 4, 1])
        // 6 ended at 60, 1,000 before.
        try Self.take(try ledger.begin(Self.job(8, atMs: 1_060)), &ledger)
        #expect(ledger.newestFirst.map(\.id.low) == [8, 7, 6, 1])
        try Self.take(try ledger.begin(Self.job(9, atMs: 1_061)), &ledger)
        #expect(ledger.newestFirst.map(\.id.low) == [9, 8, 7, 1])
    }

    @Test func jobsOfOneKindPushOutNoneOfAnother() throws {
        var limits = JobLimits()
        limits.remembered = 2
        var ledger = JobLedger(limits)
        for job in [Self.job(1, atMs: 1)] + (2...6).map({ Self.redrive($0, atMs: 2) }) {
            try Self.take(try ledger.begin(job), &ledger)
            try Self.take(
                [try ledger.end(job.id, .finished, reason: nil, JobProgress(), rejected: [], nowMs: job.createdMs)],
                &ledger)
        }
        try Self.take(try ledger.begin(Self.redrive(7, atMs: 3)), &ledger)
        #expect(ledger.newestFirst.map(\.id.low) == [7, 6, 5, 1])
    }

    @Test func aListOfRejectedRowsAndAReasonAreCut() throws {
        var limits = JobLimits()
        limits.listed = 2
        var ledger = JobLedger(limits)
        try Self.take(try ledger.begin(Self.job(1)), &ledger)
        let rows = (1...5).map {
            RejectedRow(line: $0, column: nil, reason: String(repeating: "é", count: 200))
        }
        try Self.take(
            [try ledger.end(Self.job(1).id, .finished, reason: nil, JobProgress(), rejected: rows, nowMs: 1)], &ledger)
        let kept = try #require(ledger[Self.job(1).id]).rejected
        #expect(kept.map(\.line) == [1, 2])
        #expect(kept[0].reason == String(repeating: "é", count: 126) + "…")
        #expect(kept[0].reason.utf8.count <= RejectedRow.maxReasonBytes)
        let short = String(repeating: "a", count: RejectedRow.maxReasonBytes)
        #expect(RejectedRow(line: 1, column: 1, reason: short).reason == short)
    }

    // MARK: The log

    /// Some changes of jobs, in an order that a log could have.
    private static func changes(_ random: inout SeededRandom, count: Int) throws -> [JobChange] {
        var limits = JobLimits()
        (limits.running, limits.remembered) = (4, 3)
        var ledger = JobLedger(limits)
        var all: [JobChange] = []
        for number in 0..<count {
            var made: [JobChange] = []
            let running = ledger.running
            switch random.below(3) {
            case 0 where running.count < 4:
                let begun = UInt64(number)
                made = try ledger.begin(
                    number % 5 == 0 ? redrive(begun, atMs: Int64(number)) : job(begun, atMs: Int64(number)))
            case 1 where !running.isEmpty:
                let ends = JobFloors.Ends(
                    topicID: topic, offsets: (0..<random.below(3)).map { _ in Offset(Int64(random.below(1 << 30))) })
                let progress = JobProgress(
                    bytes: Int64(random.below(1 << 30)), accepted: Int64(random.below(1000)),
                    rejected: Int64(random.below(10)), line: Int64(number))
                made = [
                    try ledger.progress(
                        of: running[random.below(running.count)].id, progress,
                        JobFloors(topic: ends, quarantine: random.below(2) == 0 ? nil : ends), nowMs: Int64(number))
                ]
            case 2 where !running.isEmpty:
                made = [
                    try ledger.end(
                        running[0].id, random.below(2) == 0 ? .finished : .failed, reason: "é", running[0].progress,
                        rejected: [RejectedRow(line: 3, column: 9, reason: "r")], nowMs: Int64(number))
                ]
            default: break
            }
            for change in made { ledger.apply(change) }
            all += made
        }
        return all
    }

    /// Every prefix gives the jobs of its moment, and so do the newest records of each key alone, as compaction leaves them.
    @Test func theLogGivesTheJobsAgain() throws {
        for seed in testSeeds(20) {
            var random = SeededRandom(seed: seed)
            let changes = try Self.changes(&random, count: 60)
            var (applied, replayed) = (JobLedger(), JobLedger())
            for (index, change) in changes.enumerated() {
                applied.apply(change)
                try Self.replay(change, &replayed)
                #expect(replayed.newestFirst == applied.newestFirst, "seed \(seed), record \(index)")
                #expect(replayed.memoryBytes == applied.memoryBytes)
                var newest: [[UInt8]: Int] = [:]
                for place in 0...index { newest[changes[place].key] = place }
                var compacted = JobLedger()
                for place in newest.values.sorted() { try Self.replay(changes[place], &compacted) }
                #expect(compacted.newestFirst == applied.newestFirst, "seed \(seed), record \(index)")
            }
        }
    }

    /// Whatever bytes a record has, it is read or refused.
    @Test func damagedRecordsAreRefused() throws {
        var random = SeededRandom(seed: 7)
        let changes = try Self.changes(&random, count: 40)
        for change in changes {
            guard let value = change.value else { continue }
            for count in 0..<value.count {
                #expect(throws: DecodeError.self) {
                    try change.key.withUnsafeBytes { key in
                        try Array(value[..<count]).withUnsafeBytes { _ = try JobChange(key: key, value: $0) }
                    }
                }
            }
            #expect(throws: DecodeError.self) {
                try change.key.withUnsafeBytes { key in
                    try (value + [0]).withUnsafeBytes { _ = try JobChange(key: key, value: $0) }
                }
            }
            for _ in 0..<200 {
                var bytes = value
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.below(256))
                change.key.withUnsafeBytes { key in
                    bytes.withUnsafeBytes { _ = try? JobChange(key: key, value: $0) }
                }
            }
        }
        for key in [[], [2] + [UInt8](repeating: 0, count: 16), [UInt8](repeating: 1, count: 18)] as [[UInt8]] {
            #expect(throws: DecodeError.self) {
                try key.withUnsafeBytes { _ = try JobChange(key: $0, value: nil) }
            }
        }
    }

    /// What a job has is added to: no record makes that overflow.
    @Test(arguments: [1 << 60, Int64.max, -1, Int64.min]) func whatCannotHaveBeenCountedIsRefused(number: Int64) throws
    {
        var ledger = JobLedger()
        let job = Self.job(1)
        try Self.take(try ledger.begin(job), &ledger)
        let members: [WritableKeyPath<JobProgress, Int64>] = [\.bytes, \.accepted, \.rejected, \.line]
        for (place, member) in members.enumerated() {
            for (value, isTaken) in [((1 << 60) - 1, true), (number, false)] as [(Int64, Bool)] {
                var progress = JobProgress(bytes: 1, accepted: 2, rejected: 3, line: 4)
                progress[keyPath: member] = value
                let change = try ledger.progress(of: job.id, progress, JobFloors(), nowMs: 1)
                if isTaken {
                    try Self.replay(change, &ledger)
                    #expect(ledger[job.id]?.progress == progress)
                } else {
                    #expect(throws: DecodeError.self, "\(place)") { try Self.replay(change, &ledger) }
                }
            }
        }
    }

    @Test func namesAreReadAsTheyAreWritten() throws {
        let id = JobID(high: 0x0192_f3a4_b5c6_7d8e, low: 0x9fab_cdef_0123_4567)
        #expect(id.text == "0192f3a4-b5c6-7d8e-9fab-cdef01234567")
        #expect(JobID(id.text) == id)
        #expect(JobID(high: 0, low: 1) < JobID(high: 0, low: 2) && JobID(high: 0, low: 2) < JobID(high: 1, low: 0))
        for wrong in [
            "", "0192f3a4-b5c6-7d8e-9fab-cdef0123456", "0192f3a4-b5c6-7d8e-9fab-cdef012345678",
            "0192F3A4-b5c6-7d8e-9fab-cdef01234567", "0192f3a4b-5c6-7d8e-9fab-cdef01234567",
            "0192f3a4-b5c6-7d8e-9fab_cdef01234567", "0192f3a4-b5c6-7d8e-9fab-cdef0123456é",
        ] { #expect(JobID(wrong) == nil, "\(wrong)") }
    }
}

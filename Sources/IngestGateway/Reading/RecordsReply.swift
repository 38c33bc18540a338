import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import LogStorage
import RecordFormat

/// The body of one reply with records while it is made, in slices: however much it reads and writes, a slice takes
/// about a millisecond, and no more of it is in memory than one read of each partition and one slice. A page ends; a stream goes on.
///
/// ```
///   merging: the earliest record of those at hand ─► (long record: its parts) ─► merging … ─► ending ─► done
///      │ ▲                                              until limit, max_bytes or the logs' ends
///      ▼ │
///   (leave: a worker performs what some sources need) (wait: for growth, of a page that waits and of a stream)
/// ```
/// Records of one partition are in their order; of several, those at hand are in the order of their times. With one thread at a
/// time: its connection's loop, or a worker that `perform`s.
final class RecordsReply {
    struct Question {
        var start = Start.earliest
        /// Records from the first one not before this on are left out, in milliseconds since 1970.
        var until: Int64?
        /// nil: all of them.
        var partition: Int?
        var limit = defaultRecords
        /// Bytes of a page; the last record may pass them.
        var maxBytes = defaultBytes
        /// How long a page without records waits for one.
        var wait = Duration.zero
        var form = Form.page
        /// For which consumer group; nil: for none.
        var group: String?
        /// What the request says that was read is committed for it.
        var commits = true
        /// Of a shard: what the iterator behind it is sealed with.
        var seal: IteratorSeal?
    }

    enum Start {
        case earliest, latest
        /// Milliseconds since 1970: the first records not before it.
        case time(Int64)
        case position(ReadPosition)
        /// What a group has committed, which is looked up first; else the beginning.
        case committed
    }

    enum Form {
        /// One JSON object.
        case page
        /// Server-Sent Events, without an end. Source: the HTML standard, 9.2.
        case events
        /// JSON lines, without an end.
        case lines
        /// The reply of Kinesis' GetRecords: a page of one partition.
        case shard
    }

    /// What is to happen next.
    enum Step {
        /// A slice is full; the rest in a later turn.
        case pause
        /// Another thread has to `perform`; then go on. `price`: memory that it takes and that is worth being reserved before.
        case leave(price: Int)
        /// There is nothing more until a partition grows.
        case wait
        case done
        /// Nothing can be answered. Never after `hasBegun`.
        case failed(Problem)
    }

    /// Records of one page, unless `limit` says otherwise, and at most.
    static let defaultRecords = 100
    static let maxRecords = 10_000
    /// Bytes of one page, unless `max_bytes` says otherwise, and at most.
    static let defaultBytes = 1 << 20
    static let maxBytes = 4 << 20
    /// Milliseconds that a page without records waits, at most.
    static let maxWaitMs = 30_000
    /// Partitions of one reply: what is read of each is in memory, and each position names all of them.
    static let maxPartitions = 128
    /// Bytes of log that are read at once, of all partitions together, unless batches are larger: what a reply to a slow peer holds.
    static let readBytes = 256 << 10
    static let leastReadBytes = 16 << 10
    /// The same of a stream: a thousand may catch up at a time. So little that a slice goes through it, and what is read again for want
    /// of memory leads on.
    static let streamReadBytes = 64 << 10
    /// Bytes that its sources hold together, and one of them a batch more: a batch of a few KiB may unpack to 64 MiB, and so in each of
    /// its partitions. The others are read when those at hand are written.
    static let mostHeldBytes = 8 << 20
    /// A slice ends with so many bytes of reply, or when so many bytes of log were looked at: about half a millisecond.
    static let sliceBytes = 64 << 10
    static let sliceWork = 256 << 10
    /// A record without so many bytes is written in one go.
    private static let longRecord = 16 << 10
    /// What a record costs beside its bytes, in bytes.
    static let recordWork = 64
    /// Milliseconds after which a client of Server-Sent Events connects again.
    private static let retryMs = 1000

    let topic: Topic
    let question: Question
    /// Values up to this many bytes are looked at as JSON; larger ones stand in the reply as text.
    private let maxJSONBytes: Int
    private let pool: ChunkPool
    private let context: CompressionContext
    private var workersContext: CompressionContext?
    /// Its place among the streams; nil of a page.
    private let seat: StreamSeat?

    private(set) var sources: [PartitionSource]
    /// The time of the record that a source has at hand; `.max`: it has none.
    private var times: [Int64]
    /// Sources of which it is not known what they have next, and what some of them need for that.
    private var open: [Int]
    private var errands: [(source: Int, what: PartitionSource.Errand)] = []
    /// Sources that have nothing at hand until others hold less; that which has waited longest first.
    private var parked: [Int] = []
    /// What each source held when it was last filled, and all of them together.
    private var heldBySource: [Int] = []
    private var held = 0

    private var stage = Stage.merging
    /// The source whose record is being written.
    private var source = 0
    private var long: LongRecord?
    private var count = 0
    /// Of the last record that was written.
    private var lastTimestampMs: Int64 = 0
    /// `count` when what was read was dropped last.
    private var countAtDrop = -1
    /// The beginning is written.
    private(set) var hasBegun = false
    /// Bytes of the slices before this one.
    private var written = 0
    private var work = 0
    /// It waits no longer, whatever comes.
    private var isOver = false
    private var end: ReplyEnd?

    private enum Stage { case merging, long, ending, done }

    /// - Parameter partitions: in the order of their indexes.
    init(
        _ topic: Topic, _ partitions: [PartitionLog], _ question: Question, maxJSONBytes: Int, pool: ChunkPool,
        context: CompressionContext, seat: StreamSeat? = nil
    ) {
        self.topic = topic
        self.question = question
        self.maxJSONBytes = maxJSONBytes
        self.pool = pool
        self.context = context
        self.seat = seat
        sources = []
        (times, open) = ([], [])
        add(partitions, from: question.start)
    }

    private func add(_ partitions: some Collection<PartitionLog>, from start: Start) {
        let all = isStream ? Self.streamReadBytes : min(question.maxBytes, Self.readBytes)
        let share = max(Self.leastReadBytes, all / max(1, sources.count + partitions.count))
        let most = isStream ? share : min(question.maxBytes, share)
        for partition in partitions {
            open.append(sources.count)
            times.append(.max)
            heldBySource.append(0)
            sources.append(
                PartitionSource(
                    partition, from: start.of(partition.partitionIndex), until: question.until, readBytes: most,
                    isShard: question.form == .shard, pool: pool, context: context))
        }
    }

    var isStream: Bool { question.form == .events || question.form == .lines }

    var mediaType: StaticString {
        switch question.form {
        case .page: "application/json"
        case .events: "text/event-stream"
        case .lines: "application/x-ndjson"
        case .shard: ErrorDialect.kinesis.mediaType
        }
    }

    /// Whether a worker is to do something for it.
    var hasErrands: Bool { !errands.isEmpty }

    /// Bytes that it keeps in memory: what was read, batches decompressed, and the sources themselves where they are many.
    var heldBytes: Int {
        sources.reduce(max(0, sources.count - Self.freeSources) * Self.sourceBytes) { $0 + $1.heldBytes }
    }

    /// A connection keeps as much anyway.
    private static let freeSources = 8
    private static let sourceBytes = 512

    // MARK: Steps

    /// Appends to `out`, which holds this slice alone, until something else must happen.
    func advance(_ out: inout ByteWriter) -> Step {
        while out.count < Self.sliceBytes, work < Self.sliceWork {
            switch stage {
            case .merging:
                if let step = merge(&out) {
                    if case .failed = step { return step }
                    endSlice(out.count)
                    return step
                }
            case .long:
                guard let isWritten = long?.advance(&out, &work) else { preconditionFailure("no long record at hand") }
                if isWritten {
                    long = nil
                    endRecord(&out)
                }
            case .ending:
                writeEnd(&out)
                stage = .done
            case .done: return .done
            }
        }
        if stage == .done { return .done }
        endSlice(out.count)
        return .pause
    }

    private func endSlice(_ bytes: Int) {
        written += bytes
        work = 0
    }

    /// Writes the next record; nil: go on.
    private func merge(_ out: inout ByteWriter) -> Step? {
        if isFull(out.count) || end != nil { return finish() }
        if let step = fillSources() { return step }
        if isStream, !hasBegun { writeStart(&out) }
        var (earliest, time) = (-1, Int64.max)
        for index in times.indices where times[index] < time { (earliest, time) = (index, times[index]) }
        if earliest >= 0 {
            writeRecord(of: earliest, &out)
            return nil
        }
        if isOver || !isStream && (count > 0 || question.wait == .zero || !sources.contains(where: \.mayGrow)) {
            return finish()
        }
        return .wait
    }

    /// Has each source know what it has next; nil: all do, or those that may hold something now.
    private func fillSources() -> Step? {
        errands.removeAll(keepingCapacity: true)
        var turn: Int?
        while let index = open.last ?? unpark(&turn) {
            // Those that are parked come first, or one that holds much would go on to its end.
            let isItsTurn = parked.isEmpty || index == turn
            let outcome = sources[index].fill(&work, most: Self.sliceWork, mayTake: isItsTurn && mayTake)
            countHeld(index)
            switch outcome {
            case .record: times[index] = min(sources[index].current?.timestampMs ?? 0, .max - 1)
            case .end: times[index] = .max
            case .pause:
                open += errands.map(\.source)
                return .pause
            case .leave(let what): errands.append((index, what))
            case .full:
                times[index] = .max
                parked.append(index)
            case .failed(let why):
                end = end ?? why
                return finish()
            }
            open.removeLast()
        }
        // Those for which the worker has done something come first, which is why there may be nothing for the others.
        open = errands.reversed().map(\.source)
        // The worker goes no further than one errand past the most that is held.
        return errands.isEmpty ? nil : .leave(price: errands.reduce(0) { max($0, $1.what.price) })
    }

    /// Whether a source may take more memory: with nothing at hand one may in any case, or nothing would come.
    private var mayTake: Bool {
        held < Self.mostHeldBytes || errands.isEmpty && times.allSatisfy { $0 == .max }
    }

    /// Gives the source that has waited longest its turn, where one may take more.
    private func unpark(_ turn: inout Int?) -> Int? {
        guard !parked.isEmpty, mayTake else { return nil }
        let first = parked.removeFirst()
        open.append(first)
        turn = first
        return first
    }

    private func countHeld(_ index: Int) {
        let now = sources[index].heldBytes
        held += now - heldBySource[index]
        heldBySource[index] = now
    }

    /// Does what its sources need, on a thread that may wait and take its time. What is not done as too much is held is asked for again.
    func perform() {
        let context = workersContext ?? CompressionContext()
        workersContext = context
        for (source, what) in errands {
            sources[source].perform(what, context)
            countHeld(source)
            if held >= Self.mostHeldBytes { return }
        }
    }

    private func isFull(_ inSlice: Int) -> Bool {
        !isStream && (count == question.limit || count > 0 && written + inSlice >= question.maxBytes)
    }

    /// Ends it where it stands. A reply without anything fails by what has ended it.
    private func finish() -> Step? {
        for source in sources { source.drop() }
        if let end, !hasBegun { return .failed(end.problem) }
        stage = .ending
        return nil
    }

    // MARK: Its end from outside

    /// Ends it before the next record, as no memory is left for what was read; a stream reads that again first, once a record. False:
    /// it has not begun, so the request must be refused.
    func giveUp() -> Bool {
        if !hasBegun { return false }
        if long != nil { return true }
        if isStream, count > countAtDrop { countAtDrop = count } else { stop(.overloaded(.tooManyBodies)) }
        drop()
        return true
    }

    private func drop() {
        errands = []
        for (index, source) in sources.enumerated() {
            source.drop()
            countHeld(index)
            times[index] = .max
        }
        (open, parked) = (Array(sources.indices), [])
    }

    /// Ends it before the next record, for this reason.
    func stop(_ why: ReplyEnd) { if end == nil { end = why } }

    // MARK: Waiting

    /// Answers with what there is instead of waiting.
    func waitNoMore() { isOver = true }

    /// Looks for more than there was.
    func goOn() {
        for source in sources { source.goOn() }
        // Those that have nothing at hand.
        (open, parked) = (times.indices.filter { times[$0] == .max }, [])
    }

    /// Whether there may be more than was seen.
    var hasNews: Bool { isOver || end != nil || sources.contains(where: \.hasNews) }

    /// Reads partitions that were made meanwhile as well, where it reads all; with more than it may read it ends. False: there is nothing new.
    func take(_ newest: Topic) -> Bool {
        let count = newest.partitions.count
        guard question.partition == nil, count > sources.count else { return false }
        guard count <= Self.maxPartitions else {
            stop(.tooManyPartitions(count))
            return true
        }
        add(newest.partitions.dropFirst(sources.count), from: .earliest)
        return true
    }

    // MARK: What streams share

    /// Where a stream stands between two records, with nothing at hand; nil: it does not.
    var place: SharedParts.Place? {
        guard isStream, hasBegun, end == nil, stage == .merging, sources.allSatisfy(\.isResting) else { return nil }
        return SharedParts.Place(
            topicID: topic.id, partition: question.partition ?? -1, form: question.form, next: sources.map(\.next))
    }

    /// The marks of its sources.
    var marks: [PartitionSource.Mark] { sources.map(\.mark) }

    /// Stands where another stream has come to from the same place.
    func jump(to marks: [PartitionSource.Mark]) {
        for (source, mark) in zip(sources, marks) { source.jump(to: mark) }
        (open, parked) = ([], [])
        // It has got further, as by records of its own.
        countAtDrop = -1
    }

    // MARK: Text

    private func writeRecord(of index: Int, _ out: inout ByteWriter) {
        guard let record = sources[index].current else { preconditionFailure("no record at hand") }
        source = index
        if !hasBegun { writeStart(&out) }
        switch question.form {
        case .page: out.text(count == 0 ? "{\"partition\":" : ",{\"partition\":")
        case .events: out.text("data: {\"partition\":")
        case .lines: out.text("{\"partition\":")
        case .shard: out.text(count == 0 ? "{" : ",{")
        }
        if question.form != .shard {
            out.decimal(Int(sources[index].partition.partitionIndex))
            out.text(",\"offset\":")
        }
        count += 1
        lastTimestampMs = record.timestampMs
        let bytes = (record.key?.count ?? 0) + (record.value?.count ?? 0) + record.headers.bytes.count
        if bytes > Self.longRecord {
            long = begin(record, &out)
            stage = .long
        } else {
            work += bytes
            var whole = begin(record, &out)
            while !whole.advance(&out, &work) {}
            endRecord(&out)
        }
    }

    private func begin(_ record: RecordView, _ out: inout ByteWriter) -> LongRecord {
        question.form == .shard
            ? LongRecord(ofShard: record, &out)
            : LongRecord(record, maxJSONBytes: maxJSONBytes, isOneLine: isStream, &out)
    }

    private func endRecord(_ out: inout ByteWriter) {
        sources[source].takeCurrent()
        times[source] = .max
        open.append(source)
        stage = .merging
        switch question.form {
        case .page, .shard: out.text("}")
        case .events:
            out.text("}\nid: ")
            writePosition(&out)
            out.text("\n\n")
        case .lines:
            out.text(",\"position\":\"")
            writePosition(&out)
            out.text("\"}\n")
        }
    }

    private func writePosition(_ out: inout ByteWriter) {
        ReadPosition.write(sources, into: &out)
        work += Self.positionWork * sources.count
    }

    /// What a partition's place in a position costs, in bytes.
    private static let positionWork = 8

    /// Writes what stands before the first record. Of a page nothing is written before there is one, so that a refusal can still be
    /// sent; a stream tells at once where it begins.
    private func writeStart(_ out: inout ByteWriter) {
        hasBegun = true
        switch question.form {
        case .page:
            out.text("{\"topic\":\"")
            // A topic's name needs no escape.
            out.bytes(topic.nameBytes)
            if sources.count == 1 {
                out.text("\",\"partition\":")
                out.decimal(Int(sources[0].partition.partitionIndex))
                out.text(",\"records\":[")
            } else {
                out.text("\",\"records\":[")
            }
        case .events:
            // An event without data: nothing is told of it but its id, which is kept.
            out.text("retry: ")
            out.decimal(Self.retryMs)
            out.text("\nid: ")
            writePosition(&out)
            out.text("\n\n")
        case .lines:
            out.text("{\"position\":\"")
            writePosition(&out)
            out.text("\"}\n")
        case .shard: out.text("{\"Records\":[")
        }
    }

    private func writeEnd(_ out: inout ByteWriter) {
        if !hasBegun { writeStart(&out) }
        switch question.form {
        case .page:
            out.text("],\"next\":\"")
            writePosition(&out)
            out.text("\"")
            if sources.count == 1 {
                out.text(",\"next_offset\":")
                out.decimal(Int(sources[0].next.rawValue))
                out.text(",\"high_watermark\":")
                out.decimal(Int(sources[0].highWatermark.rawValue))
                out.text(",\"log_start_offset\":")
                out.decimal(Int(sources[0].logStart.rawValue))
            }
            out.text("}")
        case .events:
            out.text("event: end\ndata: {\"reason\":\"")
            out.text(end?.name ?? "stopping")
            out.text("\"}\n\n")
        case .lines:
            out.text("{\"end\":\"")
            out.text(end?.name ?? "stopping")
            out.text("\"}\n")
        case .shard: writeShardEnd(&out)
        }
    }

    /// Writes where to go on, and how far that is behind: by the time of the last record, where more can be read already.
    private func writeShardEnd(_ out: inout ByteWriter) {
        guard let seal = question.seal, let shard = sources.first else { preconditionFailure("no iterator of a shard") }
        let nowMs = BrokerClock.wallMs()
        let iterator = ShardIterator(
            topicID: topic.id, partitionIndex: shard.partition.partitionIndex, place: .at(shard.next), madeMs: nowMs)
        out.text("],\"NextShardIterator\":\"")
        out.utf8(seal.text(of: iterator))
        out.text("\",\"MillisBehindLatest\":")
        out.decimal(shard.next < shard.highWatermark ? Int(max(1, nowMs - max(0, lastTimestampMs))) : 0)
        out.text("}")
    }

    /// What is sent to a peer that has heard nothing for a while.
    static func heartbeat(_ form: Form) -> StaticString { form == .lines ? "\n" : ":\n\n" }
}

extension RecordsReply.Start {
    func of(_ partitionIndex: Int32) -> PartitionSource.Start {
        switch self {
        case .earliest, .committed: .earliest
        case .latest: .latest
        case .time(let milliseconds): .time(milliseconds)
        case .position(let position): position.offsets[partitionIndex].map { .offset($0) } ?? .earliest
        }
    }
}

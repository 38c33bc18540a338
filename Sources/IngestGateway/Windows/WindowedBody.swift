import BrokerCore
import ByteBuffers
import HTTP2Wire
import HTTPWire
import KafkaModel
import RecordFormat
import Synchronization
import Transport

/// A body of lines or rows that is longer than its route takes in one piece: it is read, checked and appended window by window, and
/// never there as a whole.
///
/// ```
///            ┌────────────── more is wanted: the peer is read again ◄───────────────┐
///            ▼                                                                      │
///   body ─► incoming ─full─► worker: unpack ─► text ─► whole rows ─► checked, appended ─► on disk ─► the next window
///                                                └── the row that is cut stays ◄──┘           └─► end, or a stop ─► reply
/// ```
/// Each window is on disk before the next is begun. So a body of any length takes `price` and what one window comes to with a worker, and
/// what a stop leaves is known: all rows up to one, and none behind it.
///
/// It is with the loop of its request, and with a worker while that has a window.
final class WindowedBody: BodyReader, @unchecked Sendable {
    // SAFETY: one thread has it at a time: the loop hands it to a worker (`WorkerPool`) and touches it again when it is back
    // (`LoopHandle`), but for what is marked as the loop's own; a request that is given up meanwhile leaves it to the worker alone.

    /// Events of a window: their headers and results take memory, however short they are.
    static let maxEvents = 10_000
    /// Bytes of CSV's events after which a window ends: names of columns may be longer than all cells.
    static let madeBytes = 4 << 20
    /// Windows that a worker goes through in one job, where nothing of them is appended: others wait for a worker, too. Blank lines that
    /// were packed are a gigabyte for ten megabytes.
    static let windowsOfJob = 16
    /// Bytes of the list of results. It is kept until the reply is made, as long as that may last.
    static let maxResultsBytes = 1 << 20
    /// Of them for the last result, which may be begun when all others have what is left.
    static let lastResultBytes = 64 << 10
    /// Refused events that are told of when all are.
    static let maxListed = 100
    /// Bytes of a packed body that are unpacked before more of it is read.
    static let packedBytes = 128 << 10
    /// Bytes that may come at once: by HTTP/2 those that a peer may send while a window is handled, of HTTP/1.1 less.
    static let pieceBytes = Int(HTTP2Limits().streamWindow)

    /// How the text is cut.
    enum Format {
        case lines
        case csv(CSVEvents)
        /// Of files alone.
        case array(JSONElements)
    }

    /// What came of a window, or of several.
    enum Outcome {
        /// No row is whole: more of the body is wanted.
        case starved
        /// Another window may be there, and this was enough for one job.
        case more
        /// These commits are to be awaited.
        case appended(CommitSpan)
        /// Nothing more is to be done but the reply.
        case over
        /// Something has to be done first, on another thread.
        case suspended(any ExchangeWork)
    }

    var format: Format
    /// The file that it is, or is in it; nil: the text is the events of a request.
    let upload: FileUpload?
    private let unpacker: StreamDecompressor?
    /// What was there of the body when it became one of windows.
    private var seed: ByteSlice?
    /// What has come since.
    private var incoming: ByteWriter
    /// How much of `seed`, or of `incoming` once there is none, was unpacked.
    private var position = 0
    /// Nothing more comes.
    private(set) var isWhole = false

    /// The text, of which everything before `textStart` was taken: the rest is moved to its front only when that is the lesser part.
    private var text: ByteWriter
    private var textStart = 0
    /// Bytes of the next window: more than usual when the last one had no whole row.
    private var target: Int
    /// Bytes of the text that were taken.
    private var takenBytes = 0
    /// Why what the file is in cannot be read.
    private var formProblem: Problem?
    /// The next row is as long as a row may be and does not end: its first line is one that is wrong.
    private(set) var isStuck = false

    /// Which results are listed.
    let wanted: GatewayLoop.ResultsWanted
    /// Bytes of the budget that it has: `mostBytes`, or all that its peer may have, so that there can be one at least.
    let price: Int
    /// Bytes that its buffers take at most, beside its seed.
    let mostBytes: Int
    private let mostReserved: Int
    private let fullBytes: Int
    /// Bytes of text that are gone through at a time, but for a row that is longer.
    private let windowBytes: Int
    /// Bytes of text that a row may have, with what of the next comes with it.
    private let longestText: Int

    // What came of it so far.
    private(set) var tally = Tally()
    private var before = Tally()
    var results = ByteWriter(capacity: 256)
    /// The first ones, with their indexes in the body.
    private(set) var rejections: [Rejection] = []
    /// Why the rest is not taken.
    private(set) var problem: Problem?
    private(set) var isOver = false
    /// Where the events go that have no key, and the topic, from the first window on.
    var partition: Int32?
    var topicID: TopicID?
    /// Why the topic that the first window has waited for could not be made.
    var topicRefusal: TopicRefusal?

    // Between the worker and the loop.
    var outcome = Outcome.starved
    private let wasGivenUp = Atomic<Bool>(false)

    // The loop's own.
    /// That are awaited at this moment.
    var commits: CommitSpan?
    /// A worker has it.
    private(set) var isAway = false
    /// It waits for its sender's quota.
    var isResting = false
    /// What had come of it when it went away.
    private(set) var settled = Tally()
    /// What it has of the budget while it is away, also when the client is gone.
    private var reservation: HandedReservation?
    /// Bytes that came since the last look at the sender's quota.
    private var uncounted = 0
    /// How long its sender has to wait before more is read.
    var pause: Duration?

    struct Tally {
        var accepted = 0
        var rejected = 0
        var duplicates = 0
        /// Rejected because of their size, and because they are being stored by somebody else.
        var tooLarge = 0
        var busy = 0
        /// Cells that a spreadsheet would take for a formula.
        var formulas = 0
        var resultsBytes = 0
        var isTruncated = false
        var listed = 0

        var stored: Int { accepted + duplicates }
        var total: Int { stored + rejected }
    }

    /// - Parameter seed: what has come of it, packed if the rest is.
    init(
        _ format: Format, _ coding: BodyCoding?, wanted: GatewayLoop.ResultsWanted, _ options: GatewayOptions,
        seed: ByteSlice? = nil, upload: FileUpload? = nil
    ) throws(CompressionError) {
        self.format = format
        self.upload = upload
        // Of nothing, as when the first piece is too long already, nothing would come, and a worker would be asked in vain.
        self.seed = seed.flatMap { $0.count > 0 ? $0 : nil }
        self.wanted = wanted
        windowBytes = options.windowBytes
        target = options.windowBytes
        longestText = options.maxEventBytes + options.windowBytes
        mostReserved = options.maxInflightBytesPerPeer
        let fullBytes = Self.fullBytes(options, coding)
        self.fullBytes = fullBytes
        incoming = ByteWriter(capacity: 4096, limit: fullBytes + Self.pieceBytes)
        // What was taken is no more than what follows it, of which there is less than a window when more is unpacked.
        let formBytes = upload?.form == nil ? 0 : FileUpload.formBytes
        text = ByteWriter(capacity: 4096, limit: max(2 * options.windowBytes, longestText) + formBytes)
        let limits = StreamDecompressor.Limits(
            maxRatio: BodyCoding.maxRatio, ratioFreeBytes: BodyCoding.ratioFreeBytes,
            maxWindowBytes: BodyCoding.maxWindowBytes)
        mostBytes = Self.mostBytes(options, coding, limits) + 2 * formBytes
        price = min(mostBytes, options.maxInflightBytesPerPeer)
        guard let codec = coding?.codec else {
            unpacker = nil
            return
        }
        unpacker = try StreamDecompressor(codec, limits)
    }

    /// What has come, and comes by HTTP/2 meanwhile; the text of a window or of the longest row, and of what was taken before it; results;
    /// and what its decoder has to look back upon, which of zstd the client chooses.
    private static func mostBytes(
        _ options: GatewayOptions, _ coding: BodyCoding?, _ limits: StreamDecompressor.Limits
    ) -> Int {
        let text = max(2 * options.windowBytes, options.maxEventBytes + options.windowBytes)
        let decoder = coding.map { StreamDecompressor.mostBytes($0.codec, limits) } ?? 0
        return fullBytes(options, coding) + 2 * pieceBytes + text + maxResultsBytes + decoder
    }

    /// Bytes that its buffers take now, but for its seed and what has come early.
    var heldBytes: Int {
        incoming.capacity + text.capacity + results.capacity + (unpacker?.heldBytes ?? 0)
            + (upload?.staged.capacity ?? 0)
    }

    /// What is still to be reserved for a body that is whole. Its peer's share has room for one of the longest at least.
    func wholePrice(reserved: Int) -> Int {
        min(price + max(0, seedBytes - reserved), max(0, mostReserved - reserved))
    }

    // MARK: What comes

    /// Bytes that are taken before a worker goes through them.
    private static func fullBytes(_ options: GatewayOptions, _ coding: BodyCoding?) -> Int {
        coding == nil ? options.windowBytes : min(options.windowBytes, packedBytes)
    }

    var isFull: Bool { isOver || seed != nil || incoming.count >= fullBytes }

    var room: Int { max(1, fullBytes - incoming.count) }

    /// Whether there is still something of what came before it became one of windows.
    var hasSeed: Bool { seed != nil }
    var seedBytes: Int { seed?.count ?? 0 }

    func take(_ piece: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Problem? {
        take(piece)
        return nil
    }

    func take(_ piece: UnsafeRawBufferPointer) {
        if isOver { return }
        precondition(
            incoming.count + piece.count <= fullBytes + Self.pieceBytes,
            "\(piece.count) bytes at once behind \(incoming.count) of a body in windows")
        incoming.bytes(piece)
        uncounted += piece.count
    }

    func end(on loop: GatewayLoop) -> Completion {
        end()
        return .suspended(.windows(self))
    }

    func end() { isWhole = true }

    /// Whether a worker has something to do before more comes.
    var hasWork: Bool { !isOver && (isWhole || isFull || textBytes >= target) }

    /// Counts what came before it became one of windows; where that was whole, it was counted then.
    func countSeed() { uncounted += seedBytes }

    /// Bytes of the body that came since the last call.
    func takeUncounted() -> Int {
        defer { uncounted = 0 }
        return uncounted
    }

    // MARK: The text

    /// The text of the next window, and whether nothing comes behind it; nil: it has to be longer, or the body is over.
    func nextWindow() -> (text: UnsafeRawBufferPointer, isLast: Bool)? {
        do throws(CompressionError) {
            try fill(to: target)
        } catch {
            stop(Self.problem(error))
            return nil
        }
        if let problem = formProblem ?? sizeProblem {
            stop(problem)
            return nil
        }
        let isAll = isWhole && isUsedUp
        if isAll, let unpacker, !unpacker.isAtEnd, textBytes < target {
            stop(Self.problem(.corrupt(.gzip)))
            return nil
        }
        if isAll, textBytes < target, let problem = upload?.form?.endProblem {
            stop(problem)
            return nil
        }
        let isLast = isAll && (unpacker?.isAtEnd ?? true)
        guard isLast || textBytes >= target else { return nil }
        return (UnsafeRawBufferPointer(rebasing: text.bytes[textStart...]), isLast)
    }

    /// Bytes of the text that were not taken.
    private var textBytes: Int { text.count - textStart }

    /// Why no more of a file is taken.
    private var sizeProblem: Problem? {
        guard let upload, takenBytes + textBytes > upload.maxBytes else { return nil }
        return Problem(
            .bodyTooLarge, "The file is larger than \(upload.maxBytes) bytes; \(upload.stopWords).",
            limit: upload.maxBytes)
    }

    private var isUsedUp: Bool { seed == nil && position == incoming.count }

    /// Unpacks what has come until there is so much text.
    private func fill(to count: Int) throws(CompressionError) {
        while textBytes < count {
            let source = seed?.bytes ?? incoming.bytes
            let rest = UnsafeRawBufferPointer(rebasing: source[position...])
            let room = count - textBytes
            let step: StreamDecompressor.Step
            if let upload, upload.form != nil {
                step = try advance(rest, into: &upload.staged, min(room, FileUpload.formPiece))
                formProblem = upload.takeStaged { text.bytes($0) }
            } else {
                step = try advance(rest, into: &text, room)
            }
            position += step.used
            if position == source.count { forgetUsed() }
            if step.used == 0 && step.written == 0 || formProblem != nil { return }
        }
    }

    /// Appends up to so many bytes of what the packed or plain bytes are.
    private func advance(
        _ rest: UnsafeRawBufferPointer, into out: inout ByteWriter, _ room: Int
    ) throws(CompressionError) -> StreamDecompressor.Step {
        guard let unpacker else {
            let part = min(room, rest.count)
            out.bytes(UnsafeRawBufferPointer(rebasing: rest[..<part]))
            return StreamDecompressor.Step(used: part, written: part)
        }
        let start = out.count
        let place = UnsafeMutableRawBufferPointer(start: out.append(uninitialized: room), count: room)
        do throws(CompressionError) {
            let step = try unpacker.advance(rest, into: place)
            out.truncate(to: start + step.written)
            return step
        } catch {
            out.truncate(to: start)
            throw error
        }
    }

    private func forgetUsed() {
        position = 0
        if seed == nil { incoming.removeAll() }
        seed = nil
    }

    private static func problem(_ error: CompressionError) -> Problem {
        if case .outputLimit = error {
            return Problem(
                .bodyTooLarge,
                "The body comes to more than \(BodyCoding.maxRatio) times its size when it is unpacked. Send it unpacked.",
                limit: BodyCoding.maxRatio)
        }
        return BodyCoding.undecodable(error)
    }

    /// The window's rows, up to that byte, are taken.
    func taken(_ count: Int, isLast: Bool) {
        assert(heldBytes <= mostBytes, "\(heldBytes) bytes of a body that has paid for \(mostBytes)")
        if count == 0, !isLast {
            guard textBytes >= longestText else {
                target = min(longestText, 2 * max(target, textBytes))
                return forgetTaken()
            }
            // Once more, to find the end of its first line.
            if upload != nil, !isStuck {
                isStuck = true
                return
            }
            return stop(
                Problem(
                    .eventTooLarge, "A line or row is longer than \(longestText) bytes, and what follows is not read.",
                    limit: longestText))
        }
        (target, isStuck) = (windowBytes, false)
        takenBytes += count
        textStart += count
        if textStart > textBytes { forgetTaken() }
        if isLast, textBytes == 0 { isOver = true }
    }

    private func forgetTaken() {
        text.removeFirst(textStart)
        textStart = 0
    }

    // MARK: A worker

    /// Goes to a worker, with what its request has of the budget.
    func goAway(from exchange: Exchange, _ peer: PeerKey, _ budget: InflightBudget) {
        (isAway, settled, exchange.lent) = (true, tally, self)
        upload?.goAway()
        reservation = HandedReservation(of: exchange, for: peer, budget)
    }

    /// Is back, while its request waits for it.
    func cameBack(to exchange: Exchange) {
        (isAway, exchange.lent) = (false, nil)
        upload?.cameBack()
        reservation?.handBack(to: exchange)
        reservation = nil
    }

    /// Its request has ended while it is away: no window is begun any more.
    func giveUp() { wasGivenUp.store(true, ordering: .relaxed) }

    var isGivenUp: Bool { wasGivenUp.load(ordering: .relaxed) }

    // MARK: What came of it

    /// Begins to count a window, which may be taken back until it is on disk.
    func beginWindow() { before = tally }

    /// In the body, of the window's first event.
    var firstIndex: Int { before.total }

    /// - Parameter lost: events that were good, and that the disk did not take.
    func add(accepted: Int, rejected: [Rejection], duplicates: Int, isTruncated: Bool, lost: Int) {
        for rejection in rejected {
            if rejection.kind.status == 413 { tally.tooLarge += 1 }
            if rejection.kind.number == ProblemKind.idempotencyInFlight.number { tally.busy += 1 }
            if rejections.count < Self.maxListed {
                var listed = rejection
                listed.index += before.total
                rejections.append(listed)
            }
        }
        tally.accepted += accepted
        tally.rejected += rejected.count + lost
        tally.duplicates += duplicates
        tally.resultsBytes = results.count
        tally.isTruncated = tally.isTruncated || isTruncated
        tally.listed = rejections.count
    }

    func add(formulas: Int) { tally.formulas += formulas }

    /// What may be told of it, and why no more: while a worker has it, what was settled before.
    var told: (tally: Tally, problem: Problem?) { isAway ? (settled, workIsLate) : (tally, problem) }

    /// Takes nothing more, because of this.
    func stop(_ problem: Problem) {
        if isOver { return }
        self.problem = problem
        isOver = true
    }

    /// What the last window has appended may be there and may not: it does not count.
    func takeBack(_ problem: Problem) {
        tally = before
        upload?.takeBack()
        results.truncate(to: tally.resultsBytes)
        rejections.removeLast(rejections.count - tally.listed)
        self.problem = problem
        isOver = true
    }
}

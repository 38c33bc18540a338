import BrokerCore
import ByteBuffers
import Glibc
import HTTPWire
import JobLedger

/// A file of a watched directory while it is taken: read piece by piece, and handled as the windows of an uploaded one are.
///
/// ```
///   open ─► windows ─► on disk ─► the next … ─► the job's end ─► on disk ─► out of the directory
///              └ what may be better later: left ─► its job runs on, and is taken up again
/// ```
final class WatchedFile {
    enum Step {
        /// There is more to do at once.
        case again
        /// These are to be on disk first.
        case await(CommitSpan)
        /// This is to be done first, on the broker's own thread.
        case perform(any TopicMaking)
        /// Nothing more is to be done; why not all of it was taken.
        case over(Problem?)
    }

    let found: WatchedFolder.Found
    let upload: FileUpload
    let body: WindowedBody
    private let route: String
    private let file: Int32
    private var position: Int64 = 0

    private static let pieceBytes = 256 << 10

    /// Takes over the descriptor.
    init(_ found: WatchedFolder.Found, file: Int32, route: String, _ upload: FileUpload, _ body: WindowedBody) {
        (self.found, self.file, self.route) = (found, file, route)
        (self.upload, self.body) = (upload, body)
    }

    deinit { close(file) }

    var name: String { found.name }

    /// Goes on until there is something to wait for. What it waited for is over.
    func step(on registers: GatewayLoop) -> Step {
        if let problem = readOn() { body.stop(problem) }
        registers.beginFile(upload.id, route: route)
        body.outcome = registers.handleFile(upload, of: body)
        registers.trim()
        switch body.next(isEnding: false) {
        case .await(let commits): return .await(commits)
        case .perform(let work):
            guard let making = work as? any TopicMaking else {
                preconditionFailure("a file that waits for what no file waits for")
            }
            return .perform(making)
        case .again, .read: return .again
        case .reply: return .over(body.problem)
        }
    }

    /// Reads as much as its body takes at a time. Gives why no more is read.
    private func readOn() -> Problem? {
        var piece = [UInt8]()
        while !body.isFull, !body.isWhole {
            if position == found.identity.size {
                if WatchedFolder.identity(of: file) != found.identity { return changed }
                body.end()
                return nil
            }
            let wanted = min(body.room, Self.pieceBytes, Int(found.identity.size - position))
            if piece.count < wanted { piece = [UInt8](repeating: 0, count: wanted) }
            let count = pread(file, &piece, wanted, off_t(position))
            if count < 0 {
                if errno == EINTR { continue }
                return Problem(.undecodable, "The file cannot be read on: \(FileFailure.words).")
            }
            guard count > 0 else { return changed }
            position += Int64(count)
            piece.withUnsafeBytes { body.take(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
        return nil
    }

    private var changed: Problem {
        Problem(.undecodable, "The file was changed while it was read; \(upload.stopWords).")
    }
}

extension GatewayLoop {
    /// Makes a window of a file that nobody sends one at hand.
    func beginFile(_ id: JobID, route: String) {
        takeNewestRoutes()
        var progress = HeadProgress()
        guard case .complete = head.parse(Self.headOfFiles, &progress) else {
            preconditionFailure("a head that is none")
        }
        Array(id.text.utf8).withUnsafeBytes {
            begin($0, routes, nil, now: MonotonicClock.nanoseconds, wallClockMs: BrokerClock.wallMs())
        }
        useRow(of: route)
    }

    func nextJobID() -> JobID {
        let id = identifiers.next(atMs: BrokerClock.wallMs())
        return JobID(high: id.high, low: id.low)
    }

    /// What stands for the head of a request: it says nothing.
    private nonisolated(unsafe) static let headOfFiles: UnsafeRawBufferPointer = {
        // SAFETY: written here, before anybody has it, and only read afterwards.
        let text = Array("POST / HTTP/1.1\r\nHost: files\r\n\r\n".utf8)
        let place = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count, alignment: 8)
        place.copyBytes(from: text)
        return UnsafeRawBufferPointer(place)
    }()
}

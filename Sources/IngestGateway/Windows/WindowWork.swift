import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import Telemetry
import Transport

/// Carries a window to a worker and back: what both versions of HTTP do alike.
///
///     submit ─► a worker: GatewayLoop.handleWindows ─► outcome ─► done, on the loop
///                    ▲                                  └─ suspended: the topic is made ─┐
///                    └──────────────────────────────────────────────────────────────────┘
extension Gateway {
    /// Hands the next window of `body` to a worker; `done` is called on any thread when it is back. False: too much waits for one.
    func submit(
        _ body: WindowedBody, of exchange: Exchange, for peer: PeerKey, _ pool: ChunkPool,
        _ done: @escaping @Sendable () -> Void
    ) -> Bool {
        let nothing = ByteSlice(chunk: pool.chunk(atLeast: 1), offset: 0, count: 0)
        guard let request = LongRequest(exchange, peer, body: nothing) else {
            preconditionFailure("windows of a request whose head was not kept")
        }
        body.goAway(from: exchange, peer, inflight)
        let isTaken = broker.workers.submit { [self] in
            // Nobody waits for what comes of it, and nothing of it was begun.
            if body.isGivenUp { return }
            workerRegisters.lend(self, pool) { registers in
                registers.begin(request)
                if let upload = body.upload {
                    body.outcome = registers.handleFile(upload, of: body)
                } else {
                    body.outcome = registers.handleWindows(of: body)
                }
                registers.trim()
                // No loop's turn ends behind this: the committing thread is told.
                if case .appended = body.outcome { broker.store.kick() }
            }
            done()
        }
        if isTaken { metrics.windows.add() } else { body.cameBack(to: exchange) }
        return isTaken
    }
}

extension WindowedBody {
    /// What to do next with a body that a worker has given back, or whose commits have come.
    enum Step {
        /// Another window is there to be gone through.
        case again
        /// More of the body is to be read.
        case read
        case reply
        /// These are to be awaited, and then this is asked again.
        case await(CommitSpan)
        /// This is to be done on another thread, and then the window once more.
        case perform(any ExchangeWork)
    }

    /// - Parameter isEnding: no more of the body is to be taken, for the server stops.
    func next(isEnding: Bool) -> Step {
        switch outcome {
        case .appended(let commits):
            outcome = .starved
            return .await(commits)
        case .suspended(let work):
            outcome = .starved
            return .perform(work)
        case .starved, .more, .over: break
        }
        // The job of a file has an end of its own.
        if isOver { return upload?.isEnded == false ? .again : .reply }
        if isEnding {
            stop(serverStops)
            return .reply
        }
        if case .more = outcome { return .again }
        return hasWork ? .again : .read
    }

    /// What `perform` was for is done.
    func didPerform(_ work: any ExchangeWork) {
        if let open = work as? OpenTopicWork, let refusal = open.refusal {
            return stop(GatewayLoop.problem(of: refusal))
        }
        if let made = work as? FileTopicWork, let refusal = made.refusal {
            return stop(GatewayLoop.problem(of: refusal))
        }
        topicRefusal = (work as? TopicWork)?.refusal
    }

    // MARK: Why the rest is not taken

    var serverStops: Problem { Problem(.overloaded, "The server stops; \(advice).", retryAfter: 1) }

    var tooMuchWaits: Problem {
        Problem(.overloaded, "Too many long bodies wait for a worker; \(advice).", retryAfter: 1)
    }

    var topicIsLate: Problem { Problem(.commitTimeout, "The topic was not ready in time; \(advice).", retryAfter: 5) }

    /// What to do about events of which nothing was begun.
    private var advice: String {
        if let upload { return upload.stopWords }
        return tally.stored == 0
            ? "nothing of the body was stored, send it again"
            : "send the events again from the one with index \(tally.total) on (stopped.index)"
    }

    /// Of a body that a worker has: nobody knows what has become of the window.
    var workIsLate: Problem {
        let first = settled.total == 0 ? "" : "The first \(settled.total) events of the body are settled. "
        return Problem(
            .commitTimeout,
            first + "Events were not handled in time, and may still be stored. "
                + "Before you send them again, look whether they are there.",
            retryAfter: 5)
    }
}

import BrokerCore
import ByteBuffers
import KafkaModel
import LogStorage
import Telemetry
import Transport

/// Carries a window to a worker and back: what both versions of HTTP do alike.
///
///     submit ─► a worker: GatewayLoop.handleWindow ─► outcome ─► done, on the loop
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
        let isTaken = broker.workers.submit { [self] in
            workerRegisters.lend(self, pool) { registers in
                registers.begin(request)
                body.outcome = registers.handleWindow(of: body)
                registers.trim()
                // No loop's turn ends behind this: the committing thread is told.
                if case .appended = body.outcome { broker.store.kick() }
            }
            done()
        }
        body.isAway = isTaken
        if isTaken { metrics.windows.add() }
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
        case .starved, .over: break
        }
        if isOver { return .reply }
        if isEnding {
            stop(Self.serverStops)
            return .reply
        }
        return hasWork ? .again : .read
    }

    /// What `perform` was for is done.
    func didPerform(_ work: any ExchangeWork) {
        if let open = work as? OpenTopicWork, let refusal = open.refusal {
            return stop(GatewayLoop.problem(of: refusal))
        }
        topicRefusal = (work as? TopicWork)?.refusal
    }

    static var serverStops: Problem {
        Problem(.overloaded, "The server stops; send the rest again.", retryAfter: 1)
    }

    static var tooMuchWaits: Problem {
        Problem(.overloaded, "Too many long bodies wait for a worker.", retryAfter: 1)
    }

    static var workIsLate: Problem {
        Problem(
            .commitTimeout,
            "A part of the events was not handled in time, and may still be stored. Before you send it again, look whether it is there.",
            retryAfter: 5)
    }
}

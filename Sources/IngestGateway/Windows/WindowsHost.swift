import BrokerCore
import Telemetry
import Transport

/// What goes on with a body in windows, of either version of HTTP: the steps between two windows are here, and how a peer is read,
/// muted, timed and answered is the version's own.
///
/// ```
///   submit ─► a worker ─► takeStep ─► commits awaited ─► takeStep ─► submit, readOn, rest, finish
///                            └─ perform: the topic is made ─► submit
/// ```
/// Confined to the connection's loop. A call that comes back for a request that was given up meanwhile finds nobody, and that is all.
protocol WindowsHost: AnyObject, SendableMetatype {
    /// Where the request is: the connection itself, or a stream of it.
    associatedtype Place

    var gateway: Gateway { get }
    var loop: GatewayLoop { get }
    func exchange(of place: Place) -> Exchange
    func peer(of place: Place) -> PeerKey
    func connection(of place: Place) -> Connection
    /// Has `windowIsLate` called after that time unless something comes before; nil: not at all.
    func arm(_ place: Place, after: Duration?)
    /// Makes a call that may be made on any thread, and goes on with the body on its loop unless the request was given up meanwhile.
    func whenBack(
        _ place: Place, _ goOn: @escaping @Sendable (Self, WindowedBody, Place) -> Void
    ) -> @Sendable () -> Void
    /// A worker has the body now; and no more, or nobody waits for it any more.
    func wentAway(_ place: Place)
    func cameBack(_ place: Place)
    /// Takes what has come meanwhile, and lets more come.
    func readOn(_ body: WindowedBody, _ place: Place)
    /// Answers a request whose windows are over, or that is given up while a worker has one.
    func finish(_ body: WindowedBody, _ place: Place)
}

extension WindowsHost {
    /// Hands the next window to a worker.
    func submit(_ body: WindowedBody, _ place: Place) {
        arm(place, after: gateway.options.requestTimeout)
        let isTaken = gateway.submit(
            body, of: exchange(of: place), for: peer(of: place), loop.pool,
            whenBack(place) { host, body, place in
                body.cameBack(to: host.exchange(of: place))
                host.cameBack(place)
                host.takeStep(body, place)
            })
        if isTaken { return wentAway(place) }
        stop(body, body.tooMuchWaits, place)
    }

    func takeStep(_ body: WindowedBody, _ place: Place) {
        switch body.next(isEnding: gateway.isDraining) {
        case .await(let commits):
            body.commits = commits
            arm(place, after: gateway.options.requestTimeout)
            connection(of: place).watch(commits)
            lookAtCommits(of: body, place)
        case .perform(let work): perform(work, body, place)
        case .again where body.pause == nil: submit(body, place)
        case .read where body.pause == nil: readOn(body, place)
        case .again, .read: rest(body, place)
        case .reply: finish(body, place)
        }
    }

    func lookAtCommits(of body: WindowedBody, _ place: Place) {
        guard let commits = body.commits else { return }
        switch connection(of: place).outcome(of: commits) {
        case .pending: return
        case .published:
            body.commits = nil
            takeStep(body, place)
        case .failed:
            body.takeBack(HTTPConnection.commitFailed)
            finish(body, place)
        }
    }

    private func perform(_ work: any ExchangeWork, _ body: WindowedBody, _ place: Place) {
        let isTaken = work.begin(
            exchange(of: place), for: peer(of: place),
            whenBack(place) { host, body, place in
                body.didPerform(work)
                host.retake(body, place)
            })
        if !isTaken {
            work.refuse()
            body.didPerform(work)
            retake(body, place)
        }
    }

    /// Goes through the window that has waited for something.
    private func retake(_ body: WindowedBody, _ place: Place) {
        if body.isOver { finish(body, place) } else { submit(body, place) }
    }

    /// Lets the sender wait for as long as his quota says.
    private func rest(_ body: WindowedBody, _ place: Place) {
        let pause = min(body.pause ?? .zero, gateway.options.requestTimeout)
        body.pause = nil
        body.isResting = true
        arm(place, after: nil)
        let goOn = whenBack(place) { host, body, place in
            body.isResting = false
            host.takeStep(body, place)
        }
        connection(of: place).loop.schedule(after: pause) { _ in goOn() }
    }

    /// Ends a body that nobody is at work on, with what was stored of it.
    func stop(_ body: WindowedBody, _ problem: Problem, _ place: Place) {
        body.stop(problem)
        finish(body, place)
    }

    /// Gives up a body whose window is not handled, or not on disk, or whose topic is not made, in time.
    func windowIsLate(_ body: WindowedBody, _ place: Place) {
        if body.isAway {
            cameBack(place)
            return finish(body, place)
        }
        // Nothing of the window was begun before the topic is there.
        guard body.commits != nil else { return stop(body, body.topicIsLate, place) }
        gateway.metrics.overdueCommits.add()
        body.takeBack(HTTPConnection.commitOverdue)
        finish(body, place)
    }

    /// Gives back what of the budget is above the price of a body whose seed is gone.
    func giveBackSeed(of body: WindowedBody, _ place: Place) {
        let exchange = exchange(of: place)
        guard !body.hasSeed, exchange.reserved > body.price else { return }
        gateway.inflight.release(exchange.reserved - body.price, of: peer(of: place))
        exchange.reserved = body.price
    }
}

import BrokerCore
import Coordinators
import Transport

/// Brings group replies to the loop whose connection waits.
final class GroupReplies: GroupReplySink {
    private let loops: LoopTable

    init(loops: LoopTable) { self.loops = loops }

    static func loop(of waiter: WaiterID) -> Int { Int(waiter.rawValue >> 48) }

    func deliver(_ replies: [GroupActions.Reply], ticket: UInt64) {
        for (index, replies) in Dictionary(grouping: replies, by: { Self.loop(of: $0.waiter) }) {
            run(on: index) { loop in for reply in replies { loop.complete(reply, ticket: ticket) } }
        }
    }

    func abandon(_ waiters: [WaiterID]) {
        for (index, waiters) in Dictionary(grouping: waiters, by: Self.loop(of:)) {
            run(on: index) { loop in for waiter in waiters { loop.abandon(waiter) } }
        }
    }

    private func run(on index: Int, _ body: @escaping @Sendable (KafkaLoop) -> Void) {
        let shared = loops.shared(index)
        if shared.handle.isOwnThread {
            body(loops.state(index))
        } else {
            shared.handle.submit { [loops] _ in body(loops.state(index)) }
        }
    }
}

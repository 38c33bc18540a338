import BrokerTestKit
import ByteBuffers
import KafkaModel
import Security
import Testing

@testable import BrokerCore

/// Passwords are checked by workers, a few at a time, and as many wait as there is time for.
@Suite struct AuthenticationTests {
    private func broker() throws -> Broker {
        try Broker(fileSystem: SimulatedFileSystem(), folder: "/data", options: BrokerOptions())
    }

    private func secret(_ text: String) -> Secret { Secret(copying: Array(text.utf8)[...]) }

    private func setPassword(_ password: String, on broker: Broker) {
        var salted = HashAlgorithm.sha256.pbkdf2(password: secret(password), salt: [1], iterations: 4_096)
        let upsertion = ScramAlteration.Upsertion(
            user: "alice", mechanism: 1, iterations: 4_096, salt: [1], saltedPassword: Secret(wiping: &salted))
        _ = broker.alterScramCredentials(deletions: [], upsertions: [upsertion])
    }

    private func check(_ authentication: Authentication, _ user: ExactString, _ password: String) -> SaslVerdict? {
        let found = Lock<SaslVerdict?>(nil)
        let done = Signal()
        let pending = authentication.check(user, secret(password), from: nil) { verdict in
            found.withLock { $0 = verdict }
            done.raise()
        }
        guard pending != nil else { return nil }
        while true {
            if let verdict = found.withLock({ $0 }) { return verdict }
            done.wait()
        }
    }

    @Test func aRightPasswordIsRememberedUntilItChanges() throws {
        let broker = try broker()
        defer { try? broker.stop() }
        setPassword("pencil", on: broker)
        let authentication = try Authentication(broker)
        #expect(authentication.remembered("alice", secret("pencil")) == nil)
        guard case .accepted(let identity) = check(authentication, "alice", "pencil") else {
            Issue.record("the password is right")
            return
        }
        #expect(identity.principal == .user("alice") && authentication.isCurrent(identity))
        #expect(authentication.remembered("alice", secret("pencil")) == identity)
        #expect(check(authentication, "alice", "pen") == .rejected)
        #expect(authentication.remembered("alice", secret("pen")) == nil)
        #expect(check(authentication, "nobody", "pencil") == .rejected)
        setPassword("pencil", on: broker)
        #expect(authentication.remembered("alice", secret("pencil")) == nil)
        #expect(!authentication.isCurrent(identity))
    }

    /// Checks of nobody's password, and in which order they were made.
    private final class Flood {
        let broker: Broker
        let authentication: Authentication
        private let busy: BusyWorkers
        /// Held to the end: one worker alone makes the checks one after the other, and tells of them in that order.
        private let others: BusyWorkers
        private let made = Lock<[(UInt32, SaslVerdict)]>([])
        private(set) var taken: [PendingCheck] = []

        init(_ broker: Broker) throws {
            self.broker = broker
            authentication = try Authentication(broker)
            others = BusyWorkers(broker.workers.threadCount - 1) { broker.workers.submit($0) }
            busy = BusyWorkers(1) { broker.workers.submit($0) }
        }

        func ask(from address: UInt32, password: String = "pen") -> Bool {
            let secret = Secret(copying: Array(password.utf8)[...])
            let pending = authentication.check("nobody", secret, from: NetworkAddress(v4: address)) { [made] verdict in
                made.withLock { $0.append((address, verdict)) }
            }
            if let pending { taken.append(pending) }
            return pending != nil
        }

        /// Lets the workers go on until so many are made; returns whose they were.
        func letGo(until count: Int) -> [UInt32] {
            busy.release()
            while made.withLock({ $0.count }) < count { MonotonicClock.sleep(milliseconds: 1) }
            return order
        }

        var order: [UInt32] { made.withLock { $0.map(\.0) } }

        /// Nobody looks any more: each is told so.
        func end() throws {
            busy.release()
            others.release()
            broker.workers.stop()
            try broker.stop()
        }
    }

    @Test func asManyWaitAsThereIsTimeForAndEachAddressHasRoom() throws {
        let flood = try Flood(broker())
        func fill(_ address: UInt32) -> Int {
            var count = 0
            while flood.ask(from: address) { count += 1 }
            return count
        }
        // One leaves room to the others, and many together to one who comes later.
        #expect(fill(1) == 111)
        for address: UInt32 in 2...20 { #expect(fill(address) > 0) }
        #expect(flood.ask(from: 1_000))
        var newcomer: UInt32 = 1_001
        while flood.ask(from: newcomer) { newcomer += 1 }
        #expect(flood.taken.count == PasswordQueue.maxWaiting)
        try flood.end()
        #expect(flood.order.count == PasswordQueue.maxWaiting)
    }

    /// A flood makes others wait for one of its checks, not for all.
    @Test func addressesTakeTurns() throws {
        let flood = try Flood(broker())
        for _ in 0..<100 { #expect(flood.ask(from: 1)) }
        #expect(flood.ask(from: 2) && flood.ask(from: 3))
        let first = flood.letGo(until: 6).prefix(6)
        #expect(first.contains(2) && first.contains(3))
        try flood.end()
    }

    /// To send and to close costs its sender nothing, and must not cost more here.
    @Test func whatNobodyWaitsForIsNotLookedAt() throws {
        let flood = try Flood(broker())
        for _ in 0..<100 { #expect(flood.ask(from: 1)) }
        for pending in flood.taken { pending.giveUp() }
        #expect(flood.ask(from: 2))
        #expect(flood.letGo(until: 1) == [2])
        try flood.end()
        #expect(flood.order == [2])
    }

    @Test func whoIsWrongTooOftenIsNotLookedAtForAWhile() throws {
        let broker = try broker()
        defer { try? broker.stop() }
        let authentication = try Authentication(broker)
        let (one, other, now) = (NetworkAddress(v4: 1), NetworkAddress(v4: 2), Authentication.now)
        for _ in 0..<Int(AttemptLimiter.burst) {
            #expect(authentication.mayTry(from: one, now: now))
            authentication.countFailure(from: one, now: now)
        }
        #expect(!authentication.mayTry(from: one, now: now) && authentication.mayTry(from: other, now: now))
        #expect(authentication.mayTry(from: one, now: now + .milliseconds(100)))
    }
}

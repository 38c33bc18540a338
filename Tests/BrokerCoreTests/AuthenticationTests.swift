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
        let isTaken = authentication.check(user, secret(password), from: nil) { verdict in
            found.withLock { $0 = verdict }
            done.raise()
        }
        guard isTaken else { return nil }
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

    @Test func asManyWaitAsThereIsTimeFor() throws {
        let broker = try broker()
        let authentication = try Authentication(broker)
        let busy = BusyWorkers(broker.workers.threadCount) { broker.workers.submit($0) }
        let (taken, done) = (Lock(0), Lock<[SaslVerdict]>([]))
        func ask(from address: NetworkAddress) -> Bool {
            let isTaken = authentication.check("nobody", secret("pen"), from: address) { verdict in
                done.withLock { $0.append(verdict) }
            }
            if isTaken { taken.withLock { $0 += 1 } }
            return isTaken
        }
        // One address leaves room to the others.
        let one = NetworkAddress(v4: 1)
        #expect((0..<Authentication.maxWaitingOfOne).allSatisfy { _ in ask(from: one) })
        #expect(!ask(from: one))
        for address in 2...UInt32(Authentication.maxWaiting / Authentication.maxWaitingOfOne) {
            for _ in 0..<Authentication.maxWaitingOfOne { #expect(ask(from: NetworkAddress(v4: address))) }
        }
        #expect(!ask(from: NetworkAddress(v4: 1_000)))
        #expect(taken.withLock { $0 } == Authentication.maxWaiting)
        // Nobody looks any more: each is told so.
        busy.release()
        broker.workers.stop()
        #expect(done.withLock { $0.count } == taken.withLock { $0 })
        try broker.stop()
    }
}

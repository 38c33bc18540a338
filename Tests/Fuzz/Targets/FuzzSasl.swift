import KafkaModel
import Security

/// Requests, tokens, verdicts and time, given to a session in any order. Nobody who does not know a password, and whom no
/// worker has accepted, is anybody; what has ended stays so; before that nothing is served but ApiVersions.
@Sendable func fuzzSasl(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    var dialog = SaslFuzz(maxSession: input.byte() & 1 == 0 ? .zero : .seconds(10))
    var steps = 0
    while !input.isAtEnd, steps < 64 {
        dialog.step(&input)
        steps += 1
    }
}

private struct SaslFuzz {
    private var session: SaslSession
    private var now = MonotonicTime(seconds: 1)
    private var isAccepted = false
    private var hasEnded = false

    private static let decoys = ScramDecoys(secret: Secret(copying: [UInt8](repeating: 7, count: 32)[...]))
    private static let users = OneUser()

    init(maxSession: Duration) {
        session = SaslSession(
            settings: SaslSettings(mechanisms: SaslMechanism.allCases, maxSession: maxSession), now: now)
    }

    mutating func step(_ input: inout Input) {
        switch input.byte() % 8 {
        case 0: receive(.apiVersions(input.byte() & 1 == 0 ? .none : .unsupportedVersion))
        case 1:
            let names = SaslMechanism.allCases.map(\.rawValue) + [""]
            let version = Int16(input.byte() % 4) - 1
            receive(.handshake(version: version, mechanism: names[Int(input.byte()) % names.count]))
        case 2: receive(.authenticate(version: Int16(input.byte() % 5) - 1, token: token(&input)))
        case 3: receive(.rawToken(token(&input)))
        case 4: receive(.other)
        case 5: now = now + .milliseconds(input.uint16())
        case 6: if session.deadline.map({ $0 <= now }) == true { note(session.deadlinePassed()) }
        default: finish(input.byte())
        }
        insist(session.identity == nil || isAccepted, "somebody is known whom nobody has accepted")
        insist(session.frameLimit != nil || session.identity != nil, "large frames of who is nobody")
    }

    private mutating func token(_ input: inout Input) -> Secret {
        Secret(copying: Array(input.take(input.uint16()))[...])
    }

    private mutating func receive(_ request: SaslRequest) {
        let environment = SaslEnvironment(credentials: Self.users, decoys: Self.decoys) {
            [UInt8](repeating: 9, count: $0)
        }
        let action = session.receive(request, now: now, environment: environment)
        insist(!hasEnded || action == .drop, "something is done after the end: \(request)")
        if action == .serve, request == .other { insist(session.identity != nil, "a request of nobody is served") }
        note(action)
    }

    private mutating func finish(_ which: UInt8) {
        // A verdict that nobody asked for is our bug, and stops the process.
        guard session.expectsNothing, !hasEnded else { return }
        let user = SaslIdentity(principal: .user(which & 4 == 0 ? "alice" : "bob"), epoch: 1)
        let verdicts: [SaslVerdict] = [.accepted(user), .rejected, .unavailable]
        let verdict = verdicts[Int(which) % 3]
        if case .accepted = verdict { isAccepted = true }
        note(session.finish(verdict, now: now, wall: UnixTime(milliseconds: now.milliseconds)))
    }

    private mutating func note(_ action: SaslAction) {
        switch action {
        case .close, .fail, .refuse(_, close: true), .replyHandshake(_, mechanisms: _, close: true): hasEnded = true
        default: break
        }
    }
}

/// Who has a password that no input holds.
private struct OneUser: ScramCredentialSource {
    private let credential = ScramCredential(
        salt: [1, 2, 3], iterations: 4_096, storedKey: [UInt8](repeating: 5, count: 32),
        serverKey: [UInt8](repeating: 6, count: 32), mechanism: .sha256, epoch: 1)

    func scramCredential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential? {
        user == "alice" && mechanism == .sha256 ? credential : nil
    }
}

public import KafkaModel

/// AlterUserScramCredentials and DescribeUserScramCredentials as rules over a snapshot: which user gets which result,
/// and what is to be written. Who may ask is the authorizer's. Source: KIP-554.
public struct ScramAlteration: Sendable {
    /// Of a user's name: a certificate's, which names users as well, has no more.
    public static let maxNameBytes = 1_024

    public struct Deletion: Sendable {
        public let user: String
        public let mechanism: Int8
        public init(user: String, mechanism: Int8) {
            self.user = user
            self.mechanism = mechanism
        }
    }

    public struct Upsertion: Sendable {
        public let user: String
        public let mechanism: Int8
        public let iterations: Int32
        public let salt: [UInt8]
        public let saltedPassword: Secret
        public init(user: String, mechanism: Int8, iterations: Int32, salt: [UInt8], saltedPassword: Secret) {
            self.user = user
            self.mechanism = mechanism
            self.iterations = iterations
            self.salt = salt
            self.saltedPassword = saltedPassword
        }
    }

    /// A credential to store, or nil to remove it.
    public struct Change: Sendable {
        public let user: ExactString
        public let mechanism: ScramMechanism
        public let credential: ScramCredential?
    }

    public struct Result: Sendable {
        public let user: ExactString
        /// Nil when it was done.
        public let refusal: AccessRefusal?
        public var error: ErrorCode { refusal?.error ?? .none }

        /// The same, where what was to be done could not be written.
        public func refused(by refusal: AccessRefusal) -> Result {
            Result(user: user, refusal: self.refusal ?? refusal)
        }
    }

    /// One for each user, in the order of their first mention, deletions first.
    public let results: [Result]
    /// Written together or not at all.
    public let changes: [Change]

    /// `epoch` is what the changed credentials get: greater than any before.
    public init(
        deletions: [Deletion], upsertions: [Upsertion], credentials: some ScramCredentialSource, epoch: UInt64,
        room: AccessRoom = .unbounded
    ) {
        var order: [ExactString] = []
        var outcomes: [ExactString: Outcome] = [:]
        func settle(_ user: ExactString, _ change: () throws(AccessRefusal) -> Change) {
            switch outcomes[user] {
            // The first error of a user is the one that he is told of.
            case .refused: return
            case .change: outcomes[user] = .refused(Self.twice)
            case nil:
                order.append(user)
                do throws(AccessRefusal) {
                    outcomes[user] = .change(try change())
                } catch {
                    outcomes[user] = .refused(error)
                }
            }
        }
        for deletion in deletions {
            settle(ExactString(deletion.user)) { () throws(AccessRefusal) in
                try Self.change(by: deletion, credentials: credentials)
            }
        }
        for upsertion in upsertions {
            settle(ExactString(upsertion.user)) { () throws(AccessRefusal) in
                try Self.change(by: upsertion, epoch: epoch)
            }
        }
        var room = room
        var changes: [Change] = []
        results = order.map { user in
            switch outcomes[user]! {
            case .refused(let refusal): return Result(user: user, refusal: refusal)
            case .change(let change):
                let isNew = !ScramMechanism.allCases.contains {
                    credentials.scramCredential(of: user, mechanism: $0) != nil
                }
                let refusal = isNew ? room.take(user.text.utf8.count, "users", .policyViolation) : nil
                if refusal == nil { changes.append(change) }
                return Result(user: user, refusal: refusal)
            }
        }
        self.changes = changes
    }

    private enum Outcome {
        case change(Change)
        case refused(AccessRefusal)
    }

    private static let twice = AccessRefusal(
        .duplicateResource, "A user credential cannot be altered twice in the same request")

    private static func unacceptable(_ message: String) -> AccessRefusal {
        AccessRefusal(.unacceptableCredential, message)
    }

    private static func checked(_ user: String, _ mechanism: Int8) throws(AccessRefusal) -> ScramMechanism {
        guard !user.isEmpty else { throw unacceptable("Username must not be empty") }
        guard user.utf8.count <= maxNameBytes else {
            throw unacceptable("A username has at most \(maxNameBytes) bytes")
        }
        guard let mechanism = ScramMechanism(rawValue: mechanism) else {
            throw AccessRefusal(.unsupportedSaslMechanism, "Unknown SCRAM mechanism")
        }
        return mechanism
    }

    private static func change(
        by deletion: Deletion, credentials: some ScramCredentialSource
    ) throws(AccessRefusal) -> Change {
        let mechanism = try checked(deletion.user, deletion.mechanism)
        let user = ExactString(deletion.user)
        guard credentials.scramCredential(of: user, mechanism: mechanism) != nil else {
            throw AccessRefusal(.resourceNotFound, "Attempt to delete a user credential that does not exist")
        }
        return Change(user: user, mechanism: mechanism, credential: nil)
    }

    private static func change(by upsertion: Upsertion, epoch: UInt64) throws(AccessRefusal) -> Change {
        let mechanism = try checked(upsertion.user, upsertion.mechanism)
        let iterations = Int(upsertion.iterations)
        guard iterations >= ScramCredential.minIterations else { throw unacceptable("Too few iterations") }
        guard iterations <= ScramCredential.maxIterations else { throw unacceptable("Too many iterations") }
        guard (1...ScramCredential.maxSaltBytes).contains(upsertion.salt.count) else {
            throw unacceptable("A salt has 1 to \(ScramCredential.maxSaltBytes) bytes")
        }
        let length = mechanism.algorithm.byteCount
        guard upsertion.saltedPassword.count == length else {
            throw unacceptable("A salted password of \(mechanism.name) has \(length) bytes")
        }
        let credential = ScramCredential(
            saltedPassword: upsertion.saltedPassword, salt: upsertion.salt, iterations: iterations,
            mechanism: mechanism, epoch: epoch)
        return Change(user: ExactString(upsertion.user), mechanism: mechanism, credential: credential)
    }

    /// What DescribeUserScramCredentials says of one user: his mechanisms and their iterations, or an error.
    public struct Description: Sendable {
        public let user: ExactString
        public let refusal: AccessRefusal?
        public var error: ErrorCode { refusal?.error ?? .none }
        public let credentials: [(mechanism: ScramMechanism, iterations: Int)]
    }

    /// `users` nil or empty asks for `all`.
    public static func describe(
        _ users: [String]?, all: [ExactString], credentials: some ScramCredentialSource
    ) -> [Description] {
        let asked = users.flatMap { $0.isEmpty ? nil : $0.map { ExactString($0) } } ?? all
        let counts = asked.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        var seen: Set<ExactString> = []
        return asked.filter { seen.insert($0).inserted }.map { user in
            guard counts[user] == 1 else {
                let message = "Cannot describe SCRAM credentials for the same user twice in a single request: \(user)"
                return Description(user: user, refusal: AccessRefusal(.duplicateResource, message), credentials: [])
            }
            let found = ScramMechanism.allCases.compactMap { mechanism in
                credentials.scramCredential(of: user, mechanism: mechanism).map { (mechanism, $0.iterations) }
            }
            guard !found.isEmpty else {
                let message = "Attempt to describe a user credential that does not exist: \(user)"
                return Description(user: user, refusal: AccessRefusal(.resourceNotFound, message), credentials: [])
            }
            return Description(user: user, refusal: nil, credentials: found)
        }
    }
}

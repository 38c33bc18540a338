public import KafkaModel

/// AlterUserScramCredentials and DescribeUserScramCredentials as rules over a snapshot: which user gets which result,
/// and what is to be written. Who may ask is the authorizer's. Source: KIP-554.
public struct ScramAlteration: Sendable {
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

    /// One for each user, in the order of their first mention, deletions first.
    public let results: [(user: ExactString, error: ErrorCode)]
    /// Written together or not at all.
    public let changes: [Change]

    /// `epoch` is what the changed credentials get: greater than any before.
    public init(
        deletions: [Deletion], upsertions: [Upsertion], credentials: some ScramCredentialSource, epoch: UInt64
    ) {
        let mentions = deletions.map { ExactString($0.user) } + upsertions.map { ExactString($0.user) }
        let counts = mentions.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        var results: [(user: ExactString, error: ErrorCode)] = []
        var changes: [Change] = []
        var refused: Set<ExactString> = []
        func settle(_ user: ExactString, _ outcome: Outcome) {
            guard counts[user] == 1 else {
                if refused.insert(user).inserted { results.append((user, .duplicateResource)) }
                return
            }
            switch outcome {
            case .change(let change):
                changes.append(change)
                results.append((user, .none))
            case .refused(let error): results.append((user, error))
            }
        }
        for deletion in deletions {
            settle(ExactString(deletion.user), Self.outcome(of: deletion, credentials: credentials))
        }
        for upsertion in upsertions { settle(ExactString(upsertion.user), Self.outcome(of: upsertion, epoch: epoch)) }
        self.results = results
        self.changes = changes
    }

    private enum Outcome {
        case change(Change)
        case refused(ErrorCode)
    }

    private static func outcome(of deletion: Deletion, credentials: some ScramCredentialSource) -> Outcome {
        guard !deletion.user.isEmpty else { return .refused(.unacceptableCredential) }
        guard let mechanism = ScramMechanism(rawValue: deletion.mechanism) else {
            return .refused(.unsupportedSaslMechanism)
        }
        let user = ExactString(deletion.user)
        guard credentials.scramCredential(of: user, mechanism: mechanism) != nil else {
            return .refused(.resourceNotFound)
        }
        return .change(Change(user: user, mechanism: mechanism, credential: nil))
    }

    private static func outcome(of upsertion: Upsertion, epoch: UInt64) -> Outcome {
        guard !upsertion.user.isEmpty else { return .refused(.unacceptableCredential) }
        guard let mechanism = ScramMechanism(rawValue: upsertion.mechanism) else {
            return .refused(.unsupportedSaslMechanism)
        }
        let iterations = Int(upsertion.iterations)
        guard (ScramCredential.minIterations...ScramCredential.maxIterations).contains(iterations),
            (1...ScramCredential.maxSaltBytes).contains(upsertion.salt.count),
            upsertion.saltedPassword.count == mechanism.algorithm.byteCount
        else { return .refused(.unacceptableCredential) }
        let credential = ScramCredential(
            saltedPassword: upsertion.saltedPassword, salt: upsertion.salt, iterations: iterations,
            mechanism: mechanism, epoch: epoch)
        return .change(Change(user: ExactString(upsertion.user), mechanism: mechanism, credential: credential))
    }

    /// What DescribeUserScramCredentials says of one user: his mechanisms and their iterations, or an error.
    public struct Description: Sendable {
        public let user: ExactString
        public let error: ErrorCode
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
            guard counts[user] == 1 else { return Description(user: user, error: .duplicateResource, credentials: []) }
            let found = ScramMechanism.allCases.compactMap { mechanism in
                credentials.scramCredential(of: user, mechanism: mechanism).map { (mechanism, $0.iterations) }
            }
            return Description(user: user, error: found.isEmpty ? .resourceNotFound : .none, credentials: found)
        }
    }
}

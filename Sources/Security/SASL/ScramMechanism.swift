public import KafkaModel

/// The two SCRAM mechanisms, by the numbers of KIP-554.
public enum ScramMechanism: Int8, Sendable, CaseIterable {
    case sha256 = 1
    case sha512 = 2

    public var name: String {
        switch self {
        case .sha256: "SCRAM-SHA-256"
        case .sha512: "SCRAM-SHA-512"
        }
    }

    public var algorithm: HashAlgorithm {
        switch self {
        case .sha256: .sha256
        case .sha512: .sha512
        }
    }
}

/// What the broker keeps of one user's password for one mechanism. Neither the password nor its salted form can be had
/// from it, but whoever reads `serverKey` can pose as the broker. Source: RFC 5802, section 3.
public struct ScramCredential: Hashable, Sendable {
    /// Kafka's range. Fewer make guessing cheap; more make every log-in expensive.
    public static let minIterations = 4_096
    public static let maxIterations = 16_384
    /// Kafka's tools make 25 or 26 bytes. A longer salt would be sent with each exchange, for nothing; refused with
    /// UNACCEPTABLE_CREDENTIAL.
    public static let maxSaltBytes = 128

    public let salt: [UInt8]
    public let iterations: Int
    public let storedKey: [UInt8]
    public let serverKey: [UInt8]
    /// Grows with each change; sessions of an older one are to be closed.
    public let epoch: UInt64

    /// From a store. Nil for what no change of a credential can have written; every log-in would fail on it.
    public init?(
        salt: [UInt8], iterations: Int, storedKey: [UInt8], serverKey: [UInt8], mechanism: ScramMechanism,
        epoch: UInt64 = 0
    ) {
        guard (1...Self.maxSaltBytes).contains(salt.count),
            (Self.minIterations...Self.maxIterations).contains(iterations),
            storedKey.count == mechanism.algorithm.byteCount, serverKey.count == storedKey.count
        else { return nil }
        self.init(checkedSalt: salt, iterations, storedKey: storedKey, serverKey: serverKey, epoch: epoch)
    }

    init(checkedSalt salt: [UInt8], _ iterations: Int, storedKey: [UInt8], serverKey: [UInt8], epoch: UInt64 = 0) {
        self.salt = salt
        self.iterations = iterations
        self.storedKey = storedKey
        self.serverKey = serverKey
        self.epoch = epoch
    }

    /// From the salted password, which is all that KIP-554's request carries.
    public init(
        saltedPassword: Secret, salt: [UInt8], iterations: Int, mechanism: ScramMechanism, epoch: UInt64 = 0
    ) {
        var clientKey = mechanism.algorithm.hmac(key: saltedPassword, "Client Key".utf8)
        self.init(
            checkedSalt: salt, iterations, storedKey: mechanism.algorithm.hash(clientKey),
            serverKey: mechanism.algorithm.hmac(key: saltedPassword, "Server Key".utf8), epoch: epoch)
        Secret.wipe(&clientKey)
    }

    /// From the password. Takes milliseconds: never on an event loop.
    public init(
        password: Secret, salt: [UInt8], iterations: Int, mechanism: ScramMechanism, epoch: UInt64 = 0
    ) {
        var salted = mechanism.algorithm.pbkdf2(password: password, salt: salt, iterations: iterations)
        self.init(
            saltedPassword: Secret(wiping: &salted), salt: salt, iterations: iterations, mechanism: mechanism,
            epoch: epoch)
    }

    /// The same in memory of its own.
    var copied: ScramCredential {
        func copied(_ bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBufferPointer { Array($0) } }
        return ScramCredential(
            checkedSalt: copied(salt), iterations, storedKey: copied(storedKey), serverKey: copied(serverKey),
            epoch: epoch)
    }

    /// Whether it was made from this password. Takes milliseconds: never on an event loop.
    public func isMade(from password: Secret, mechanism: ScramMechanism) -> Bool {
        let made = ScramCredential(password: password, salt: salt, iterations: iterations, mechanism: mechanism)
        return ConstantTime.equal(made.storedKey, storedKey)
    }
}

extension ScramCredential: CustomStringConvertible, CustomReflectable {
    /// Without the keys: who reads `serverKey` can pose as the broker, and the rest serves to guess the password.
    public var description: String { "(SCRAM credential of \(iterations) iterations)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The users as of one moment: a snapshot in memory, asked on the event loop.
public protocol ScramCredentialSource: Sendable {
    func scramCredential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential?
    /// What the credentials of a mechanism show of themselves, which decoys imitate.
    func scramForms(mechanism: ScramMechanism) -> ScramForms
    /// Whom else to look for, so that it does not show by time whether somebody was found; nil: there is nobody to be found.
    func scramTwins(mechanism: ScramMechanism) -> ScramTwins?
}

extension ScramCredentialSource {
    public func scramForms(mechanism: ScramMechanism) -> ScramForms { .none }
    public func scramTwins(mechanism: ScramMechanism) -> ScramTwins? { nil }
}

/// To find somebody takes a third of a microsecond longer than to find nobody, which some thousand tries show. So for everybody one is
/// looked for who is there, and one who is not. Of many: one that is always the same is in the processor's cache, and whoever is looked for
/// himself is not.
public struct ScramTwins: Sendable {
    /// Of names that nobody has.
    public static let maxNobodies = 64

    private let users: [ExactString]
    private let nobodies: [ExactString]

    /// - Parameters:
    ///   - users: all that have a credential of the mechanism; at least one.
    ///   - nobodies: names that nobody has; at least one.
    public init(users: [ExactString], nobodies: [ExactString]) {
        precondition(!users.isEmpty && !nobodies.isEmpty, "there is nobody to be found, or everybody")
        self.users = users
        self.nobodies = nobodies
    }

    /// Who is looked for beside `name`, the same on each try: somebody, and nobody.
    public func beside(_ name: ExactString) -> (user: ExactString, nobody: ExactString) {
        let number = UInt(bitPattern: name.hashValue)
        return (users[Int(number % UInt(users.count))], nobodies[Int(number % UInt(nobodies.count))])
    }
}

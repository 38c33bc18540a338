public import KafkaModel

/// Credentials for users that do not exist, so that nobody learns which do.
///
/// A decoy is a function of the name: the same salt on each try, and on every node that shares the secret. Its salt has
/// the form that Kafka's tools give theirs, the text of a 130-bit number in base 36. It takes part in the exchange like
/// any other, with the same work, and fails where a wrong password does.
public struct ScramDecoys: Sendable {
    private let secret: Secret
    private let whenMade: (@Sendable (ExactString) -> Void)?

    /// - Parameters:
    ///   - secret: At least 32 random bytes, the same on all nodes, kept over restarts.
    ///   - whenMade: hears of each decoy, so that tests can count them.
    public init(secret: Secret, whenMade: (@Sendable (ExactString) -> Void)? = nil) {
        precondition(secret.count >= 32, "a secret of \(secret.count) bytes can be guessed; it has to have 32")
        self.secret = secret
        self.whenMade = whenMade
    }

    public func credential(of user: ExactString, mechanism: ScramMechanism) -> ScramCredential {
        whenMade?(user)
        func derive(_ purpose: String) -> [UInt8] {
            mechanism.algorithm.hmac(key: secret, Array("\(purpose)\0\(mechanism.name)\0".utf8) + user.text.utf8)
        }
        return ScramCredential(
            checkedSalt: Self.base36(Array(derive("salt").prefix(17))), ScramCredential.minIterations,
            storedKey: derive("stored key"), serverKey: derive("server key"))
    }

    /// A salt for a new credential, in the form of a decoy's: in another, who has one would show in the first reply.
    public static func newSalt() -> [UInt8] { base36(Randomness.bytes(17)) }

    /// The lowest 130 bits of 17 bytes, as the text that Java's `BigInteger.toString(36)` gives.
    static func base36(_ bytes: [UInt8]) -> [UInt8] {
        var number = bytes
        number[0] &= 0b11
        let digits = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)
        var text: [UInt8] = []
        while number.contains(where: { $0 != 0 }) {
            var rest = 0
            for index in number.indices {
                rest = rest << 8 | Int(number[index])
                number[index] = UInt8(rest / 36)
                rest %= 36
            }
            text.append(digits[rest])
        }
        return text.isEmpty ? [digits[0]] : text.reversed()
    }
}

public import KafkaModel

/// Credentials for users that do not exist, so that nobody learns which do.
///
/// A decoy is a function of the name: the same salt on each try, and on every node that shares the secret. It has the form
/// (``ScramForm``) of one of the credentials that there are; without any, that of Kafka's tools: 4,096 iterations, and as salt the
/// text of a 130-bit number in base 36. It takes part in the exchange like any other, with the same work, and fails where a wrong
/// password does.
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

    public func credential(
        of user: ExactString, mechanism: ScramMechanism, like forms: ScramForms = .none
    ) -> ScramCredential {
        whenMade?(user)
        func derive(_ purpose: String) -> [UInt8] {
            mechanism.algorithm.hmac(key: secret, Array("\(purpose)\0\(mechanism.name)\0".utf8) + user.text.utf8)
        }
        let form = forms.pick {
            let bits = derive("form").prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Double(bits >> 11) / Double(UInt64(1) << 53)
        }
        let salt: [UInt8]
        if let count = form.saltBytes {
            // As many blocks as it takes: at most four.
            var bytes: [UInt8] = []
            while bytes.count < count { bytes += derive("salt \(bytes.count)") }
            salt = Array(bytes.prefix(count))
        } else {
            salt = Self.base36(Array(derive("salt").prefix(17)))
        }
        return ScramCredential(
            checkedSalt: salt, form.iterations,
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

public import KafkaModel

/// The one message of PLAIN: authorization id, NUL, name, NUL, password. Source: RFC 4616.
struct PlainMessage {
    let user: ExactString
    let password: Secret

    /// Nil unless there are exactly three fields of valid UTF-8, name and password are not empty, and the authorization
    /// id is empty or the name.
    init?(_ message: [UInt8]) {
        let fields = message.split(separator: 0, omittingEmptySubsequences: false)
        guard fields.count == 3, !fields[1].isEmpty, !fields[2].isEmpty,
            let user = String(validating: fields[1], as: UTF8.self), Self.isUTF8(fields[2]),
            fields[0].isEmpty || fields[0] == fields[1]
        else { return nil }
        self.user = ExactString(user)
        password = Secret(copying: fields[2])
    }

    /// Without a `String`, which would keep a copy of the password that nobody wipes.
    static func isUTF8(_ bytes: ArraySlice<UInt8>) -> Bool {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue: continue
            case .emptyInput: return true
            case .error: return false
            }
        }
    }
}

/// Whether a password is a user's, by his SCRAM credential: what a worker does for PLAIN and for HTTP's Basic.
public enum PasswordCheck {
    /// A user without a credential costs the same work as one whose credential is SCRAM-SHA-256 with 4,096 iterations,
    /// what all tools make by default. Takes milliseconds: never on an event loop.
    public static func run(
        user: ExactString, password: Secret, credentials: some ScramCredentialSource, decoys: ScramDecoys
    ) -> SaslVerdict {
        for mechanism in ScramMechanism.allCases {
            guard let credential = credentials.scramCredential(of: user, mechanism: mechanism) else { continue }
            guard credential.isMade(from: password, mechanism: mechanism) else { return .rejected }
            return .accepted(SaslIdentity(principal: Principal(type: "User", name: user.text), epoch: credential.epoch))
        }
        _ = decoys.credential(of: user, mechanism: .sha256).isMade(from: password, mechanism: .sha256)
        return .rejected
    }
}

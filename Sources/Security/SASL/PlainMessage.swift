public import KafkaModel

/// The one message of PLAIN: authorization id, NUL, name, NUL, password. Source: RFC 4616.
struct PlainMessage {
    /// As long as a name and a password can be that a user is made with: a longer one is wrong, and costs nobody anything.
    static let maxNameBytes = ScramAlteration.maxNameBytes
    static let maxPasswordBytes = 1_024

    let user: ExactString
    let password: Secret

    /// Nil unless there are exactly three fields of valid UTF-8, name and password are neither empty nor too long, and the
    /// authorization id is empty or the name.
    init?(_ message: UnsafeRawBufferPointer) {
        let fields = message.split(separator: 0, maxSplits: 3, omittingEmptySubsequences: false)
        guard fields.count == 3, (1...Self.maxNameBytes).contains(fields[1].count),
            (1...Self.maxPasswordBytes).contains(fields[2].count),
            let user = String(validating: fields[1], as: UTF8.self), Self.isUTF8(fields[2]),
            fields[0].isEmpty || fields[0].elementsEqual(fields[1])
        else { return nil }
        self.user = ExactString(user)
        password = Secret(copying: UnsafeRawBufferPointer(rebasing: fields[2]))
    }

    /// Without a `String`, which would keep a copy of the password that nobody wipes.
    static func isUTF8(_ bytes: some Sequence<UInt8>) -> Bool {
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
    /// One PBKDF2 and the making of a decoy, whether there is such a user or not. What more iterations or SHA-512 take
    /// longer is covered by the delay of a failure of ``SaslSession``, if one is set, which counts from the token's arrival;
    /// for HTTP's Basic the caller has to wait as long. Takes milliseconds: never on an event loop.
    public static func run(
        user: ExactString, password: Secret, credentials: some ScramCredentialSource, decoys: ScramDecoys
    ) -> SaslVerdict {
        let found = credential(of: user, in: credentials)
        let decoy = decoys.credential(
            of: user, mechanism: .sha256, like: credentials.scramForms(mechanism: .sha256))
        let mechanism = found?.mechanism ?? .sha256
        // In memory made now, and with both alive to the end: thousands of rounds over what lies elsewhere can be told by time.
        let held = (found?.credential ?? decoy).copied
        let isRight = withExtendedLifetime((found, decoy)) { held.isMade(from: password, mechanism: mechanism) }
        guard isRight, found != nil else { return .rejected }
        return .accepted(SaslIdentity(principal: Principal(type: "User", name: user.text), epoch: held.epoch))
    }

    /// What a user's password is checked by; nil: nobody is called so.
    public static func credential(
        of user: ExactString, in credentials: some ScramCredentialSource
    ) -> (mechanism: ScramMechanism, credential: ScramCredential)? {
        let known = ScramMechanism.allCases.map { ($0, credentials.scramCredential(of: user, mechanism: $0)) }
        return known.first { $0.1 != nil }.map { ($0.0, $0.1!) }
    }
}

/// What server-first shows of a credential to whoever asks for a user: how many iterations, and what kind of salt.
///
/// Decoys have the forms of the credentials that there are, each as often: else whoever was made with 8,192 iterations, or by a client
/// whose salts are plain bytes, would show that he exists.
public struct ScramForm: Hashable, Sendable, Comparable {
    /// Of Java's tools and ours: a number of 130 bits in base 36.
    static let usual = ScramForm(iterations: ScramCredential.minIterations, saltBytes: nil)
    /// Of so many forms a decoy takes one, the most frequent ones. Others show who has them.
    public static let maxForms = 8

    let iterations: Int
    /// Of a salt of any bytes; nil: of the usual text.
    let saltBytes: Int?

    private init(iterations: Int, saltBytes: Int?) {
        self.iterations = iterations
        self.saltBytes = saltBytes
    }

    public init(of credential: ScramCredential) {
        let isText = (20...26).contains(credential.salt.count) && credential.salt.allSatisfy(Self.isBase36)
        self.init(iterations: credential.iterations, saltBytes: isText ? nil : credential.salt.count)
    }

    private static func isBase36(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) }

    public static func < (one: ScramForm, other: ScramForm) -> Bool {
        (one.iterations, one.saltBytes ?? 0) < (other.iterations, other.saltBytes ?? 0)
    }
}

/// How many credentials of one mechanism have which form.
public struct ScramForms: Sendable {
    /// The most frequent ones, in an order that does not depend on how frequent they are.
    private let counts: [(form: ScramForm, count: Int)]

    public init(_ credentials: some Sequence<ScramCredential>) {
        let counts = credentials.reduce(into: [ScramForm: Int]()) { $0[ScramForm(of: $1), default: 0] += 1 }
        let sorted = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(ScramForm.maxForms)
        self.counts = sorted.map { ($0.key, $0.value) }.sorted { $0.form < $1.form }
    }

    public static let none = ScramForms([])

    /// The form of a decoy. `draw` is a number of at least 0 and below 1, always the same of one name: so when there is one
    /// credential more of many, few names change their form, and whose does is nobody's.
    func pick(_ draw: () -> Double) -> ScramForm {
        guard counts.count > 1 else { return counts.first?.form ?? .usual }
        var rest = draw() * Double(counts.reduce(0) { $0 + $1.count })
        for (form, count) in counts {
            rest -= Double(count)
            if rest < 0 { return form }
        }
        return counts[counts.count - 1].form
    }
}

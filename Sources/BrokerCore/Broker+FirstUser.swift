public import Security

/// The first user, who makes the others: without him nobody could come in where every listener asks who somebody is.
extension Broker {
    /// The metadata's key that says that there has been a user. It outlives all of them, so that a password which still
    /// stands in a configuration is not taken again once its user has been deleted.
    static let usersKey = "secrets/users"

    public var hasHadUsers: Bool { access.userCount > 0 || metadata.read(Self.usersKey) != nil }

    /// Gives a user, who is the first, a password by both mechanisms; nil when that is done. Blocks for the metadata store's
    /// sync and for two PBKDF2: at the start, before anybody is served.
    public func makeFirstUser(_ name: String, _ password: Secret) -> AccessRefusal? {
        precondition(!hasHadUsers, "a first user after others")
        for mechanism in ScramMechanism.allCases {
            let salt = ScramDecoys.newSalt()
            let iterations = ScramCredential.minIterations
            var salted = mechanism.algorithm.pbkdf2(password: password, salt: salt, iterations: iterations)
            let upsertion = ScramAlteration.Upsertion(
                user: name, mechanism: mechanism.rawValue, iterations: Int32(iterations), salt: salt,
                saltedPassword: Secret(wiping: &salted))
            // Each by itself: a user's credentials are not altered twice in one request.
            let results = alterScramCredentials(deletions: [], upsertions: [upsertion])
            if let refusal = results.lazy.compactMap(\.refusal).first { return refusal }
        }
        return nil
    }
}

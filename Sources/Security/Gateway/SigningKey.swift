public import KafkaModel

/// What a key of the gateway signs requests by (SigV4): a name, as AWS's access keys have one, and a secret of 40 characters.
public struct SigningKey: Sendable {
    /// What stands in a request's Credential: `GK`, and the key's id in capitals.
    public let name: String
    public let secret: Secret

    private static let prefix = "GK"
    private static let secretLength = 40

    public static func make(for id: ExactString) -> SigningKey {
        var bytes = Randomness.text(secretLength, of: GatewayKeyText.secretCharacters)
        return SigningKey(name: prefix + id.text.uppercased(), secret: Secret(wiping: &bytes))
    }

    /// The key that a request names; nil: none of ours.
    public static func id(ofName name: String) -> ExactString? {
        guard name.hasPrefix(prefix) else { return nil }
        let id = ExactString(name.dropFirst(prefix.count).lowercased())
        // One writing each: what is lower already was no name.
        return GatewayKeyText.isID(id) && prefix + id.text.uppercased() == name ? id : nil
    }
}

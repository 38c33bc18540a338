/// Settings of TLS that cannot be used: found at the start or at a reload, told to who wrote them. Never shows what a secret is.
public struct TLSConfigurationError: Error, Hashable, CustomStringConvertible {
    /// As it is written in the configuration.
    public let key: String
    /// What is wrong, where, and what to do.
    public let problem: String

    public var description: String { "\(key): \(problem)" }
}

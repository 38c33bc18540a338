import BrokerCore
import ByteBuffers
import Configuration
import Security

/// The secrets that routes name, as the section `auth` says where they are:
///
///     auth:
///       secrets:
///         github: {file: /run/secrets/github}
///         github-old: {env: GITHUB_WEBHOOK_SECRET}
///
/// They are read with the section, at the start and at each reload. None stands in the file itself, which is shown, kept and
/// compared.
struct NamedSecrets {
    private var secrets: [String: Secret] = [:]
    /// Each name that is written, also of a secret that could not be read: a route that names it is not wrong besides.
    private(set) var names: [String] = []

    /// A longer one is no key of a sender's.
    private static let maxBytes = 1024
    /// Each is a file that is read.
    private static let maxSecrets = 1000

    subscript(name: String) -> Secret? { secrets[name] }

    mutating func read(_ section: ConfigurationPlace, _ configuration: Configuration) {
        guard let place = section.fields(["secrets"], showsValues: false)?["secrets"], let entries = place.entries()
        else { return }
        guard entries.count <= Self.maxSecrets else {
            return place.refuse("has more than \(Self.maxSecrets) names", remedy: "Leave some out")
        }
        for (name, place) in entries {
            names.append(name)
            if let secret = Self.secret(place, configuration) { secrets[name] = secret }
        }
    }

    private static func secret(_ place: ConfigurationPlace, _ configuration: Configuration) -> Secret? {
        guard case .mapping = place.node.content else {
            place.refuse(
                "a secret does not stand in this file", remedy: "Write {file: PATH} or {env: NAME}", showsValue: false)
            return nil
        }
        guard let fields = place.fields(["file", "env"], showsValues: false) else { return nil }
        switch (fields["file"], fields["env"]) {
        case (let file?, nil):
            guard let path = file.text() else { return nil }
            if let secret = SecretFile.line(of: path, upTo: maxBytes) { return secret }
            file.refuse(
                "is not one line of 1 to \(maxBytes) bytes that can be read",
                remedy: "Write the secret into it, for the owner of this process alone to read")
        case (nil, let variable?):
            guard let name = variable.text() else { return nil }
            let value = Array((configuration.environmentVariable(name) ?? "").utf8)
            if (1...maxBytes).contains(value.count) { return Secret(copying: value[...]) }
            variable.refuse(
                "no environment variable of this name holds 1 to \(maxBytes) bytes",
                remedy: "Set it, or write {file: PATH}")
        default:
            place.refuse("must say one of file and env", remedy: "Write {file: PATH} or {env: NAME}")
        }
        return nil
    }
}

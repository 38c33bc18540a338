/// A value of a configuration file as it is written, with the line on which it begins.
public struct ConfigurationNode: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        /// `isPlain`: without quotes, so that it may stand for a number, a truth value or nothing.
        case text(String, isPlain: Bool)
        case list([ConfigurationNode])
        /// In the order of the file; a key may stand twice.
        case mapping([ConfigurationEntry])
    }

    public let content: Content
    /// From 1.
    public let line: Int

    init(_ content: Content, line: Int) {
        self.content = content
        self.line = line
    }

    /// Whether nothing is written here.
    public var isNull: Bool {
        guard case .text(let text, isPlain: true) = content else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }
}

public struct ConfigurationEntry: Sendable, Equatable {
    public let key: String
    /// From 1.
    public let line: Int
    public let value: ConfigurationNode
}

/// A part of the file that is a tree of its own, and no broker keys.
public struct ConfigurationSection: Sendable, Equatable {
    public let name: String
    public let file: String
    public let node: ConfigurationNode
}

extension ConfigurationNode {
    /// The leaves, each with the way to it: `[0].rate.rps` and `500`. Two trees with the same leaves in the same order say the
    /// same, however they are laid out.
    public var leaves: [(path: String, value: String)] {
        var leaves: [(path: String, value: String)] = []
        collect("", into: &leaves)
        return leaves
    }

    private func collect(_ path: String, into leaves: inout [(path: String, value: String)]) {
        switch content {
        case .text(let text, let isPlain): leaves.append((path, isPlain ? text : "'\(text)'"))
        case .list(let items):
            if items.isEmpty { leaves.append((path, "[]")) }
            for (index, item) in items.enumerated() { item.collect("\(path)[\(index)]", into: &leaves) }
        case .mapping(let entries):
            if entries.isEmpty { leaves.append((path, "{}")) }
            for entry in entries {
                entry.value.collect(path.isEmpty ? entry.key : "\(path).\(entry.key)", into: &leaves)
            }
        }
    }
}

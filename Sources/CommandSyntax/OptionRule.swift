/// What must hold for the options of a command together.
public struct OptionRule: Sendable {
    /// Gives what is wrong, or `nil`.
    let problem: @Sendable (Invocation) -> String?

    /// At most one of them; `because` follows the complaint.
    static func exclusive(_ options: any DeclaredOption..., because reason: String = "") -> OptionRule {
        OptionRule { invocation in
            let given = options.filter { invocation.isGiven($0) }
            guard given.count > 1 else { return nil }
            return given.map { "--" + $0.row.long }.joined(separator: " and ") + " exclude each other" + reason
        }
    }

    static func exactlyOne(of options: any DeclaredOption..., otherwise complaint: String) -> OptionRule {
        OptionRule { invocation in options.count { invocation.isGiven($0) } == 1 ? nil : complaint }
    }

    static func oneOrMore(of options: any DeclaredOption..., otherwise complaint: String) -> OptionRule {
        OptionRule { invocation in options.contains { invocation.isGiven($0) } ? nil : complaint }
    }

    /// `option` means something only beside `other`.
    static func needs(_ option: any DeclaredOption, _ other: any DeclaredOption) -> OptionRule {
        OptionRule { invocation in
            guard invocation.isGiven(option), !invocation.isGiven(other) else { return nil }
            return "--\(option.row.long) needs --\(other.row.long)"
        }
    }

    /// A rule about values.
    static func check(_ problem: @escaping @Sendable (Invocation) -> String?) -> OptionRule {
        OptionRule(problem: problem)
    }
}

/// Something that somebody did, tried or was refused: who, from where, what, on what, and how that ended. Never a secret: what is in
/// it is named by the callers one by one.
public struct AuditEntry: Hashable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// Showing who one is.
        case authentication
        /// A change that somebody asked for, done or not.
        case change
        /// Anything else that the ACLs have denied.
        case refusal
    }

    public let kind: Kind
    public let who: String
    public let from: String
    public let what: String
    public let on: String
    public let result: String

    /// Bytes of each text. Names come from the network.
    static let maxText = 256

    public init(_ kind: Kind, who: String, from: String, what: String, on: String = "", result: String) {
        self.kind = kind
        self.who = Self.cut(who)
        self.from = Self.cut(from)
        self.what = what
        self.on = Self.cut(on)
        self.result = result
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= maxText ? text : String(decoding: text.utf8.prefix(maxText), as: UTF8.self)
    }
}

/// Which lines of the audit are written: the first of an entry at once, the same again once a minute with their number. So whoever
/// is refused in a loop fills no disk. Time is given, in milliseconds of any steady clock.
struct AuditFolding {
    static let windowMs: Int64 = 60_000
    /// Different entries of one kind that are told apart in a window, 1 KB each. More are told by their number alone. Each kind has
    /// its own, so that no flood of refusals hides a change.
    static let maxEntries = 1_000

    /// `count`: how often it came; `entry` nil: others of this kind, which were too many.
    struct Line: Equatable {
        let kind: AuditEntry.Kind
        let entry: AuditEntry?
        let count: Int
    }

    private struct Fold {
        var endsMs: Int64
        var more = 0
    }

    private var folds: [AuditEntry: Fold] = [:]
    private var known: [AuditEntry.Kind: Int] = [:]
    private var others: [AuditEntry.Kind: Int] = [:]

    /// Nothing waits to be told.
    var isEmpty: Bool { folds.isEmpty && others.isEmpty }

    /// The line to be written at once.
    mutating func note(_ entry: AuditEntry, nowMs: Int64) -> Line? {
        if folds[entry] != nil {
            folds[entry]?.more += 1
            return nil
        }
        guard known[entry.kind, default: 0] < Self.maxEntries else {
            others[entry.kind, default: 0] += 1
            return nil
        }
        known[entry.kind, default: 0] += 1
        folds[entry] = Fold(endsMs: nowMs + Self.windowMs)
        return Line(kind: entry.kind, entry: entry, count: 1)
    }

    /// The lines of windows that are over, or of all of them.
    mutating func sweep(nowMs: Int64, all: Bool = false) -> [Line] {
        var lines: [Line] = []
        for (entry, fold) in folds where all || fold.endsMs <= nowMs {
            if fold.more > 0 {
                lines.append(Line(kind: entry.kind, entry: entry, count: fold.more))
                folds[entry] = Fold(endsMs: nowMs + Self.windowMs)
            } else {
                folds[entry] = nil
                known[entry.kind, default: 1] -= 1
            }
        }
        for kind in AuditEntry.Kind.allCases {
            if let count = others.removeValue(forKey: kind) { lines.append(Line(kind: kind, entry: nil, count: count)) }
        }
        return lines
    }
}

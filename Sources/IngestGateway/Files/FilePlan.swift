/// What a route that takes files says of them.
struct FilePlan: Sendable {
    /// The topic of rows that are not acceptable; nil: `quarantine.` and the name of the topic.
    var quarantine: String?

    /// What the name of a quarantine begins with where nothing says another one.
    static let quarantinePrefix = "quarantine."
}

/// How the text of a file is cut into rows.
enum FileFormat: Equatable, Sendable {
    case csv, lines

    init?(_ name: String) {
        switch name {
        case "csv": self = .csv
        case "ndjson": self = .lines
        default: return nil
        }
    }

    init?(_ type: MediaTypes?) {
        guard type == .csv || type == .lines else { return nil }
        self = type == .csv ? .csv : .lines
    }

    /// By the end of a file's name.
    init?(fileName: String) {
        switch fileName.split(separator: ".").last?.lowercased() {
        case "csv": self = .csv
        case "ndjson", "jsonl": self = .lines
        default: return nil
        }
    }

    var mediaType: MediaTypes { self == .csv ? .csv : .lines }
}

/// Where the rows of the window at hand stand in its text. An object, for it goes along with what cuts them.
final class RowPlaces {
    struct Place {
        let range: JSONRange
        /// Number of the line at which it begins, from 1; 0: it is not counted yet.
        let line: Int
    }

    var places: [Place] = []
}

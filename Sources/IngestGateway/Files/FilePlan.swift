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
    /// An array of JSON, whose elements are the rows.
    case array

    /// All of them.
    static let mediaTypes: MediaTypes = [.csv, .lines, .json]

    init?(_ name: String) {
        switch name {
        case "csv": self = .csv
        case "ndjson": self = .lines
        case "json": self = .array
        default: return nil
        }
    }

    init?(_ type: MediaTypes?) {
        switch type {
        case .csv?: self = .csv
        case .lines?: self = .lines
        case .json?: self = .array
        default: return nil
        }
    }

    /// By the end of a file's name.
    init?(fileName: String) {
        switch fileName.split(separator: ".").last?.lowercased() {
        case "csv": self = .csv
        case "ndjson", "jsonl": self = .lines
        case "json": self = .array
        default: return nil
        }
    }

    var mediaType: MediaTypes {
        switch self {
        case .csv: .csv
        case .lines: .lines
        case .array: .json
        }
    }
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

import Configuration
import KafkaModel

/// A directory whose files are taken, as the section `watchers` writes it. The page Files describes the keys.
public struct WatcherDefinition: Equatable, Sendable {
    /// What becomes of a file that was taken.
    enum After: Equatable, Sendable {
        case delete
        /// It goes to the folder `done` of its directory.
        case move
    }

    let name: String
    /// An absolute path.
    let directory: String
    /// Of the names of files, as shells have them.
    let pattern: String
    /// The id of the route as whose file each one is taken.
    let route: String
    /// nil: the name of each file says it.
    let format: FileFormat?
    let after: After
    /// For how long a file must not have changed before it is taken.
    let settleMs: Int64

    static let most = 32

    /// What its jobs call it.
    var jobRoute: String { "watcher " + name }

    private static let keys = ["directory", "pattern", "route", "format", "after", "settle"]
    private static let usualSettleMs = 1_000
    private static let settleLimitsMs: ClosedRange<Int64> = 0...3_600_000

    /// - Parameter routes: those that there are.
    init?(_ name: String, _ place: ConfigurationPlace, _ routes: [RouteDefinition]) {
        if let problem = TopicName.problem(name) { place.refuse(problem, remedy: "Choose another name") }
        guard let fields = place.fields(Self.keys) else { return nil }
        for key in ["directory", "route"] where fields[key] == nil {
            place.refuse("must say \(key)", remedy: "Write directory: /PATH and route: ID")
        }
        guard let directory = fields["directory"]?.text(), let route = fields["route"]?.text() else { return nil }
        if !directory.hasPrefix("/") {
            fields["directory"]?.refuse("is no absolute path", remedy: "Write it from the root, /…")
        }
        let pattern = fields["pattern"].map { $0.text() ?? "*" } ?? "*"
        if pattern.contains("/") {
            fields["pattern"]?.refuse("is of names, and no name has a slash", remedy: "Leave the folder out")
        }
        let formats: KeyValuePairs<String, FileFormat> = ["csv": .csv, "ndjson": .lines, "json": .array]
        format = fields["format"].flatMap { $0.choice(formats) }
        let taken = routes.first { $0.id == route }
        if taken?.plan?.file == nil {
            fields["route"]?.refuse(
                taken == nil ? "there is no route of this id in the section routes" : "this route takes no files",
                remedy: "Name a route with file: true")
        } else if let format, let taken, !taken.mediaTypes.contains(format.mediaType) {
            fields["format"]?.refuse("is none that its route takes", remedy: "Add it to the route's formats")
        }
        let choices: KeyValuePairs<String, After> = ["delete": .delete, "move": .move]
        self.name = name
        self.directory = directory
        self.pattern = pattern
        self.route = route
        after = fields["after"].flatMap { $0.choice(choices) } ?? .move
        settleMs = Int64(fields["settle"]?.milliseconds(Self.settleLimitsMs) ?? Self.usualSettleMs)
    }
}

import CommandSyntax
import Glibc

/// The records of `millrace produce`, out of standard input or of files, one after another.
struct ProduceInput {
    enum Mode {
        /// A line is a record; with a separator its key stands before that.
        case lines(separator: [UInt8]?, null: [UInt8]?)
        /// A line is a JSON object.
        case json
        /// A file is a record.
        case whole(null: [UInt8]?)
    }

    private let mode: Mode
    private let interruption: Interruption
    /// Those not begun, the next one last.
    private var files: [String]
    private var current: LineReader?
    private var name: String
    private var lineNumber = 0
    private var bytesOfEarlier: Int64 = 0

    /// Looks at once whether the files can be read: nothing is written when one cannot.
    init(_ mode: Mode, files: [String], _ console: Console) throws {
        self.mode = mode
        interruption = console.interruption
        for path in files where access(path, R_OK) != 0 {
            throw CommandFailure("cannot read \(path): " + String(cString: strerror(errno)))
        }
        self.files = files.reversed()
        name = "standard input"
        if files.isEmpty { current = LineReader(descriptor: console.input, isOwned: false, interruption) }
    }

    var bytesRead: Int64 { bytesOfEarlier + (current?.bytesRead ?? 0) }

    /// Whether `next` could give a record, or the end, without waiting for input.
    var hasInput: Bool { current?.hasInput ?? true }

    /// The next record, `nil` at the end of all input. Errors say where they are.
    mutating func next() throws -> RecordJSON? {
        while true {
            if current == nil {
                guard let path = files.popLast() else { return nil }
                let descriptor = open(path, O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else {
                    throw CommandFailure("cannot read \(path): " + String(cString: strerror(errno)))
                }
                current = LineReader(descriptor: descriptor, isOwned: true, interruption)
                name = path
                lineNumber = 0
            }
            if let record = try nextOfCurrent() { return record }
            bytesOfEarlier = bytesRead
            current?.close()
            current = nil
            if files.isEmpty { return nil }
        }
    }

    private mutating func nextOfCurrent() throws -> RecordJSON? {
        lineNumber += 1
        do {
            switch mode {
            case .whole(let null):
                // Standard input is a record though it be empty; so is a file.
                guard lineNumber == 1, let value = try current?.rest() else { return nil }
                return RecordJSON(key: nil, value: value == null ? nil : value)
            case .lines(let separator, let null):
                guard let line = try current?.next() else { return nil }
                var record = try Self.split(line, separator)
                if record.value == null { record.value = nil }
                return record
            case .json:
                while let line = try current?.next() {
                    // An empty line between two records is none.
                    if line.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) {
                        lineNumber += 1
                        continue
                    }
                    return try RecordJSON(parsing: line)
                }
                return nil
            }
        } catch let problem as JSONProblem {
            throw CommandFailure("\(name), line \(lineNumber): \(problem)")
        } catch let failure as CommandFailure {
            throw CommandFailure("\(name), line \(lineNumber): \(failure.message)", failure.code)
        }
    }

    private static func split(_ line: [UInt8], _ separator: [UInt8]?) throws -> RecordJSON {
        guard let separator else { return RecordJSON(key: nil, value: line) }
        var start = 0
        while start + separator.count <= line.count {
            if line[start..<start + separator.count].elementsEqual(separator) {
                return RecordJSON(key: Array(line[..<start]), value: Array(line[(start + separator.count)...]))
            }
            start += 1
        }
        throw CommandFailure("it has no key separator")
    }
}

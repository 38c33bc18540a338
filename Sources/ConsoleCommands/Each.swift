import CommandSyntax
import KafkaClient

/// The same for several operands: one that fails is told, and the others are still done. However it ends, `finally` is called,
/// to tell what was done.
enum Each {
    static func of(
        _ operands: [String], _ console: Console, _ body: (String) throws -> Void, finally: () -> Void = {}
    ) throws {
        defer { finally() }
        var worst: ExitCode?
        for operand in operands {
            do { try body(operand) } catch let error as ClientError {
                if case .cancelled = error { throw console.interruption.failure }
                // Nobody there: the next operand would only wait as long again.
                if case .unreachable = error { throw error }
                console.complain("millrace: \(error)")
                worst = worst ?? ExitCode(error, console.interruption)
            } catch let error as CommandFailure {
                console.complain("millrace: \(error.message)")
                worst = worst ?? error.code
            }
        }
        if let worst { throw CommandFailure("", worst) }
    }

    /// Writes what was found of each operand: an array with --json, else texts with an empty line between them.
    static func write<Description>(
        _ described: [Description], _ invocation: Invocation, _ console: Console,
        _ object: (Description, inout JSONWriter) -> Void, _ text: (Description) -> String
    ) {
        if invocation[CommonOptions.json] {
            console.output.writeJSON { json in
                json.array { json in for entry in described { object(entry, &json) } }
            }
        } else {
            for (place, entry) in described.enumerated() {
                console.output.write((place == 0 ? "" : "\n") + text(entry))
            }
        }
    }
}

import CommandSyntax
import LogStorage
import StorageIO

/// `millrace log repair`: sets damaged bytes of a stopped data folder aside, so that the broker passes over them.
enum LogRepair {
    static func run(_ invocation: Invocation, _ console: Console) throws {
        let files = PosixFileSystem()
        let isDryRun = invocation[LogOptions.dryRun]
        var found = 0
        for dataFolder in invocation.operands {
            guard try files.isDirectory(Path.join(dataFolder, "partitions")) else {
                throw CommandFailure("\(dataFolder): not a data folder; it has no folder named partitions")
            }
            do {
                // A broker that runs repairs nothing and must not have its files changed.
                let lock = isDryRun ? nil : try files.lock(Path.join(dataFolder, "millrace.lock"))
                defer { lock?.release() }
                found += try repair(LogInspection(files, dataFolder: dataFolder), console, isDryRun: isDryRun)
            } catch {
                throw CommandFailure("\(error)")
            }
        }
        console.clearProgress()
        if found == 0 {
            console.output.write("no damage\n")
        } else if isDryRun {
            console.output.write("\(found) damaged partitions; nothing was changed (--dry-run)\n")
            throw CommandFailure("", .damaged)
        } else {
            console.output.write("\(found) partitions repaired; the damaged bytes are kept beside their segments\n")
        }
    }

    private static func repair(
        _ inspection: LogInspection, _ console: Console, isDryRun: Bool
    ) throws(StorageError) -> Int {
        for notice in inspection.notices { console.output.write("note    \(notice)\n") }
        var found = 0
        for folder in try inspection.folders() {
            console.progress("\(folder)")
            let finding = try inspection.look(at: folder)
            guard finding.isDamaged else { continue }
            found += 1
            for line in try inspection.repair(finding, isDryRun: isDryRun) {
                console.output.write("\(isDryRun ? "would be" : "done   ") \(line)\n")
            }
        }
        return found
    }
}

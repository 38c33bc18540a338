import CommandSyntax
import LogStorage
import StorageIO

/// `millrace log repair`: sets damaged bytes of a stopped data folder aside, so that the broker passes over them.
enum LogRepair {
    static func run(_ invocation: Invocation) throws {
        let files = PosixFileSystem()
        let isDryRun = invocation.has("dry-run")
        var found = 0
        for dataFolder in invocation.operands {
            guard try files.isDirectory(Path.join(dataFolder, "partitions")) else {
                throw CommandFailure("\(dataFolder): not a data folder; it has no folder named partitions")
            }
            do {
                // A broker that runs repairs nothing and must not have its files changed.
                let lock = isDryRun ? nil : try files.lock(Path.join(dataFolder, "millrace.lock"))
                defer { lock?.release() }
                found += try repair(LogInspection(files, dataFolder: dataFolder), isDryRun: isDryRun)
            } catch {
                throw CommandFailure("\(error)")
            }
        }
        Terminal.clearProgress()
        if found == 0 {
            Output.standard.write("no damage\n")
        } else if isDryRun {
            Output.standard.write("\(found) damaged partitions; nothing was changed (--dry-run)\n")
            throw CommandFailure("", .damaged)
        } else {
            Output.standard.write("\(found) partitions repaired; the damaged bytes are kept beside their segments\n")
        }
    }

    private static func repair(_ inspection: LogInspection, isDryRun: Bool) throws(StorageError) -> Int {
        for notice in inspection.notices { Output.standard.write("note    \(notice)\n") }
        var found = 0
        for folder in try inspection.folders() {
            Terminal.progress("\(folder)")
            let finding = try inspection.look(at: folder)
            guard finding.isDamaged else { continue }
            found += 1
            for line in try inspection.repair(finding, isDryRun: isDryRun) {
                Output.standard.write("\(isDryRun ? "would be" : "done   ") \(line)\n")
            }
        }
        return found
    }
}

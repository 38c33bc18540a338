// Generates Sources/KafkaWire/Generated from Sources/KafkaWire/Schema.
//
//     generate-kafka-wire <schema folder> <output folder>
//     generate-kafka-wire --list <schema folder>     one line per message, version and field, for comparing
import Glibc

func fail(_ message: String) -> Never {
    let line = Array("generate-kafka-wire: \(message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(1)
}

func text(of path: String) -> String {
    guard let file = fopen(path, "r") else { fail("cannot open \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        bytes.append(contentsOf: buffer[0..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
}

func save(_ text: String, to path: String) {
    guard let file = fopen(path, "w") else { fail("cannot write \(path)") }
    guard fputs(text, file) >= 0, fclose(file) == 0 else { fail("cannot write \(path)") }
}

func schemaNames(in folder: String) -> [String] {
    guard let directory = opendir(folder) else { fail("cannot open \(folder)") }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name.hasSuffix(".schema") { names.append(name) }
    }
    return names.sorted()
}

func parse(_ folder: String) -> [SchemaFile] {
    schemaNames(in: folder).map { name in
        do {
            var parser = try Parser(path: name, text: text(of: "\(folder)/\(name)"))
            return try parser.parse()
        } catch let error as SchemaError {
            fail("\(error.path):\(error.line): \(error.reason)")
        } catch {
            fail("\(error)")
        }
    }
}

let arguments = CommandLine.arguments
guard arguments.count == 3 else { fail("expected <schema folder> <output folder>, or --list <schema folder>") }
if arguments[1] == "--list" {
    for file in parse(arguments[2]) { printList(file) }
} else {
    let files = parse(arguments[1])
    for file in files {
        var emitter = Emitter(file)
        save(emitter.emit(), to: "\(arguments[2])/\(file.path.dropLast(".schema".count)).swift")
    }
    save(versionTable(files), to: "\(arguments[2])/APIVersionTable.swift")
}

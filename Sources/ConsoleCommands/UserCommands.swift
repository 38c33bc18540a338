import CommandSyntax
import Glibc
import KafkaClient
import Security

/// `millrace user …`.
enum UserCommands {
    // MARK: create, alter

    static func create(_ invocation: Invocation, _ console: Console) throws {
        try setPassword(invocation, console, done: "created") { user, mechanism in
            user.credentials.contains { $0.mechanism == mechanism }
                ? "has a password for \(mechanism.name) already; `millrace user alter` gives another one" : nil
        }
    }

    static func alter(_ invocation: Invocation, _ console: Console) throws {
        try setPassword(invocation, console, done: "altered") { user, _ in
            user.credentials.isEmpty ? "there is no such user; `millrace user create` makes one" : nil
        }
    }

    /// - Parameter problem: what speaks against it, of the user as he is.
    private static func setPassword(
        _ invocation: Invocation, _ console: Console, done: String,
        problem: (Cluster.ScramUser, ScramMechanism) -> String?
    ) throws {
        let name = invocation.operands[0]
        let mechanism = ScramMechanism(invocation[UserOptions.mechanism] ?? .sha256)
        let iterations = invocation[UserOptions.iterations] ?? ScramCredential.minIterations
        guard let file = invocation[UserOptions.passwordFile] else {
            preconditionFailure("\(invocation.name) passed its rules without --password-file")
        }
        let password = try PasswordFile.read(file, console)
        let cluster = try ClusterConnection.open(invocation, console)
        if let problem = problem(try cluster.scramUser(name), mechanism) {
            throw CommandFailure("user \(name): \(problem)")
        }
        try cluster.setPassword(of: name, mechanism, to: password, iterations: iterations)
        guard invocation[CommonOptions.json] else {
            return console.output.write("\(done) user \(TerminalText.escaped(name)), \(mechanism.name)\n")
        }
        console.output.writeJSON { json in
            json.object { json in
                json.member("name", name)
                json.member("mechanism", mechanism.name)
                json.member("iterations", iterations)
            }
        }
    }

    // MARK: list

    static func list(_ invocation: Invocation, _ console: Console) throws {
        let users = try ClusterConnection.open(invocation, console).scramUsers()
        if invocation[CommonOptions.json] {
            return console.output.writeJSON { json in
                json.array { json in for user in users { write(user, to: &json) } }
            }
        }
        guard !users.isEmpty else { return console.complain("no users") }
        var table = TextTable([("USER", .left), ("MECHANISM", .left), ("ITERATIONS", .right)])
        for user in users {
            for (mechanism, iterations) in user.credentials {
                table.append([user.name, mechanism.name, "\(iterations)"])
            }
        }
        console.output.write(table.text)
    }

    private static func write(_ user: Cluster.ScramUser, to json: inout JSONWriter) {
        json.object { json in
            json.member("name", user.name)
            json.array("credentials") { json in
                for (mechanism, iterations) in user.credentials {
                    json.object { json in
                        json.member("mechanism", mechanism.name)
                        json.member("iterations", iterations)
                    }
                }
            }
        }
    }

    // MARK: delete

    static func delete(_ invocation: Invocation, _ console: Console) throws {
        let only = invocation[UserOptions.onlyMechanism].map { ScramMechanism($0) }
        let cluster = try ClusterConnection.open(invocation, console)
        var deletions = Deletions("user", invocation, console)
        try Each.of(invocation.operands, console) { name in
            let known = try cluster.scramUser(name).credentials.map(\.mechanism)
            let found = known.filter { only == nil || $0 == only }
            guard !found.isEmpty else {
                guard invocation[UserOptions.ifExists] else {
                    let what = only.map { "there is no password for \($0.name)" } ?? "there is no such user"
                    throw CommandFailure("user \(name): \(what)")
                }
                return deletions.note(name, wasThere: false)
            }
            for mechanism in found { try cluster.removePassword(of: name, mechanism) }
            deletions.note(name, wasThere: true)
        } finally: {
            deletions.finish()
        }
    }
}

extension ScramMechanism {
    fileprivate init(_ option: UserOptions.Mechanism) {
        switch option {
        case .sha256: self = .sha256
        case .sha512: self = .sha512
        }
    }
}

/// A password or a key out of a file, never out of the command line, which every process of the machine may read.
enum PasswordFile {
    /// Far more than a person or a generator of passwords makes.
    static let maxBytes = 1_024

    /// Reads the file (`-`: the console's input) without a newline at its end. `kind` is what complaints call it.
    static func read(_ path: String, _ console: Console, kind: String = "password") throws -> Secret {
        guard path != "-" else { return try read(console.input, "standard input", kind) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure("cannot read \(path): " + String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        return try read(descriptor, path, kind)
    }

    private static func read(_ descriptor: Int32, _ name: String, _ kind: String) throws -> Secret {
        var bytes = [UInt8](repeating: 0, count: maxBytes + 3)
        defer { Secret.wipe(&bytes) }
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            if got < 0 {
                if errno == EINTR { continue }
                throw CommandFailure("cannot read \(name): " + String(cString: strerror(errno)))
            }
            if got == 0 { break }
            count += got
        }
        if count > 0, bytes[count - 1] == UInt8(ascii: "\n") { count -= 1 }
        if count > 0, bytes[count - 1] == UInt8(ascii: "\r") { count -= 1 }
        guard count > 0 else { throw CommandFailure("\(name) holds no \(kind)") }
        guard count <= maxBytes else {
            throw CommandFailure("the \(kind) in \(name) is longer than \(maxBytes) bytes")
        }
        guard !bytes[..<count].contains(UInt8(ascii: "\n")) else {
            throw CommandFailure("\(name) holds several lines; a \(kind) is one")
        }
        return Secret(copying: bytes[..<count])
    }
}

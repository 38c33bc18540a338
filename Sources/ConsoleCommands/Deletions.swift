import CommandSyntax

/// What a deleting command did: a line each, or one JSON document at the end.
struct Deletions {
    private let kind: String
    private let isJSON: Bool
    private let console: Console
    private var done: [(name: String, wasThere: Bool)] = []

    init(_ kind: String, _ invocation: Invocation, _ console: Console) {
        self.kind = kind
        isJSON = invocation[CommonOptions.json]
        self.console = console
    }

    mutating func note(_ name: String, wasThere: Bool) {
        done.append((name, wasThere))
        if !isJSON { console.output.write(wasThere ? "deleted \(kind) \(name)\n" : "\(kind) \(name) is not there\n") }
    }

    func finish() {
        guard isJSON else { return }
        console.output.writeJSON { json in
            json.array { json in
                for (name, wasThere) in done {
                    json.object { json in
                        json.member("name", name)
                        json.member("deleted", wasThere)
                    }
                }
            }
        }
    }
}

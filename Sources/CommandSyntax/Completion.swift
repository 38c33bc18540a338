/// Completion scripts for shells, made from the table.
extension CommandTable {
    public static func completion(for shell: String, table: Command = root) -> String {
        switch shell {
        case "bash": bash(table)
        case "zsh": zsh(table)
        case "fish": fish(table)
        default: preconditionFailure("no completion for \(shell)")
        }
    }

    /// Every command with its path, groups before what they hold.
    public static func walk(_ table: Command = root) -> [(path: [String], command: Command)] {
        func below(_ command: Command, _ path: [String]) -> [(path: [String], command: Command)] {
            [(path, command)] + command.subcommands.flatMap { below($0, path + [$0.name]) }
        }
        return below(table, [table.name])
    }

    private static func words(of command: Command) -> [String] {
        command.subcommands.map(\.name) + command.operands.flatMap(\.choices)
            + (command.options + common).flatMap(\.words)
    }

    private static func takesFile(_ option: OptionRow) -> Bool { option.value == "FILE" || option.value == "DIR" }

    // MARK: bash

    private static func bash(_ table: Command) -> String {
        var cases = ""
        var values = ""
        for (path, command) in walk(table) {
            let key = path.joined(separator: " ")
            cases += "        '\(key)') words='\(words(of: command).joined(separator: " "))' ;;\n"
            for option in command.options where option.value != nil {
                let names = option.words.map { "'\(key) \($0)'" }.joined(separator: "|")
                let reply =
                    takesFile(option)
                    ? "compgen -f -- \"$cur\"" : "compgen -W '\(option.choices.joined(separator: " "))' -- \"$cur\""
                values += "        \(names)) mapfile -t COMPREPLY < <(\(reply)); return ;;\n"
            }
        }
        let below = walk(table).flatMap { entry in
            entry.command.subcommands.map { (entry.path.joined(separator: " "), $0) }
        }
        let groups = below.map { "'\($0.0) \($0.1.name)'" }.joined(separator: "|")
        let aliases = below.flatMap { path, command in
            command.aliases.map { "            '\(path) \($0)') path='\(path) \(command.name)' ;;\n" }
        }.joined()
        return """
            # bash completion for \(table.name)
            _\(table.name)() {
                local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" path='\(table.name)' words='' i
                for ((i = 1; i < COMP_CWORD; i++)); do
                    case "$path ${COMP_WORDS[i]}" in
                    \(groups)) path="$path ${COMP_WORDS[i]}" ;;
            \(aliases)        *) break ;;
                    esac
                done
                case "$path $prev" in
            \(values)    esac
                case "$path" in
            \(cases)    esac
                mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
                if [[ $path == '\(table.name) log '* && $cur != -* ]]; then mapfile -t COMPREPLY < <(compgen -f -- "$cur"); fi
            }
            complete -o filenames -o bashdefault -F _\(table.name) \(table.name)

            """
    }

    // MARK: zsh

    private static func zsh(_ table: Command) -> String {
        var functions = ""
        for (path, command) in walk(table) {
            let function = "_" + path.joined(separator: "_")
            if command.subcommands.isEmpty {
                functions += "\(function)() {\n    _arguments -s \\\n"
                for option in command.options + common { functions += "        \(zshSpec(option)) \\\n" }
                let operand = command.operands.first
                let action = operand.map { operand in
                    operand.choices.isEmpty
                        ? (operand.name == "PATH" ? "_files" : " ") : "(\(operand.choices.joined(separator: " ")))"
                }
                functions += "        '*:\(operand?.name.lowercased() ?? "none"):\(action ?? " ")'\n}\n\n"
            } else {
                let list = command.subcommands.map { "'\(zshQuoted($0.name)):\(zshQuoted($0.summary))'" }
                let cases = command.subcommands.map { "        \($0.words)) \(function)_\($0.name) ;;" }
                functions += """
                    \(function)() {
                        local line state
                        _arguments -C '(- *)'{-h,--help}'[Show this help]' '1: :->command' '*::arg:->args'
                        case $state in
                        command) local -a commands=(\(list.joined(separator: " "))); _describe command commands ;;
                        args) case $line[1] in
                    \(cases.joined(separator: "\n"))
                        esac ;;
                        esac
                    }


                    """
            }
        }
        return "#compdef \(table.name)\n\n\(functions)_\(table.name) \"$@\"\n"
    }

    private static func zshSpec(_ option: OptionRow) -> String {
        let help = "[\(zshQuoted(option.summary))]"
        var value = ""
        if let name = option.value {
            let action =
                takesFile(option)
                ? "_files" : option.choices.isEmpty ? " " : "(\(option.choices.joined(separator: " ")))"
            value = ":\(zshQuoted(name)):\(action)"
        }
        let repeated = option.isRepeatable ? "*" : ""
        guard let short = option.short else { return "'\(repeated)--\(option.long)\(help)\(value)'" }
        if option.isRepeatable {
            return "'*-\(short)\(help)\(value)' '*--\(option.long)\(help)\(value)'"
        }
        return "'(-\(short) --\(option.long))'{-\(short),--\(option.long)}'\(help)\(value)'"
    }

    private static func zshQuoted(_ text: String) -> String {
        var quoted = ""
        for character in text {
            switch character {
            case "'": quoted += "'\\''"
            case "[", "]", ":", "\\": quoted += "\\\(character)"
            default: quoted.append(character)
            }
        }
        return quoted
    }

    // MARK: fish

    private static func fish(_ table: Command) -> String {
        var lines = ["# fish completion for \(table.name)", "complete -c \(table.name) -f"]
        for (path, command) in walk(table) {
            let condition = fishCondition(Array(path.dropFirst()), command)
            for sub in command.subcommands {
                lines.append(
                    "complete -c \(table.name) -n \(condition) -a \(sub.name) -d '\(fishQuoted(sub.summary))'")
            }
            for choice in command.operands.flatMap(\.choices) {
                lines.append("complete -c \(table.name) -n \(condition) -a \(choice)")
            }
            if command.operands.first?.name == "PATH" { lines.append("complete -c \(table.name) -n \(condition) -F") }
            for option in command.options + (command.action == nil ? [] : common) {
                var line = "complete -c \(table.name) -n \(condition) -l \(option.long)"
                if let short = option.short { line += " -s \(short)" }
                if option.value != nil { line += takesFile(option) ? " -rF" : " -x" }
                if !option.choices.isEmpty { line += " -a '\(option.choices.joined(separator: " "))'" }
                lines.append(line + " -d '\(fishQuoted(option.summary))'")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func fishCondition(_ path: [String], _ command: Command) -> String {
        if path.isEmpty { return "__fish_use_subcommand" }
        var tests = path.map { "__fish_seen_subcommand_from \($0)" }
        for alias in command.aliases { tests[tests.count - 1] += " \(alias)" }
        if !command.subcommands.isEmpty {
            let names = command.subcommands.map(\.name).joined(separator: " ")
            tests.append("not __fish_seen_subcommand_from \(names)")
        }
        return "'\(tests.joined(separator: "; and "))'"
    }

    private static func fishQuoted(_ text: String) -> String {
        String(text.flatMap { $0 == "'" || $0 == "\\" ? ["\\", $0] : [$0] })
    }
}

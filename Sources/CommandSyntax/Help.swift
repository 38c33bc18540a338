/// The text of `--help`, made from the table.
extension CommandTable {
    /// Columns that help is folded to.
    static let width = 100

    public static func help(for command: Command, path: [String]) -> String {
        var text = "\(command.summary).\n\nUsage: \(usage(command, path))\n"
        if !command.subcommands.isEmpty {
            text += "\nCommands:\n"
            text += rows(command.subcommands.map { (([$0.name] + $0.aliases).joined(separator: ", "), $0.summary) })
        }
        let options = command.options + common
        if command.action != nil || path.count > 1 || !options.isEmpty {
            text += "\nOptions:\n"
            let version = path.count == 1 ? [("-V, --version", "Show the version")] : []
            text += rows(options.map { (synopsis($0), describe($0)) } + version)
        }
        for paragraph in command.discussion { text += "\n" + fold(paragraph, indent: 0) + "\n" }
        return text
    }

    public static func usage(_ command: Command, _ path: [String]) -> String {
        var words = path
        if !command.subcommands.isEmpty { words.append("COMMAND") }
        for operand in command.operands {
            let name = operand.choices.isEmpty ? operand.name : operand.choices.joined(separator: "|")
            switch operand.count {
            case .one: words.append(name)
            case .optional: words.append("[\(name)]")
            case .oneOrMore: words.append(name + "...")
            }
        }
        words.append("[OPTIONS]")
        return words.joined(separator: " ")
    }

    static func synopsis(_ option: OptionRow) -> String {
        let short = option.short.map { "-\($0), " } ?? "    "
        return short + "--" + option.long + (option.value.map { " " + $0 } ?? "")
    }

    private static func describe(_ option: OptionRow) -> String {
        var text = option.summary
        if !option.choices.isEmpty { text += ": " + option.choices.joined(separator: ", ") }
        if option.isRepeatable { text += "; may be repeated" }
        return text
    }

    private static func rows(_ rows: [(String, String)]) -> String {
        let left = min(rows.map(\.0.count).max() ?? 0, 32)
        var text = ""
        for (name, summary) in rows {
            let folded = fold(summary, indent: left + 4)
            // A name too long for its column gets a line of its own.
            let gap = name.count > left ? "\n" + spaces(left + 4) : spaces(left - name.count + 2)
            text += "  " + name + gap + folded + "\n"
        }
        return text
    }

    /// Breaks `text` at spaces; lines after the first are indented.
    static func fold(_ text: String, indent: Int) -> String {
        var lines = [""]
        for word in text.split(separator: " ") {
            let line = lines[lines.count - 1]
            if line.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if indent + line.count + 1 + word.count > width {
                lines.append(String(word))
            } else {
                lines[lines.count - 1] += " " + word
            }
        }
        return lines.joined(separator: "\n" + spaces(indent))
    }

    static func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
}

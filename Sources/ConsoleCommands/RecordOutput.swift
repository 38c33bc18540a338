import CommandSyntax
import KafkaClient
import KafkaModel
import RecordFormat

/// Writes records by a format, or as one JSON object a line.
struct RecordOutput {
    enum Style {
        case template(RecordTemplate)
        case json
    }

    let style: Style
    private var json = JSONWriter()

    init(_ invocation: Invocation) {
        style =
            invocation[CommonOptions.json]
            ? .json : .template(invocation[ConsumeOptions.format] ?? .valueAndNewline)
    }

    mutating func write(_ name: PartitionName, _ record: RecordView, to output: Output) {
        switch style {
        case .template(let template): Self.write(template, name, record, output)
        case .json:
            json.removeAll()
            json.object { json in Self.json(name, record).write(to: &json) }
            output.write(json.bytes)
            output.write("\n")
        }
    }

    private static func write(
        _ template: RecordTemplate, _ name: PartitionName, _ record: RecordView, _ output: Output
    ) {
        for part in template.parts {
            switch part {
            case .literal(let bytes): output.write(bytes)
            case .topic: output.write(name.topic)
            case .partition: output.write(String(name.partition))
            case .offset: output.write(String(record.offset.rawValue))
            case .timestamp: output.write(String(record.timestampMs))
            case .timeText: output.write(TimeText.iso(record.timestampMs))
            case .key: if let key = record.key { output.write(key) }
            case .value: if let value = record.value { output.write(value) }
            case .keyLength: output.write(String(record.key?.count ?? -1))
            case .valueLength: output.write(String(record.value?.count ?? -1))
            case .headers:
                var isFirst = true
                for header in record.headers {
                    if !isFirst { output.write(",") }
                    isFirst = false
                    output.write(header.key)
                    output.write("=")
                    if let value = header.value { output.write(value) }
                }
            }
        }
    }

    static func json(_ name: PartitionName?, _ record: RecordView) -> RecordJSON {
        var json = RecordJSON(key: record.key.map(Array.init), value: record.value.map(Array.init))
        json.topic = name?.topic
        json.partition = name?.partition
        json.offset = record.offset.rawValue
        json.timestampMs = record.timestampMs
        json.headers = record.headers.map {
            RecordJSON.Header(key: Array($0.key), value: $0.value.map(Array.init))
        }
        return json
    }
}

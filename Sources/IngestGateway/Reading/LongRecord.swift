import ByteBuffers
import KafkaModel
import RecordFormat

/// One record on its way into a reply, part by part.
struct LongRecord {
    private let record: RecordView
    private let maxJSONBytes: Int
    /// No line ends within it: those between the tokens of a value's JSON become spaces.
    private let isOneLine: Bool
    /// Its data and its key alone, as Kinesis has them.
    private let isOfShard: Bool
    private var headers: RecordHeadersView.Iterator
    private var headerValue: UnsafeRawBufferPointer?
    private var isFirstHeader = true
    private var part = Part.key
    private var text: LongText?

    /// What `text` is, or what comes next when there is none.
    private enum Part { case key, value, headers, headerName, headerValue }

    /// Writes what stands before the key. The object is the caller's to begin and to end.
    init(_ record: RecordView, maxJSONBytes: Int, isOneLine: Bool = false, _ out: inout ByteWriter) {
        self.record = record
        self.maxJSONBytes = maxJSONBytes
        self.isOneLine = isOneLine
        isOfShard = false
        headers = record.headers.makeIterator()
        out.decimal(Int(record.offset.rawValue))
        out.text(",\"timestamp\":\"")
        out.utf8(ReceivedAt.text(ofMs: record.timestampMs))
        out.text("\",\"timestamp_ms\":")
        out.decimal(Int(record.timestampMs))
        out.text(",\"key\":")
        text = record.key.map { LongText($0) }
    }

    /// Writes what stands before the data. A value that there is none is empty, and so is a key.
    init(ofShard record: RecordView, _ out: inout ByteWriter) {
        self.record = record
        (maxJSONBytes, isOneLine, isOfShard) = (0, true, true)
        headers = record.headers.makeIterator()
        out.text("\"SequenceNumber\":\"")
        out.decimal(Int(record.offset.rawValue))
        out.text("\",\"ApproximateArrivalTimestamp\":")
        let time = max(0, record.timestampMs)
        out.decimal(Int(time / 1000))
        out.utf8(".\(String(time % 1000 + 1000).dropFirst())")
        out.text(",\"Data\":")
        text = LongText(record.value ?? Self.none, encoding: .base64)
        part = .value
    }

    private static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Takes one step; true when the record is written.
    mutating func advance(_ out: inout ByteWriter, _ work: inout Int) -> Bool {
        if text != nil {
            guard text!.advance(&out, &work) else { return false }
        } else if part != .headers {
            out.text("null")
        }
        let encoding = text?.encoding
        text = nil
        if isOfShard {
            if part == .key { return true }
            out.text(",\"PartitionKey\":")
            text = LongText(record.key ?? Self.none)
            part = .key
            return false
        }
        switch part {
        case .key:
            if encoding == .base64 { out.text(",\"key_encoding\":\"base64\"") }
            out.text(",\"value\":")
            part = .value
            if let value = record.value {
                text = LongText(value, encoding: isJSON(value, &work) ? .json : nil, isOneLine: isOneLine)
            }
        case .value:
            switch encoding {
            case .json: out.text(",\"value_encoding\":\"json\"")
            case .text: out.text(",\"value_encoding\":\"text\"")
            case .base64: out.text(",\"value_encoding\":\"base64\"")
            case nil: break
            }
            out.text(",\"headers\":[")
            part = .headers
        case .headers:
            guard let header = headers.next() else {
                out.text("]")
                return true
            }
            out.text(isFirstHeader ? "{\"name\":" : ",{\"name\":")
            isFirstHeader = false
            text = LongText(header.key)
            headerValue = header.value
            part = .headerName
        case .headerName:
            out.text(",\"value\":")
            text = headerValue.map { LongText($0) }
            part = .headerValue
        case .headerValue:
            if encoding == .base64 { out.text(",\"value_encoding\":\"base64\"") }
            out.text("}")
            part = .headers
        }
        return false
    }

    private func isJSON(_ value: UnsafeRawBufferPointer, _ work: inout Int) -> Bool {
        guard value.count <= maxJSONBytes else { return false }
        work += value.count
        var scanner = JSONScanner(value)
        do throws(JSONFailure) {
            _ = try scanner.onlyValue()
            return true
        } catch {
            return false
        }
    }
}

import ByteBuffers
import KafkaModel
import RecordFormat

/// `flags u8 | batch`: validates and reads a record batch. Flag 1: length and CRC are made right first, or the fuzzer would
/// never get behind them. What a walk of the records and one without building them say must agree, as
/// must the quick way and the full one over a producer's plain records.
@Sendable func fuzzBatches(_ bytes: UnsafeRawBufferPointer) {
    var input = Input(bytes)
    let isMended = input.byte() & 1 != 0
    var batch = Array(input.rest())
    if isMended { mend(&batch) }
    batch.withUnsafeBytes { raw in
        if let header = try? RecordBatchHeader.first(in: raw) {
            let quick = defect(header, quickly: true)
            let full = defect(header, quickly: false)
            insist(
                quick == full,
                "the quick walk says \(String(describing: quick)), the full one \(String(describing: full))")
        }
        for origin in [RecordBatchValidator.Origin.client, .broker] {
            guard let header = try? RecordBatchValidator(origin: origin).validateSingle(raw) else { continue }
            read(header)
        }
        var cursor = RecordBatchCursor(raw, validator: RecordBatchValidator(origin: .client))
        while let header = try? cursor.next() { read(header) }
    }
}

private func defect(_ header: RecordBatchHeader, quickly: Bool) -> RecordBatchError? {
    do throws(RecordBatchError) {
        try RecordBatchValidator.checkRecords(header, quickly: quickly)
        return nil
    } catch {
        return error
    }
}

/// Bytes that a batch may unpack to here.
private let outputLimit = 1 << 20

private func read(_ header: RecordBatchHeader) {
    var records = RecordIterator(outputLimit: outputLimit)
    var count = 0
    var sum = 0
    let isWhole: Bool
    do {
        try records.open(header)
        while let record = try records.next() {
            count += 1
            // Every byte that is handed out is looked at.
            for byte in record.key ?? UnsafeRawBufferPointer(start: nil, count: 0) { sum &+= Int(byte) }
            for byte in record.value ?? UnsafeRawBufferPointer(start: nil, count: 0) { sum &+= Int(byte) }
            for header in record.headers {
                for byte in header.key { sum &+= Int(byte) }
                for byte in header.value ?? UnsafeRawBufferPointer(start: nil, count: 0) { sum &+= Int(byte) }
            }
        }
        isWhole = true
    } catch {
        isWhole = false
    }
    insist(!isWhole || count == Int(header.recordCount), "\(count) records of \(header.recordCount)")
    var again = RecordIterator(outputLimit: outputLimit)
    let isVerified = (try? again.open(header)).map { (try? again.verifyRemaining()) != nil } ?? false
    insist(isVerified == isWhole, "reading says \(isWhole), verifying \(isVerified); \(sum)")
}

/// Makes the length, the format's number and the CRC what they should be.
func mend(_ batch: inout [UInt8]) {
    guard batch.count >= RecordBatchHeader.size else { return }
    batch.withUnsafeMutableBytes { raw in
        let length = Int32(raw.count - RecordBatchHeader.lengthOverhead)
        raw.storeBytes(of: length.bigEndian, toByteOffset: RecordBatchHeader.Field.batchLength, as: Int32.self)
        raw.storeBytes(
            of: RecordBatchHeader.currentMagic, toByteOffset: RecordBatchHeader.Field.magic, as: Int8.self)
        RecordBatchHeader.updateCRC(at: raw.baseAddress!)
    }
}
